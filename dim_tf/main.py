"""The command line: `python -m dim_tf.main --flagfile=flags/digits.cfg`."""

import sys

from absl import app, flags, logging

from dim_tf import ending, flagfiles, tensorflow_import
from dim_tf import flags as dim_flags
from dim_tf.errors import InputError, RunError, one_line

FAILED, WRONG_INPUT = 1, 2

USAGE = """Deep InfoMax: images in, a measured, exported encoder out.

usage: python -m dim_tf.main --flagfile=flags/NAME.cfg [flags]

Later flags override. Flags:
"""


def parse_flags(arguments: list[str], values: flags.FlagValues = flags.FLAGS) -> list[str]:
    """Parses the flags; ends the program with 0 after --help and with 2 at a wrong flag.

    Args:
        arguments: the command line.
        values: the flags, defined.

    Returns:
        `arguments`.
    """
    try:
        given = arguments[1:]
        if not _asks_for_help(given):
            given = flagfiles.expanded(given)
        if _asks_for_help(given):
            print(USAGE + values.module_help(dim_flags.__name__))
            sys.exit(0)
        rest = values([*arguments[:1], *given])
        if len(rest) > 1:
            raise InputError(f"unexpected argument {rest[1]!r}")
    except (flags.Error, InputError) as error:
        print(f"error: {one_line(error)}; see --help", file=sys.stderr)
        sys.exit(WRONG_INPUT)
    return arguments


def _asks_for_help(arguments):
    # absl's own help flags would end the program with status 1.
    names = {a.lstrip("-").partition("=")[0] for a in arguments if a.startswith("-")}
    return bool(names & {"h", "help", "helpshort", "helpfull", "helpxml", "?"})


def main(arguments: list[str]) -> int:
    """Runs the stages that the whole command line asks for; returns the exit status."""
    try:
        experiment = dim_flags.experiment(flags.FLAGS, arguments)
        modes = dim_flags.modes(flags.FLAGS)
        logging.set_verbosity(logging.ERROR)
        if "table" in modes:
            if modes != ["table"]:
                raise InputError("--mode=table stands alone; it trains and measures its rows")
            from dim_tf.tables import make_table  # its rows are processes: no TensorFlow here

            return ending.STOPPED if make_table(experiment, dim_flags.given(flags.FLAGS)) else 0
        tensorflow_import.quietly()  # only now, so that --help is quick
        from dim_tf.run import run_stages

        with ending.raising():
            return ending.STOPPED if run_stages(experiment, modes) else 0
    except InputError as error:
        return _failed(error, WRONG_INPUT)
    except (RunError, OSError) as error:  # OSError: a file that cannot be read, say
        return _failed(error, FAILED)
    except ending.Ended as ended:
        print(f"{ended}; what is written is whole, and the same command does the rest")
        return ending.STOPPED


def _failed(error: Exception, status: int) -> int:
    print(f"error: {one_line(error)}", file=sys.stderr)
    return status


def run() -> None:
    """The console script `dim-tf`."""
    ending.end_at_once()  # nothing is written while TensorFlow is imported
    dim_flags.define(flags.FLAGS)
    app.run(main, flags_parser=parse_flags)


if __name__ == "__main__":
    run()
