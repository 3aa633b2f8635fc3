"""Any command line and flagfile: an experiment and its stages, or one line and exit status 2."""

import contextlib
import copy
import dataclasses
import io
from pathlib import Path

import fuzzing
import pytest
from absl import app, flags
from hypothesis import strategies as st

from dim_tf import flags as dim_flags
from dim_tf import main
from dim_tf.errors import InputError, one_line
from dim_tf.experiment import Experiment

FIELDS = {field.name: field for field in dataclasses.fields(Experiment)}
FILES = ("a.cfg", "b.cfg", "c.cfg")
ABSL = ("flagfile", "undefok", "help", "helpxml", "only_check_args", "pdb", "no_such_flag", "", "?")

fitting = {
    bool: st.sampled_from(["true", "false", "1", "0"]),
    int: st.sampled_from(["1", "2", "64", "0x10", "1000"]),
    float: st.sampled_from(["0.1", "1", "1e-4", "2"]),
    str: st.sampled_from(["a", "digits", "runs/a", "knn, linear", "~/a", "ü ü"]),
}
wrong = st.one_of(
    fuzzing.texts,
    fuzzing.numbers.map(str),
    st.sampled_from(["nan", "-inf", "1e400", "1e3", "-1", "1,2", "0x" + "f" * 5000, "9" * 5000]),
)


@st.composite
def arguments(draw):
    """One flag or two words; a third are wrong."""
    kind = draw(st.sampled_from(["fits"] * 6 + ["mode", "file", "file", "wrong", "absl", "text"]))
    if kind == "text":
        return [draw(fuzzing.texts)]
    if kind == "mode":
        return [
            "--mode=" + draw(st.sampled_from(["train", "export, train", "compare", "", ",", "x"]))
        ]
    if kind == "file":
        path = draw(
            st.sampled_from([*FILES, *FILES, "no.cfg", ".", "/dev/zero", "\0", "", "x" * 5000])
        )
        return draw(st.sampled_from([[f"--flagfile={path}"], ["--flagfile", path], ["-flagfile"]]))
    if kind == "absl":
        name, value = draw(st.sampled_from(ABSL)), draw(wrong)
    else:
        name = draw(st.sampled_from(sorted(FIELDS)))
        field = FIELDS[name]
        choices = field.metadata["choices"]
        right = st.sampled_from([str(c) for c in choices]) if choices else fitting[field.type]
        value = draw(right if kind == "fits" else wrong)
    forms = [[f"--{name}={value}"]] * 6
    forms += [[f"--{name}", value], [f"-{name}={value}"], [f"--no{name}"], [f"--{name}"]]
    return draw(st.sampled_from(forms))


@st.composite
def flagfiles(draw):
    """A flagfile's bytes: lines that are arguments, comments, or not text at all."""
    if draw(st.integers(0, 9)) == 0:
        return draw(st.binary(max_size=30))
    comments = st.sampled_from([["# said"], ["// said"], [""], ["--gamma 2"], ["gamma=2"]])
    lines = draw(st.lists(st.one_of(arguments(), arguments(), comments), max_size=4))
    text = draw(st.sampled_from(["\n", "\r\n"])).join(" ".join(line) for line in lines)
    mark = draw(st.sampled_from([b"", b"", b"\xef\xbb\xbf"]))
    return mark + text.encode("utf-8", "surrogatepass") * draw(st.sampled_from([1, 1, 1, 300_000]))


@st.composite
def command_lines(draw):
    files = {name: draw(flagfiles()) for name in draw(st.sets(st.sampled_from(FILES)))}
    given = draw(st.lists(arguments(), max_size=4))
    return [word for words in given for word in words], files


@pytest.fixture(scope="module")
def values():
    """All flags of the program, absl's among them, apart from those of this process."""
    app.define_help_flags()
    found = copy.deepcopy(flags.FLAGS)
    with contextlib.suppress(flags.DuplicateFlagError):
        dim_flags.define(found)
    return found


def outcome(values, words, files):
    for name in FILES:
        Path(name).unlink(missing_ok=True)
    for name, content in files.items():
        Path(name).write_bytes(content)
    for name in values:
        values[name].unparse()
    out, err = io.StringIO(), io.StringIO()
    line = ["main", *words]
    try:
        with contextlib.redirect_stdout(out), contextlib.redirect_stderr(err):
            main.parse_flags(line, values)
        experiment = dim_flags.experiment(values, line)
        modes = dim_flags.modes(values)
    except SystemExit as end:
        if end.code == 0:
            return "help" if "usage:" in out.getvalue() else "badly ended"
        told = err.getvalue() if end.code == main.WRONG_INPUT else f"status {end.code}"
    except InputError as error:
        told = f"error: {one_line(error)}\n"
    else:
        assert modes
        assert err.getvalue() == ""
        for field in FIELDS.values():
            assert type(getattr(experiment, field.name)) is field.type
        assert Experiment.from_json(experiment.to_json()) == experiment
        return "accepted"
    assert told.startswith("error: ")
    assert told.endswith("\n")
    assert fuzzing.is_told(told[:-1])
    return "refused"


@fuzzing.sizes(10_000)
def test_any_command_line(cases, values, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fuzzing.run("command line", command_lines(), lambda case: outcome(values, *case), cases)
