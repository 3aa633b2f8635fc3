"""Signals outside the training loop."""

import os
import signal
import subprocess
import sys

import pytest

from dim_tf.system import signals


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_ends_what_is_done_and_its_files_go(number, tmp_path):
    before = signal.getsignal(number)
    half = tmp_path / "half"

    def work():
        try:
            half.write_text("half")
            os.kill(os.getpid(), number)
            raise AssertionError("it went on")
        except Exception:
            raise AssertionError("it was taken for an error") from None
        finally:
            half.unlink()

    with (
        pytest.raises(signals.Terminated, match=f"stopped by {number.name}"),
        signals.raise_on_signal(),
    ):
        work()
    assert list(tmp_path.iterdir()) == []
    assert signal.getsignal(number) is before


def test_before_anything_is_written_a_signal_ends_the_process():
    code = (
        "import os, signal; from dim_tf.system import signals; signals.exit_on_signal()\n"
        "print('printed'); os.kill(os.getpid(), signal.SIGTERM); print('it went on')"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=False)
    assert done.returncode == signals.EXIT_STATUS
    assert done.stdout == "printed\n"


def test_a_second_signal_ends_our_programs_and_interrupts_others():
    code = (
        "import contextlib, signal; from dim_tf.system import signals\n"
        # A shell starts what runs in the background with SIGINT ignored.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "with {context}, signals.StopSignal() as stop:\n"
        "    signal.raise_signal(signal.SIGINT)\n"
        "    assert stop.received == signal.SIGINT\n"
        "    try: signal.raise_signal(signal.SIGINT)\n"
        "    except KeyboardInterrupt: print('interrupted')"
    )
    for context, status, printed in (
        ("signals.raise_on_signal()", signals.EXIT_STATUS, ""),
        ("contextlib.nullcontext()", 0, "interrupted\n"),
    ):
        command = [sys.executable, "-c", code.format(context=context)]
        done = subprocess.run(command, capture_output=True, text=True, check=False)
        assert (done.returncode, done.stdout) == (status, printed)
