"""Commands, flags and paths in README.md, docs/ and flags/ are those of the program."""

import re
import shlex

import pytest
from absl import flags
from doc_pages import PAGES, PAGES_THAT_ADD, ROOT

from dim_tf.cli import flagfiles
from dim_tf.cli import flags as settings_flags

# test_howto.py runs the commands of pages that add flags.
PAGES = [page for page in PAGES if page not in PAGES_THAT_ADD]
FLAGFILES = [f"flags/{path.name}" for path in sorted((ROOT / "flags").glob("*.cfg"))]
# Of other programs: benchmarks, the Beam pipeline and its runners, TensorFlow Serving and its
# clients, the conversion, Docker, Slurm.
OTHER_PROGRAMS_FLAGS = {
    *("input", "output", "runner", "shard_size"),
    *("dask_client_address", "dask_scheduler_file", "direct_num_workers", "direct_running_mode"),
    *("imports", "precisions", "repetitions"),
    *("model_config_file", "out", "profile", "url", "version"),
    *("to", "tfjs_python", "node_modules", "owner", "user"),
    "requeue",
}
COMMAND = re.compile(r"(?:python -m dim_tf\.main|\bdim-tf) +(--[^`\n#|>]*)")
# SEED of --seed=SEED is to be replaced, but not $TFDS_DATA_DIR of --data_dir.
PLACEHOLDER = re.compile(r"--\w+=[A-Z]+(?= |$)|(?<= )[A-Z]+(?= |$)|\.\.\.")


def parsed(arguments):
    values = flags.FlagValues()
    settings_flags.define(values)
    rest = values(["dim-tf", *flagfiles.expanded(arguments)])
    assert rest == ["dim-tf"]
    settings_flags.modes(values)
    return settings_flags.experiment(values, ["dim-tf", *arguments])


def commands_of(file):
    """The arguments of each command in a file, without placeholders."""
    text = re.sub(r"\\\n#?", "", (ROOT / file).read_text(encoding="utf-8"))
    for command in COMMAND.findall(text):
        arguments = shlex.split(PLACEHOLDER.sub("", command))
        yield [x for x in arguments if not x.startswith("--help") and x != "$MEASURES"]


def unknown_flags(text):
    """The flags in the code spans of a text that this program does not have."""
    values = flags.FlagValues()
    settings_flags.define(values)
    known = {*values, "flagfile", "help", "helpfull"} | OTHER_PROGRAMS_FLAGS
    spans = re.findall(r"(?<!`)`(--[^`]*)`", text)
    names = {name for span in spans for name in re.findall(r"(?<![\w-])--([a-z][\w.]*)", span)}
    return {name for name in names if not {name, name.removeprefix("no")} & known}


@pytest.mark.parametrize("file", [*PAGES, *FLAGFILES])
def test_commands_are_accepted(file, monkeypatch):
    monkeypatch.chdir(ROOT)
    for arguments in commands_of(file):
        try:
            parsed(arguments)
        except Exception as error:
            pytest.fail(f"{file}: {' '.join(arguments)}: {error}")


def test_commands_are_found():
    assert len([x for file in PAGES for x in commands_of(file)]) > 50
    assert all(list(commands_of(file)) for file in FLAGFILES)


@pytest.mark.parametrize("file", PAGES)
def test_flags_exist(file):
    assert not unknown_flags((ROOT / file).read_text(encoding="utf-8"))


def test_an_unknown_flag_is_found():
    text = "`--nosuch=1`, `--noresume`, `--views=2\n--wrong.units=3`, `--simclr.temperature`"
    assert unknown_flags(text) == {"nosuch", "wrong.units"}


def test_paths_of_the_design_exist():
    text = (ROOT / "docs/DESIGN.md").read_text(encoding="utf-8")
    rows = re.findall(r"^\| `( *)([\w./]+)`(.*)$", text, re.MULTILINE)
    assert len(rows) > 40
    for indent, path, rest in rows:
        if not indent:
            package = ROOT / path  # of the indented rows below it
        first = package / path if indent else package
        assert first.exists(), path
        for name in re.findall(r"`([\w/]+\.py|[\w/]+/)`", rest):
            assert any((x / name).exists() for x in (first, first.parent, package, ROOT)), name
