"""What a command line may hold, what it is answered with, and where the answer goes."""

import contextlib
import io
import json
import os
import pwd
import subprocess
import sys
from pathlib import Path

import pytest
from absl import flags

import dim_tf
from dim_tf import main
from dim_tf.data import DataRequest
from dim_tf.data.sources import tfds_files
from dim_tf.experiment import Experiment
from dim_tf.system import programs, signals, user_cache
from dim_tf.system.errors import InputError
from dim_tf.training import data_fingerprint
from dim_tf.training.model import check_same_experiment

ROOT = Path(dim_tf.__file__).parents[1]


@pytest.fixture
def ended(monkeypatch, tmp_path, capsys):
    """Runs the console script in this process; returns its status and what it said."""
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(signals, "exit_on_signal", lambda: None)  # pytest's handlers stay

    def run(*words):
        monkeypatch.setattr(sys, "argv", ["dim-tf", *words])
        with pytest.raises(SystemExit) as end:
            main.run()
        return end.value.code, capsys.readouterr().err

    return run


# Of absl.app, absl.logging and, as for any imported library that defines its own, absl.testing.
ABSL_FLAGS = [
    "--only_check_args",
    "--noonly_check_args",
    "--run_with_pdb",
    "--pdb_post_mortem",
    "--pdb",
    "--run_with_profiling",
    "--profile_file=victim",
    "--stderrthreshold=foo",
    "--log_dir=victim",
    "--logger_levels=a:b",
    "--test_tmpdir=victim",
]


@pytest.mark.parametrize("word", ABSL_FLAGS)
@pytest.mark.parametrize("place", ["line", "file"])
def test_flags_of_libraries_are_refused(ended, word, place):
    import absl.testing.absltest  # noqa: F401  # defines --test_tmpdir

    Path("victim").write_text("precious")
    Path("theirs.cfg").write_text(f"{word}\n")
    words = [word] if place == "line" else ["--flagfile=theirs.cfg"]
    status, said = ended(*words, "--mode=compare", "--runs=a,b")
    assert status == 2
    assert "Unknown command line flag" in said
    assert len(said.splitlines()) == 1
    assert Path("victim").read_text() == "precious"


def test_no_flag_of_this_program_is_defined_for_all(ended):
    """A library that asks for its own flags gets their defaults, not an error."""
    assert ended("--flagfile=no.cfg")[0] == 2
    assert flags.FLAGS.is_parsed()
    assert "batch_size" not in flags.FLAGS


def test_undefok_does_not_let_flags_of_absl_through(ended):
    status, said = ended("--undefok=only_check_args", "--only_check_args", "--mode=x")
    assert (status, "--mode=x" in said) == (2, True)


WITHOUT_TENSORFLOW = {
    "--dataset=folder --data_dir=no/where": "--data_dir=no/where cannot be read",
    "--dataset=folder": "--dataset=folder needs --data_dir",
    "--mode=evaluate": "has no checkpoint; run --mode=train first",
    "--mode=export": "has no checkpoint; run --mode=train first",
    "--mode=evaluate --encoder_path=theirs": "theirs is no SavedModel",
    "--mode=embed": "--mode=embed needs --embed_input",
    "--mode=embed --embed_input=no/where": "--embed_input=no/where is not there",
    "--mode=embed --embed_input=.": "holds no exported encoder; run --mode=train,export first",
    "--mode=embed --embed_input=. --encoder_path=no": "--encoder_path=no is no exported encoder",
    "--mode=curate --encoder_path=a": "--mode=curate takes the images of a folder",
    "--mode=curate --dataset=folder --data_dir=. --apply=copy": "give --apply_dir",
    "--mode=anomaly": "--mode=anomaly takes the images of a folder, and --dataset=",
    "--mode=anomaly --dataset=folder --data_dir=.": "--mode=anomaly needs --anomaly_input",
    "--mode=search --dataset=folder --data_dir=. --search_by=patch": "=patch needs --query",
    "--mode=search --query_box=0,0,4,4": "--query_box is the detail of --search_by=patch",
    "--mode=embed --search_by=patch": "--search_by is of --mode=search",
    "--mode=curate --embed_feature=local": "--embed_feature is of --mode=embed",
    "--mode=curate --anomaly_bank=0.5": "--anomaly_bank is of --mode=anomaly",
    "--mode=search": "--mode=search takes the images of a folder, and --dataset=",
    "--mode=search --dataset=folder --data_dir=.": "--mode=search needs --query",
    "--mode=search --dataset=folder --data_dir=. --query=no": "--query=no is not there",
    "--mode=search --dataset=folder --data_dir=. --query=. --name=a": "a holds no exported encoder",
    "--mode=search,export --dataset=folder --data_dir=. --query=. --encoder_path=a": (
        "--encoder_path is for --mode=evaluate, finetune, embed, curate, anomaly and search"
    ),
    "--mode=finetune": "digits holds no exported encoder; run --mode=train,export first, or give",
    "--mode=finetune --dataset=folder": "--dataset=folder needs --data_dir",
    "--mode=embed --embed_input=. --encoder_path=gs://a/1": "gs://a/1 is not on this machine; copy",
    "--mode=finetune --encoder_path=gs://a/1": "gs://a/1 is not on this machine; copy that",
    "--mode=finetune --encoder_path=a.keras": "a.keras is no exported encoder (it has no saved_mod",
    "--mode=train,export,finetune --dataset=folder --data_dir=. --labels=none": "--labels=none",
    "--dataset=folder --data_dir=. --labels=labels.csv --label_column=no": "of labels 'no'",
    "--mode=curate --dataset=folder --data_dir=. --labels=no.csv": "--labels=no.csv is no file",
    "--mode=train --subset_size=3": "--subset_size is of --mode=curate, and --mode=train does not",
    "--mode=curate --dataset=folder --data_dir=. --k=3": "--k is of --mode=search, and",
    "--mode=train --finetune_rounds=3": "--finetune_rounds is of --mode=finetune, and --mode=train",
    "--mode=finetune --quantized": "--quantized is of an exported encoder, and a classifier gives",
    "--mode=train,export --neighbours_index=no": "--neighbours_index=no holds no embeddings",
    "--mode=compare --runs=a,b": "there is no run folder 'a'",
    "--mode=train --strategy=multi_worker": "TF_CONFIG describes no cluster (it is not set)",
    "--mode=train,export --strategy=multi_worker": "is for --mode=train alone",
    "--mode=compare,train": "--mode=compare stands alone",
    "--model=generator": "--model=generator has no encoder to export",
}
CHECKED = """
import contextlib, io, json, sys
for name in ("tensorflow", "keras", "fcntl"):  # the last is not there on Windows
    sys.modules[name] = None  # an import of it fails
from absl import flags
from dim_tf import main
from dim_tf.system import locks
from dim_tf.tables import leases
def outcome_of(words):
    values = flags.FlagValues()
    main.settings_flags.define(values)
    main.parse_flags(["main", *words], values)
    with contextlib.redirect_stderr(io.StringIO()) as said:
        status = main.main(["main", *words], values)
    return status, said.getvalue()
print(json.dumps([outcome_of(line.split()) for line in json.load(sys.stdin)]))
"""


def test_errors_that_need_no_tensorflow_come_before_its_import(tmp_path):
    (tmp_path / "labels.csv").write_text("file,kind\na.png,cat\nb.png,cat\n")
    done = subprocess.run(
        [sys.executable, "-c", CHECKED],
        input=json.dumps(list(WITHOUT_TENSORFLOW)),
        capture_output=True,
        text=True,
        check=False,
        cwd=tmp_path,
        env={**os.environ, "PYTHONPATH": str(ROOT), "TF_CONFIG": ""},
    )
    assert done.returncode == 0, done.stderr
    for (status, said), says in zip(
        json.loads(done.stdout), WITHOUT_TENSORFLOW.values(), strict=True
    ):
        assert (status, says in said) == (2, True), said
        assert len(said.splitlines()) == 1


HOSTILE = "\033]0;pwned\007\033[31mRED" + "A" * 5_000_000 + "\u202e\r\n\x9b2J"


def test_contents_of_a_run_folder_are_shown_and_not_obeyed(tmp_path, capsys):
    (tmp_path / data_fingerprint.FILE).write_text(HOSTILE)
    assert data_fingerprint.read(tmp_path) == data_fingerprint.DataFingerprint()
    (tmp_path / "experiment.json").write_text(HOSTILE)
    with pytest.raises(InputError) as caught:
        check_same_experiment(Experiment.of(name="a", run_dir=str(tmp_path)), None)
    programs.failed(caught.value)
    error = capsys.readouterr().err
    assert error.removesuffix("\n").isprintable()
    assert len(error) < 5000


def test_a_line_on_standard_output_is_one_line(capsys):
    from dim_tf.system.console import say

    say(HOSTILE)
    say("фото: β × 3")
    first, second = capsys.readouterr().out.splitlines()
    assert first.isprintable()
    assert len(first) < 20_000
    assert second == "фото: β × 3"


PREPARED = """
import os, sys
from dim_tf.system import console
console.open_streams()
with open("data", "w") as file:
    os.write(1, b"said by a library")
    console.say("фото " + str(sys.stdout.isatty()))
    print("also", file=sys.stderr, flush=True)
sys.exit(3 if console.flush() else 0)
"""


def prepared(tmp_path, closed=(), **environment):
    def close():
        for descriptor in closed:
            os.close(descriptor)

    return subprocess.run(
        [sys.executable, "-S", "-c", PREPARED],
        cwd=tmp_path,
        env={"PYTHONPATH": str(ROOT), "LC_ALL": "C", **environment},
        capture_output=True,
        check=False,
        preexec_fn=close,
    )


@pytest.mark.parametrize("closed", [(1,), (2,), (0, 1, 2)])
def test_closed_streams_are_opened_and_no_file_gets_what_is_printed(tmp_path, closed):
    done = prepared(tmp_path, closed)
    assert done.returncode == 0, done.stderr
    assert (tmp_path / "data").read_bytes() == b""


def test_an_output_that_cannot_show_a_name_shows_its_escapes(tmp_path):
    done = prepared(tmp_path, PYTHONIOENCODING="ascii")
    assert done.returncode == 0, done.stderr
    assert rb"\u0444\u043e\u0442\u043e False" in done.stdout


@contextlib.contextmanager
def closed_pipe():
    """Standard output is a pipe that nobody reads any more, as behind `| head`."""
    reading, writing = os.pipe()
    os.close(reading)
    with (
        contextlib.suppress(OSError),
        io.TextIOWrapper(os.fdopen(writing, "wb")) as stream,
        contextlib.redirect_stdout(stream),
    ):
        yield


def test_a_closed_pipe_is_reported_in_one_line(monkeypatch, tmp_path, capsys):
    from dim_tf import run
    from dim_tf.system import console

    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(run.Run, "train", lambda _: console.say("data: x"))
    values = flags.FlagValues()
    main.settings_flags.define(values)
    main.parse_flags(["main", "--mode=train"], values)
    with closed_pipe():
        status = main.main(["main", "--mode=train"], values)
        first, second = console.flush(), console.flush()  # the second as when Python ends
    assert status == programs.FAILED
    assert isinstance(first, BrokenPipeError)
    assert second is None
    said = capsys.readouterr().err
    assert said.startswith("error: what reads the output has ended")
    assert len(said.splitlines()) == 1


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="the system has no /dev/full")
def test_an_output_on_a_full_disk_is_reported_in_one_line(monkeypatch, capsys):
    monkeypatch.setattr(signals, "exit_on_signal", lambda: None)
    monkeypatch.setattr(main, "main", lambda *_: print("done") or 0)
    monkeypatch.setattr(sys, "argv", ["dim-tf"])
    with (
        open("/dev/full", "w") as stream,
        contextlib.redirect_stdout(stream),
        pytest.raises(SystemExit) as end,
    ):
        main.run()
    assert end.value.code == programs.FAILED
    assert capsys.readouterr().err == "error: [Errno 28] No space left on device\n"


def test_help_that_nobody_reads_to_its_end_is_no_traceback(monkeypatch):
    monkeypatch.setattr(signals, "exit_on_signal", lambda: None)
    monkeypatch.setattr(sys, "argv", ["dim-tf", "--help"])
    with closed_pipe(), pytest.raises(SystemExit):
        main.run()


@pytest.fixture
def no_home(monkeypatch):
    """As of a user without an entry in passwd, in a container."""

    def unknown(*_):
        raise KeyError

    for name in ("HOME", "XDG_CACHE_HOME", "TFDS_DATA_DIR"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr(pwd, "getpwuid", unknown)


def test_without_a_home_the_needed_settings_are_named(no_home, monkeypatch):
    with pytest.raises(InputError, match=r"no home folder.*--cache_dir, or set HOME"):
        user_cache.folder()
    with pytest.raises(InputError, match=r"--run_dir='~/a': this user has no home folder"):
        Experiment.of(name="a", run_dir="~/a")
    import tensorflow_datasets as tfds

    monkeypatch.setattr(
        tfds.core.constants, "DATA_DIR", os.path.expanduser("~/tensorflow_datasets")
    )
    with pytest.raises(InputError, match=r"no home folder.*--data_dir, or set HOME"):
        tfds_files.find_builder("mnist", DataRequest())
    assert Experiment.of(name="a", run_dir="~nobody-there/x").run_dir == "~nobody-there/x"


AS_A_DAEMON = """
import builtins, os, pwd, runpy, sys
os.environ.pop("HOME", None)
def unknown(*_):
    raise KeyError
pwd.getpwuid = unknown  # a user without an entry in passwd
opened = os.open, builtins.open
below = sys.argv[1]
def refused(path, writes):
    if writes and not isinstance(path, int) and os.path.abspath(path).startswith(below + os.sep):
        raise OSError(30, "Read-only file system", str(path))
def open_descriptor(path, flags, *others, **named):
    refused(path, flags & (os.O_WRONLY | os.O_RDWR | os.O_CREAT))
    return opened[0](path, flags, *others, **named)
def open_file(file, mode="r", *others, **named):
    refused(file, set(mode) & set("wax+"))
    return opened[1](file, mode, *others, **named)
os.open, builtins.open = open_descriptor, open_file
os.closerange(0, 3)
sys.stdin = sys.stdout = sys.stderr = None
sys.argv = ["dim-tf", *sys.argv[2:]]
runpy.run_module("dim_tf.main", run_name="__main__", alter_sys=True)
"""


@pytest.mark.slow
def test_a_daemon_trains(tmp_path):
    """All at once: no streams, no home, the C locale, an install that nobody may write to."""
    flags = [f"--run_dir={tmp_path}/фото", "--mode=train", "--batch_size=16", "--critic_units=16"]
    environment = {name: os.environ[name] for name in ("PATH", "TMPDIR") if name in os.environ}
    done = subprocess.run(
        [sys.executable, "-c", AS_A_DAEMON, str(ROOT), *flags, "--steps=2"],
        cwd=tmp_path,
        env={**environment, "PYTHONPATH": str(ROOT), "LANG": "C", "KERAS_HOME": str(tmp_path)},
        check=False,
    )
    assert done.returncode == 0
    assert (tmp_path / "фото/checkpoints/ckpt-2.json").exists()
