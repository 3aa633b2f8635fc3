"""What the command lines share."""

import pytest

from dim_tf.system import programs
from dim_tf.system.errors import InputError, RunError


@pytest.mark.parametrize(
    ("error", "status"),
    [(InputError("a"), 2), (RunError("a"), 1), (OSError("a"), 1), (BrokenPipeError(), 1)],
)
def test_an_error_is_one_line_and_a_status(error, status, capsys):
    assert programs.failed(error) == status
    captured = capsys.readouterr()
    assert captured.out == ""
    assert captured.err.startswith("error: ")
    assert len(captured.err.splitlines()) == 1


@pytest.mark.parametrize("status", [0, 1, 2, 143])
def test_the_process_ends_with_the_status(status):
    with pytest.raises(SystemExit) as end:
        programs.run(lambda: status)
    assert end.value.code == status


def test_what_the_output_cannot_take_is_reported(monkeypatch, capsys):
    monkeypatch.setattr(programs.console, "flush", lambda: OSError(28, "No space left on device"))
    with pytest.raises(SystemExit) as end:
        programs.run(lambda: 0)
    assert end.value.code == 1
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device\n"
    with pytest.raises(SystemExit) as end:
        programs.run(lambda: 2)  # which has been reported
    assert end.value.code == 2
