"""Any command line and flagfile: an experiment and its stages, or one line and exit status 2."""

import contextlib
import io
import types
from pathlib import Path

import fuzzing
import pytest
from absl import flags
from hypothesis import strategies as st

from dim_tf import main
from dim_tf.cli import flags as settings_flags
from dim_tf.experiment import Experiment, all_fields
from dim_tf.settings.config_field import kind_of
from dim_tf.system import programs
from dim_tf.system.errors import InputError, one_line

FIELDS = all_fields()
FILES = ("a.cfg", "b.cfg", "c.cfg")
ABSL = ("flagfile", "undefok", "help", "helpxml", "only_check_args", "pdb", "no_such_flag", "", "?")

fitting = {
    bool: st.sampled_from(["true", "false", "1", "0"]),
    int: st.sampled_from(["1", "2", "64", "0x10", "1000"]),
    float: st.sampled_from(["0.1", "1", "1e-4", "2"]),
    tuple: st.sampled_from(["1", "8,4", "", "64,0"]),
    types.UnionType: st.sampled_from(["0", "64", "96,160", "32,32"]),
    str: st.sampled_from(["a", "digits", "runs/a", "knn, linear", "~/a", "ü ü"]),
}
wrong = st.one_of(
    fuzzing.texts,
    fuzzing.numbers.map(str),
    st.sampled_from(["nan", "-inf", "1e400", "1e3", "-1", "1,2", "0x" + "f" * 5000, "9" * 5000]),
)


def fitting_values(field):
    choices = [str(choice) for choice in field.metadata["choices"]]
    return st.sampled_from(choices) if choices else fitting[kind_of(field)]


# Made once: of Hypothesis' time most goes into strategies, not into values.
KINDS = st.sampled_from(["fits"] * 6 + ["mode", "file", "file", "wrong", "absl", "text"])
NAMES = st.sampled_from(sorted(FIELDS))
ABSL_NAMES = st.sampled_from(ABSL)
RIGHT = {name: fitting_values(field) for name, field in FIELDS.items()}
MODES = st.sampled_from(["train", "export, train", "compare", "", ",", "x"]).map("--mode={}".format)
PATHS = st.sampled_from([*FILES, *FILES, "no.cfg", ".", "/dev/zero", "\0", "", "x" * 5000])
DIRECTIVES = st.sampled_from([["--flagfile={}"]] * 3 + [["--flagfile", "{}"], ["-flagfile"]])
FORMS = st.sampled_from(
    [["--{}={}"]] * 6 + [["--{}", "{1}"], ["-{}={}"], ["--no{}"], ["--{}"], ["---{}={}"]]
)
ENDS = st.sampled_from(["\n", "\r\n"])
MARKS = st.sampled_from([b"", b"", b"\xef\xbb\xbf"])
REPEATED = st.sampled_from([1] * 30 + [300_000])  # multiplied late: Hypothesis keeps its cases
OTHER_LINES = st.sampled_from([["# said"], ["// said"], [""], ["--gamma 2"], ["gamma=2"]])


@st.composite
def arguments(draw):
    """One flag in one word or two; some are wrong."""
    kind = draw(KINDS)
    if kind == "text":
        return [draw(fuzzing.texts)]
    if kind == "mode":
        return [draw(MODES)]
    if kind == "file":
        path = draw(PATHS)
        return [word.format(path) for word in draw(DIRECTIVES)]
    name = draw(ABSL_NAMES if kind == "absl" else NAMES)
    value = draw(RIGHT[name] if kind == "fits" else wrong)
    return [_formed(word, name, value) for word in draw(FORMS)]


def _formed(word, name, value):
    return value if word == "{1}" else word.format(name, value)


LINES = st.lists(st.one_of(arguments(), arguments(), OTHER_LINES), max_size=4)
NO_TEXT = st.one_of(st.just(None), st.just(None), st.just(None), st.binary(max_size=30))


@st.composite
def flagfiles(draw):
    """A flagfile's bytes: lines that are arguments, comments, or not text at all; how often."""
    if (content := draw(NO_TEXT)) is not None:
        return content, 1
    text = draw(ENDS).join(" ".join(line) for line in draw(LINES))
    return draw(MARKS) + text.encode("utf-8", "surrogatepass"), draw(REPEATED)


CONTENTS = st.dictionaries(st.sampled_from(FILES), flagfiles(), max_size=3)
ARGUMENT_LISTS = st.lists(arguments(), max_size=4)


def command_lines():
    """Arguments, and the contents of the files."""
    words = ARGUMENT_LISTS.map(lambda lists: [word for of_one in lists for word in of_one])
    return st.tuples(words, CONTENTS)


@pytest.fixture(scope="module")
def values():
    """All flags of the program; absl's are not among them."""
    defined = flags.FlagValues()
    settings_flags.define(defined)
    return defined


def outcome(values, words, files):
    for name in FILES:
        Path(name).unlink(missing_ok=True)
    for name, (content, times) in files.items():
        Path(name).write_bytes(content * times)
    for name in values:
        values[name].unparse()
    out, err = io.StringIO(), io.StringIO()
    line = ["main", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main.parse_flags(line, values)
        experiment = settings_flags.experiment(values, line)
        modes = settings_flags.modes(values)
    except SystemExit as end:
        if end.code == 0:
            return "help" if "usage:" in out.getvalue() else "badly ended"
        message = err.getvalue() if end.code == programs.WRONG_INPUT else f"status {end.code}"
    except InputError as error:
        message = f"error: {one_line(error)}\n"
    else:
        assert modes
        assert err.getvalue() == ""
        for name, value in experiment.to_dict().items():
            assert name == "model" or fuzzing.is_of_kind(value, kind_of(FIELDS[name]))
        assert Experiment.from_json(experiment.to_json()) == experiment
        return "accepted"
    assert message.startswith("error: ")
    assert message.endswith("\n")
    assert fuzzing.is_one_line(message[:-1])
    return "refused"


@fuzzing.sizes(10_000)
def test_any_command_line(cases, values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fuzzing.run("command line", command_lines(), lambda case: outcome(values, *case), cases)
