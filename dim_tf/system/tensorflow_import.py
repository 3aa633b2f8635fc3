"""Imports TensorFlow and Keras for our programs, without start-up lines or a user's settings.

Libraries must not use it: a program that imports `keras_models` or `dim_tf` keeps its settings.
"""

import contextlib
import os
import re
import signal
import traceback
from collections.abc import Iterator

from dim_tf.system import cpu
from dim_tf.system.errors import InputError

NVIDIA_DRIVER = "/dev/nvidiactl"
ERRORS, NOTHING = "2", "3"  # as values of TF_CPP_MIN_LOG_LEVEL

_CHANGE_TRAINING = ("KERAS_MAX_EPOCHS", "KERAS_MAX_STEPS_PER_EPOCH", "KERAS_NNX_ENABLED")
# absl's lines of level INFO, and its warning that they come before a log is set up:
# https://github.com/abseil/abseil-cpp/blob/master/absl/log/internal/log_format.cc
_START_UP = re.compile(rb"I\d{4} |WARNING: All log messages before absl::InitializeLog\(\)")
_END = b"\0the import is over"


def quietly() -> None:
    """Imports both, once, prepared for this processor (`cpu.prepare`).

    What they write to stderr appears, except absl's lines of level INFO, which TF_CPP_MIN_LOG_LEVEL
    does not affect while the libraries are loaded. Afterwards TensorFlow logs nothing, because
    errors come as exceptions; with an NVIDIA driver it logs errors, such as why a GPU is not used.
    If TF_CPP_MIN_LOG_LEVEL is set, it is kept. Keras computes with TensorFlow, in float32, with
    channels last, whatever KERAS_BACKEND, keras.json and KERAS_MAX_EPOCHS say.

    Raises:
        InputError: Keras cannot use keras.json.
    """
    cpu.prepare()
    level = ERRORS if os.path.exists(NVIDIA_DRIVER) else NOTHING
    os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", level)
    os.environ["KERAS_BACKEND"] = "tensorflow"
    for name in _CHANGE_TRAINING:
        os.environ.pop(name, None)
    try:
        with without_start_up_lines():
            import keras
    except Exception as error:
        file = _config_file_of(error)
        if not file:
            raise
        raise InputError(
            f"{file} holds what Keras cannot use ({error}); mend it or remove it"
        ) from error
    keras.config.set_floatx("float32")
    keras.config.set_epsilon(1e-7)
    keras.config.set_image_data_format("channels_last")


def _config_file_of(error: Exception) -> str:
    """The file that Keras was reading when it failed; "" if it was doing something else."""
    frame = list(traceback.walk_tb(error.__traceback__))[-1][0]
    return str(frame.f_globals.get("_config_path", ""))


@contextlib.contextmanager
def without_start_up_lines() -> Iterator[None]:
    """A context in which file descriptor 2 drops absl's lines of level INFO.

    A child process passes the other lines on, so that they appear even if this process is aborted,
    which TensorFlow does on a CPU for which it was not built.
    """
    try:
        stderr = os.dup(2)
    except OSError:  # it is closed
        yield
        return
    if not hasattr(os, "fork"):  # Windows
        os.close(stderr)
        yield
        return
    reading, writing = os.pipe()
    child = os.fork()
    if not child:
        os.close(writing)
        _pass_on(reading, stderr)
    os.close(reading)
    os.dup2(writing, 2)
    os.close(writing)
    try:
        yield
    finally:
        with contextlib.suppress(BrokenPipeError):  # what reads stderr has ended, so the child has
            os.write(2, _END)
        os.dup2(stderr, 2)
        os.close(stderr)
        os.waitpid(child, 0)


def _pass_on(reading: int, stderr: int) -> None:
    """In the child: copies lines until the last, and ends the process."""
    try:
        for number in (signal.SIGINT, signal.SIGTERM):  # it ends when its parent does
            signal.signal(number, signal.SIG_IGN)
        rest = b""
        over = False
        while not over and (chunk := os.read(reading, 65536)):
            rest += chunk
            over = rest.endswith(_END)  # a thread that was started may keep the pipe open
            *lines, rest = rest.removesuffix(_END).split(b"\n")
            for line in lines:
                if not _START_UP.match(line):
                    os.write(stderr, line + b"\n")
        os.write(stderr, rest)
    finally:
        os._exit(0)
