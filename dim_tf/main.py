"""The command line: `python -m dim_tf.main --flagfile=flags/digits.cfg`."""

import contextlib
import faulthandler
import sys
from typing import TYPE_CHECKING

from absl import flags, logging

from dim_tf import preconditions
from dim_tf.cli import flagfiles, help
from dim_tf.cli import flags as settings_flags
from dim_tf.system import console, programs, signals, tensorflow_import
from dim_tf.system.errors import InputError, MeasureError

if TYPE_CHECKING:
    from dim_tf.run import Run

# Stages that lock the run folder for the whole command; others that write there lock it
# themselves.
_LOCKING = {"train", "evaluate", "finetune"}


def parse_flags(arguments: list[str], values: flags.FlagValues) -> None:
    """Parses the flags; ends the program with 0 after --help and with 2 at a wrong flag.

    Args:
        arguments: The command line.
        values: The flags, defined. Only --flagfile, --undefok and help are accepted besides these.
    """
    try:
        words = arguments[1:]
        if help.requested(words) is None:
            words = flagfiles.expanded(words)
        section = help.requested(words)
        if section is not None:
            print(help.text(section))
            sys.exit(0)
        rest = values([*arguments[:1], *words])
        if len(rest) > 1:
            raise InputError(f"unexpected argument {rest[1]!r}")
    except (flags.Error, InputError) as error:
        sys.exit(programs.failed(InputError(f"{error}; see --help")))


@programs.with_status
def main(arguments: list[str], values: flags.FlagValues) -> int:
    """Runs all stages that the command line asks for; returns the exit status.

    Args:
        arguments: The command line.
        values: Its flags, parsed.
    """
    try:
        experiment = settings_flags.experiment(values, arguments)
        modes = settings_flags.modes(values)
        preconditions.check(experiment, modes)
        logging.set_verbosity(logging.ERROR)
        if "table" in modes:
            from dim_tf.tables import make_table  # its rows are processes: no TensorFlow here

            return (
                signals.EXIT_STATUS if make_table(experiment, settings_flags.present(values)) else 0
            )
        tensorflow_import.quietly()  # only now, so that --help is quick
        from dim_tf.run import Run

        run = Run(experiment)
        with signals.raise_on_signal(), contextlib.ExitStack() as stack:
            if _LOCKING & set(modes):
                stack.enter_context(run.locked())
            if "train" in modes and "evaluate" in modes:
                run.check_references()
            if "finetune" in modes and {"train", "evaluate", "export"} & set(modes):
                run.check_labels()
            if "train" in modes:
                run.train()
            run_later_stages(run, modes)
        return 0
    except signals.Stopped as stopped:
        console.say(stopped)
        return signals.EXIT_STATUS


def run_later_stages(run: "Run", modes: list[str]) -> None:
    """Runs the stages after training, in their order.

    Args:
        run: The run of the command line.
        modes: All stages to run.

    Raises:
        MeasureError: A measure failed. The later stages have still run: the encoder is none the
            worse.
    """
    failed, is_measured = None, "evaluate" in modes
    if "evaluate" in modes:
        try:
            is_measured = bool(run.evaluate())
        except MeasureError as error:
            failed = error
    if "export" in modes:
        run.export()
    if "finetune" in modes:
        run.finetune()
    if "embed" in modes:
        run.embed()
    if "curate" in modes:
        run.curate()
    if "anomaly" in modes:
        run.anomaly()
    if "search" in modes:
        run.search()
    if "compare" in modes:
        run.compare()
    by_export = {"export", "finetune", "embed", "curate", "anomaly", "search"}
    if is_measured and by_export & set(modes):
        for line in run.verdict:  # repeated, so that it ends the output
            console.say(line)
    if failed:
        raise failed


def run() -> None:
    """The console script `dim-tf`."""
    programs.run(_command_line)


def _command_line() -> int:
    with contextlib.suppress(OSError, ValueError):  # where standard error is no file
        faulthandler.enable()
    signals.exit_on_signal()  # nothing is written while TensorFlow is imported
    # Not absl's global flags: absl and every imported library define flags there for all programs,
    # and some of those open a debugger or write to a file.
    values = flags.FlagValues()
    settings_flags.define(values)
    flags.FLAGS.mark_as_parsed()  # for a library that reads its own: they have their defaults
    parse_flags(sys.argv, values)
    return main(sys.argv, values)


if __name__ == "__main__":
    run()
