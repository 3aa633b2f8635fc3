"""A version that was copied in part, cut off or changed is reported, and is not measured."""

import hashlib
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from dim_tf.evaluation import saved_encoder
from dim_tf.system.errors import InputError

ROOT = Path(__file__).parents[2]
SHARD = "variables/variables.data-00000-of-00001"


@pytest.fixture
def version(small_model, tmp_path):
    """A version of a small encoder, published but for its TFLite files."""
    from dim_tf.export import verify

    path = shutil.copytree(small_model[0], tmp_path / "small/1")
    (path / "README.md").write_text("# small\n")
    verify.write_sums(path)
    return path


def half_copied(version):
    shutil.rmtree(version / "variables")
    return f"{SHARD}: missing"


def without_index(version):
    (version / "variables/variables.index").unlink()
    return "variables/variables.index: missing"


def cut_off(version):
    os.truncate(version / SHARD, 100)
    return f"{SHARD}: changed"


def one_bit(version):
    with open(version / SHARD, "r+b") as file:
        file.seek(200)
        byte = file.read(1)[0]
        file.seek(200)
        file.write(bytes([byte ^ 1]))
    return f"{SHARD}: changed"


def replaced(version):
    (version / "assets/metadata.json").write_text("{}")
    return "assets/metadata.json: changed"


def extra(version):
    shutil.copy(version / SHARD, version / "variables/variables.data-00001-of-00002")
    return "variables/variables.data-00001-of-00002: extra"


def fifo(version):
    (version / "README.md").unlink()
    os.mkfifo(version / "README.md")
    return "README.md: changed"


def folder_for_a_file(version):
    (version / "assets/labels.txt").unlink()
    (version / "assets/labels.txt").mkdir()
    return "assets/labels.txt: changed"


FAULTS = [half_copied, without_index, cut_off, one_bit, replaced, extra, fifo, folder_for_a_file]
faults = pytest.mark.parametrize("fault", FAULTS, ids=lambda fault: fault.__name__)


def verify(*arguments):
    from dim_tf.export import verify

    return verify.main([str(argument) for argument in arguments])


def test_sums_are_those_of_sha256sum(version):
    lines = (version / "SHA256SUMS").read_text().splitlines()
    files = {str(p.relative_to(version)) for p in version.rglob("*") if p.is_file()}
    listed = dict(reversed(line.split("  ")) for line in lines)
    assert listed.keys() == files - {"SHA256SUMS"}
    for name, digest in listed.items():
        assert hashlib.sha256((version / name).read_bytes()).hexdigest() == digest
    if shutil.which("sha256sum"):
        command = ["sha256sum", "--check", "--strict", "--quiet", "SHA256SUMS"]
        subprocess.run(command, cwd=version, check=True)


def test_a_whole_version_is_whole(version, capsys):
    (version / ".DS_Store").write_text("of a system, not of the version")
    assert verify(version) == 0
    assert capsys.readouterr().out == f"{version}: whole\n"
    assert saved_encoder.load(str(version)).image_shape == (8, 8, 3)


@faults
def test_verify_says_which_file(version, fault, capsys):
    said = fault(version)
    assert verify(version) == 1
    assert f"{version}/{said}" in capsys.readouterr().out.splitlines()


@faults
def test_a_damaged_version_is_not_measured(version, fault):
    said = fault(version)
    with pytest.raises(InputError) as error:
        saved_encoder.load(str(version))
    name, kind = said.split(": ")
    message = str(error.value)
    assert f"--encoder_path={version} is not as it was published" in message
    assert f"{kind}: {name}" in message
    assert "copy the whole folder again" in message
    assert "\n" not in message


def test_all_versions_of_an_encoder_are_looked_at(version, capsys):
    for number in ("2", "10"):
        shutil.copytree(version, version.parent / number)
    (version.parent / ".unpublished-x").mkdir()
    said = cut_off(version.parent / "2")
    assert verify(version.parent) == 1
    lines = [f"{version}: whole", f"{version.parent}/2/{said}", f"{version.parent}/10: whole"]
    assert capsys.readouterr().out.splitlines() == lines
    (version.parent / "10/SHA256SUMS").unlink()
    assert verify(version.parent) == 1
    assert f"there is no {version.parent}/10/SHA256SUMS" in capsys.readouterr().err
    shutil.rmtree(version.parent / "2")
    assert verify(version.parent) == 2


@pytest.mark.parametrize(
    "sums",
    [b"", b"no sum\n", b"\xff\n", b"0" * 64 + b"  ../../etc/passwd\n", b"0" * 63],
    ids=["empty", "text", "bytes", "outside", "cut off"],
)
def test_sums_that_are_none(version, sums, capsys):
    (version / "SHA256SUMS").write_bytes(sums)
    assert verify(version) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("error: ")
    assert printed.err.count("\n") == 1
    with pytest.raises(InputError, match="SHA256SUMS"):
        saved_encoder.load(str(version))


def test_verify_of_a_folder_that_is_no_version(tmp_path, capsys):
    for path in (tmp_path, tmp_path / "none"):
        assert verify(path) == 2
        assert f"error: {path} is no version of an exported encoder" in capsys.readouterr().err


def test_a_models_name_cannot_write_to_the_terminal(version, capsys):
    (version / "\033[31mred\n").write_text("")
    assert verify(version) == 1
    assert capsys.readouterr().out == f"{version}/\\x1b[31mred\\n: extra\n"


def test_embedding_asks_for_a_whole_version_too(version):
    from dim_tf.export import saved_model

    replaced(version)
    with pytest.raises(InputError, match=r"--encoder_path=.* \(changed: assets/metadata.json, by"):
        saved_model.load(str(version), "serving_default")


def test_verify_needs_no_tensorflow(version):
    program = (
        "import runpy, sys; sys.modules.update(dict.fromkeys(['tensorflow', 'keras', 'numpy']));"
        f"sys.argv = ['verify', {str(version)!r}]; runpy.run_module('dim_tf.export.verify', "
        "run_name='__main__')"
    )
    done = subprocess.run(
        [sys.executable, "-c", program], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert (done.returncode, done.stdout, done.stderr) == (0, f"{version}: whole\n", "")


def test_an_output_that_takes_no_name_or_nothing_is_no_traceback(tmp_path):
    version = tmp_path / "\u0444"
    version.mkdir()
    (version / "a").touch()
    (version / "SHA256SUMS").write_text(f"{hashlib.sha256().hexdigest()}  a\n")
    command = [sys.executable, "-m", "dim_tf.export.verify", str(version)]
    ascii_only = {**os.environ, "PYTHONIOENCODING": "ascii"}
    shown = subprocess.run(command, cwd=ROOT, env=ascii_only, capture_output=True, check=False)
    assert (shown.returncode, shown.stderr) == (0, b"")
    assert shown.stdout.endswith(b"\\u0444: whole\n")
    reading, writing = os.pipe()
    os.close(reading)
    with os.fdopen(writing, "wb") as pipe:
        cut_off = subprocess.run(
            command, cwd=ROOT, stdout=pipe, stderr=subprocess.PIPE, text=True, check=False
        )
    assert cut_off.returncode == 2
    assert cut_off.stderr.startswith("error: what reads the output has ended")
    assert len(cut_off.stderr.splitlines()) == 1


def test_a_link_to_a_folder_is_too_many(version, capsys):
    (version / "link").symlink_to("/etc")
    assert verify(version) == 1
    assert "link: extra" in capsys.readouterr().out


def test_sums_may_be_in_capitals(version):
    sums = version / "SHA256SUMS"
    sums.write_text(
        "".join(f"{line[:64].upper()}{line[64:]}\n" for line in sums.read_text().splitlines())
    )
    assert verify(version) == 0
