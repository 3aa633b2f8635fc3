"""--precision=auto: what is measured, when, and what follows from it."""

import json

import pytest

from dim_tf.training import precision


@pytest.fixture
def times(monkeypatch, tmp_path):
    """The next times to be measured; the cache is in tmp_path/dim_tf."""
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path))
    times = []
    monkeypatch.setattr(precision, "measure", lambda: times.pop(0))
    return times


def milliseconds(float32, bfloat16):
    return {"float32": float32, "bfloat16": bfloat16}


@pytest.mark.parametrize(
    ("measured", "choice"),
    [((20.0, 10.0), "bfloat16"), ((10.0, 30.0), "float32"), ((10.0, 9.5), "float32")],
)
def test_bfloat16_has_to_be_faster_by_a_tenth(times, measured, choice, capsys):
    times.append(milliseconds(*measured))
    assert precision.choose() == choice
    ratio = measured[0] / measured[1]
    line = f"train: --precision=auto is {choice}: bfloat16 runs at {ratio:.2f} times the speed"
    assert line in capsys.readouterr().out


def test_where_bfloat16_does_not_work_it_is_float32(times, capsys):
    times.append({"float32": 1.0})
    assert precision.choose() == precision.choose() == "float32"
    assert "float32: TensorFlow cannot compute in bfloat16 here" in capsys.readouterr().out


def test_a_machine_is_measured_once(times, monkeypatch):
    times += [milliseconds(2.0, 1.0), milliseconds(1.0, 2.0)]
    assert precision.choose() == precision.choose() == "bfloat16"
    monkeypatch.setattr(precision.cpu, "model", lambda: "another processor")
    assert precision.choose() == "float32"
    monkeypatch.undo()


def test_switches_of_the_kernels_are_part_of_the_machine(monkeypatch):
    before = precision.describe_machine()
    monkeypatch.setenv("ONEDNN_MAX_CPU_ISA", "AVX2")
    assert precision.describe_machine() != before


@pytest.mark.parametrize(
    "damage",
    [
        lambda text: text[:-20],
        lambda text: text.replace('"bfloat16": 1.0', '"bfloat16": 9.0'),
        lambda text: json.dumps({**json.loads(text), "milliseconds": {}, "sha256": None}),
        lambda text: "[]",
    ],
    ids=["cut off", "changed", "without times", "no object"],
)
def test_a_damaged_file_is_measured_again(times, tmp_path, damage):
    times += [milliseconds(2.0, 1.0), milliseconds(1.0, 2.0)]
    precision.choose()
    (path,) = (tmp_path / "dim_tf/precision").iterdir()
    path.write_text(damage(path.read_text()))
    assert precision.choose() == "float32"
    assert precision.choose() == "float32"  # of the file, which is whole again
    assert times == []


def test_a_cache_that_cannot_be_written_is_said_and_does_no_harm(times, tmp_path, capsys):
    (tmp_path / "dim_tf").write_text("no folder")
    times += [milliseconds(2.0, 1.0), milliseconds(2.0, 1.0)]
    assert precision.choose() == precision.choose() == "bfloat16"
    assert "cannot be kept in" in capsys.readouterr().out


@pytest.mark.slow
def test_both_precisions_are_timed_and_the_process_stays_as_it_was(monkeypatch):
    import keras

    monkeypatch.setattr(precision, "_SECONDS", 0.0)
    before = keras.config.dtype_policy().name
    measured = precision.measure()
    assert measured.keys() == {"float32", "bfloat16"}
    assert all(value > 0 for value in measured.values())
    assert keras.config.dtype_policy().name == before
