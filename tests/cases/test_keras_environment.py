"""A user's keras.json and KERAS_BACKEND change no run, and end in one line where they must."""

import json
import os
import pwd
import subprocess
import sys

import keras
import pytest

from keras_models import encoders, keras_settings

HOSTILE = {
    "floatx": "float16",
    "epsilon": 0.1,
    "backend": "jax",
    "image_data_format": "channels_first",
}


@pytest.fixture
def home(tmp_path):
    (tmp_path / ".keras").mkdir()
    return tmp_path


def write(home, settings):
    (home / ".keras" / "keras.json").write_text(json.dumps(settings))


def test_the_backend_is_known_without_importing_keras(home):
    def configured(**environ):
        return keras_settings.configured_backend({"HOME": str(home), **environ})

    file = home / ".keras" / "keras.json"
    assert configured()[0] == "tensorflow"
    assert configured(KERAS_BACKEND="torch") == ("torch", "the environment's KERAS_BACKEND")
    write(home, HOSTILE)
    assert configured() == ("jax", str(file))
    assert configured(KERAS_BACKEND="tensorflow")[0] == "tensorflow"
    assert configured(KERAS_BACKEND="")[0] == "jax"
    elsewhere = home / "elsewhere"
    elsewhere.mkdir()
    (elsewhere / "keras.json").write_text('{"backend": "openvino"}')
    assert configured(KERAS_HOME=str(elsewhere)) == ("openvino", str(elsewhere / "keras.json"))
    for broken in ("[1]", "{", "{}"):
        file.write_text(broken)
        assert configured()[0] == "tensorflow"


def test_without_a_home_the_backend_is_known_too(monkeypatch):
    """As of a user without an entry in passwd, in a container."""

    def nobody(*_):
        raise KeyError("uid not found")

    monkeypatch.delenv("HOME", raising=False)
    monkeypatch.setattr(pwd, "getpwuid", nobody)
    assert str(keras_settings.config_file({})) == "/tmp/.keras/keras.json"


def test_another_backend_is_refused_in_one_line(home, monkeypatch):
    monkeypatch.delitem(sys.modules, "keras")
    environ = {"HOME": str(home), "KERAS_BACKEND": "jax"}
    with pytest.raises(ImportError, match=r"'jax' \(the environment's KERAS_BACKEND\)") as error:
        keras_settings.check_backend(environ)
    assert "set KERAS_BACKEND=tensorflow" in str(error.value)
    assert "\n" not in str(error.value)
    keras_settings.check_backend({"HOME": str(home)})


def test_a_backend_that_keras_has_already_counts_whatever_the_environment_says():
    keras_settings.check_backend({"KERAS_BACKEND": "torch"})


@pytest.mark.parametrize(
    ("name", "value"), [("floatx", "float16"), ("image_data_format", "channels_first")]
)
def test_numbers_and_formats_that_models_do_not_have_are_refused(name, value):
    before = getattr(keras.config, name)()
    change = getattr(keras.config, f"set_{name}")
    change(value)
    try:
        with pytest.raises(ValueError, match=f"Keras' {name} is '{value}'; the models need"):
            encoders.get("basic28x28")
    finally:
        change(before)


def run(home, *arguments, **environ):
    without = {k: v for k, v in os.environ.items() if k != "TF_CPP_MIN_LOG_LEVEL"}
    return subprocess.run(
        [sys.executable, *arguments],
        capture_output=True,
        text=True,
        check=False,
        env={**without, "HOME": str(home), **environ},
        timeout=120,
    )


@pytest.mark.slow
def test_a_run_is_the_same_whatever_the_user_has_set_for_keras(home):
    """And nothing but the program's own lines is printed."""
    lines = []
    for name, environ in (
        ("plain", {}),
        ("hostile", {"KERAS_BACKEND": "torch", "KERAS_MAX_EPOCHS": "0"}),
    ):
        if environ:
            write(home, HOSTILE)
        done = run(
            home,
            "-m",
            "dim_tf.main",
            "--mode=train",
            "--dataset=digits",
            "--steps=2",
            "--batch_size=8",
            "--critic_units=8",
            "--log_every=1",
            f"--run_dir={home / name}",
            f"--name={name}",
            **environ,
        )
        assert (done.returncode, done.stderr) == (0, "")
        metrics = (home / name / "metrics.jsonl").read_text().splitlines()
        lines.append([json.loads(line) for line in metrics])
        for line in lines[-1]:
            line.pop("images_per_second", None)
    assert lines[0] == lines[1]
    assert len(lines[0]) == 2


@pytest.mark.slow
def test_settings_that_keras_cannot_use_end_in_one_line(home):
    done = run(home, "-c", "from dim_tf.export import EncoderLayer", KERAS_BACKEND="jax")
    assert done.stderr.splitlines()[-1].startswith("ImportError: Keras' backend is 'jax'")
    assert "tensorflow" not in done.stderr.partition("ImportError")[0]
    write(home, [1])
    done = run(home, "-m", "dim_tf.main", "--dataset=digits", "--steps=1", "--name=a")
    assert done.returncode == 2
    assert done.stderr.startswith("error: ")
    assert "keras.json holds what Keras cannot use" in done.stderr
    assert len(done.stderr.splitlines()) == 1
