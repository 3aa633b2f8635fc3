"""The command line in this process."""

from typing import NamedTuple

from absl import flags

from dim_tf import main


class Outcome(NamedTuple):
    """What a command did: its status, what it printed, and its errors."""

    status: int
    printed: str
    errors: str


def run(capsys, *words) -> Outcome:
    """Runs the program with these words; `capsys` is pytest's."""
    values = flags.FlagValues()
    main.settings_flags.define(values)
    arguments = ["main", *map(str, words)]
    main.parse_flags(arguments, values)
    status = main.main(arguments, values)
    said = capsys.readouterr()
    return Outcome(status, said.out, said.err)


def run_merged(capsys, *words) -> tuple[int, str]:
    """The same; its status, and what it printed followed by its errors."""
    outcome = run(capsys, *words)
    return outcome.status, outcome.printed + outcome.errors
