"""What the command lines share: errors on one line, their exit status, and the streams."""

import contextlib
import functools
import sys
from collections.abc import Callable
from typing import NoReturn, ParamSpec

from dim_tf.system import console, signals, tensorflow_import
from dim_tf.system.errors import InputError, RunError, one_line

FAILED, WRONG_INPUT = 1, 2  # exit statuses
_P = ParamSpec("_P")


def failed(error: object) -> int:
    """Prints an error on one line to standard error.

    Returns:
        The exit status: `WRONG_INPUT` for an InputError, else `FAILED`.
    """
    status = WRONG_INPUT if isinstance(error, InputError) else FAILED
    if isinstance(error, BrokenPipeError):
        error = (
            "what reads the output has ended; what is written is whole, and the same command, its "
            "output in a file, does the rest"
        )
    with contextlib.suppress(OSError):  # whoever read the errors may have ended, too
        print(f"error: {one_line(error)}", file=sys.stderr)
    return status


def with_status(main: Callable[_P, int]) -> Callable[_P, int]:
    """A function that turns errors of input, of a run and of the system into its exit status."""

    @functools.wraps(main)
    def wrapped(*args: _P.args, **kwargs: _P.kwargs) -> int:
        try:
            return main(*args, **kwargs)
        except (InputError, RunError, OSError) as error:  # OSError: a file that cannot be read, say
            return failed(error)

    return wrapped


def run(main: Callable[[], int]) -> NoReturn:
    """Ends the process with a command line's exit status, or `FAILED` if its output is lost.

    SIGTERM and SIGINT end `main` by an exception, so that it removes what is half written, and end
    the process with `signals.EXIT_STATUS`.

    Args:
        main: Runs with usable streams (`console.open_streams`).
    """
    console.open_streams()
    status: int | str | None
    try:
        with signals.raise_on_signal():
            status = main()
    except SystemExit as end:  # of --help, or of a wrong flag
        status = end.code
    except signals.Terminated as ended:
        with contextlib.suppress(OSError):  # whoever read the output may have ended, too
            console.say(f"{ended}; what is written is whole, and the same command does the rest")
        status = signals.EXIT_STATUS
    except OSError as error:  # of --help, or of the last words
        status = failed(error)
    finally:
        unwritten = console.flush()
    if unwritten and not status:
        status = failed(unwritten)
    sys.exit(status)


def import_tensorflow() -> None:
    """Imports TensorFlow quietly, before the other imports in a program's module.

    A signal ends the process at once, until `run`: nothing is written yet. The process ends with
    `WRONG_INPUT` if Keras cannot use keras.json.
    """
    signals.exit_on_signal()
    try:
        tensorflow_import.quietly()
    except InputError as error:
        sys.exit(failed(error))
