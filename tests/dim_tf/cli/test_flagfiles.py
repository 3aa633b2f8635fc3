"""Flagfiles: read as absl reads them, and refused where they are none."""

import pytest

from dim_tf.cli.flagfiles import MAX_BYTES, expanded
from dim_tf.system.errors import InputError


@pytest.fixture(autouse=True)
def folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    return tmp_path


@pytest.mark.parametrize("content", ["{}--a=1\n\n# said\n  // too\n--nob\n", "{}--a=1\r\n--nob"])
@pytest.mark.parametrize("mark", ["", "\ufeff"])
def test_lines_stand_for_arguments(folder, content, mark):
    (folder / "a.cfg").write_text(content.format(mark), encoding="utf-8")
    assert expanded(["--x=0", "--flagfile=a.cfg", "--y=2"]) == ["--x=0", "--a=1", "--nob", "--y=2"]
    assert expanded(["-flagfile", "a.cfg"]) == ["--a=1", "--nob"]
    assert expanded(["--", "--flagfile=a.cfg"]) == ["--", "--flagfile=a.cfg"]


def test_a_file_names_another_and_is_in_the_users_home(folder, monkeypatch):
    monkeypatch.setenv("HOME", str(folder))
    (folder / "a.cfg").write_text("--flagfile=~/b.cfg\n--a=1")
    (folder / "b.cfg").write_text("--b=1")
    assert expanded(["--flagfile=~/a.cfg"]) == ["--b=1", "--a=1"]


WRONG = {
    "dataset=digits": r"a.cfg:2: 'dataset=digits' is no flag; expected --NAME=VALUE",
    "--gamma 1": "a.cfg:2: '--gamma 1' is no flag",
    "--": "a.cfg:2: '--' is no flag",
    "--flagfile=a.cfg": "--flagfile=a.cfg names itself, by a.cfg",
    "--flagfile=": "names no file",
    "--flagfile=no.cfg": r"--flagfile=no.cfg cannot be read \(No such file",
    "--flagfile=.": r"--flagfile=. cannot be read \(Is a directory\)",
    "--flagfile=\0": r"cannot be read \(embedded null byte\)",
    "--flagfile=/dev/zero": "larger than 1,048,576 bytes; is it a flagfile",
    "\xff": "--flagfile=a.cfg is no text in UTF-8",
}


@pytest.mark.parametrize("line", WRONG)
def test_a_file_that_is_no_flagfile_is_reported(folder, line):
    (folder / "a.cfg").write_bytes(f"# one\n{line}\n".encode("latin-1"))
    with pytest.raises(InputError, match=WRONG[line]):
        expanded(["--flagfile=a.cfg"])


def test_without_a_file(folder):
    with pytest.raises(InputError, match="names no file"):
        expanded(["--flagfile"])


def test_files_do_not_multiply(folder):
    """Each names the next one twice: 2^9 of them, of a few bytes."""
    for n in range(9):
        (folder / f"{n}.cfg").write_text(f"--flagfile={n + 1}.cfg\n" * 2)
    (folder / "9.cfg").write_text("--a=1\n")
    with pytest.raises(InputError, match="too many flagfiles"):
        expanded(["--flagfile=0.cfg"])


def test_files_one_in_the_other_have_an_end(folder):
    for n in range(2000):
        (folder / f"{n}.cfg").write_text(f"--flagfile={n + 1}.cfg\n")
    with pytest.raises(InputError, match="10 one in the other"):
        expanded(["--flagfile=0.cfg"])


def test_the_largest_file_is_read(folder):
    (folder / "a.cfg").write_text("#" * (MAX_BYTES - 6) + "\n--a=1")
    assert expanded(["--flagfile=a.cfg"]) == ["--a=1"]


def test_a_flagfile_that_is_not_there_is_the_shipped_one(folder):
    assert "--dataset=digits" in expanded(["--flagfile=flags/digits.cfg"])
    (folder / "flags").mkdir()
    (folder / "flags/digits.cfg").write_text("--a=1")
    assert expanded(["--flagfile=flags/digits.cfg"]) == ["--a=1"]
    for path in ("digits.cfg", "flags/no.cfg", "x/flags/digits.cfg", "flags/../flags/x/digits.cfg"):
        with pytest.raises(InputError, match="cannot be read"):
            expanded([f"--flagfile={path}"])
