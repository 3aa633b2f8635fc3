"""`dim_tf.export.convert`, by runtimes of the test; test_runtimes.py has the real ones."""

import importlib.util
import shutil
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import small_export
import tensorflow as tf

from dim_tf.export import convert, serving, verify
from dim_tf.export.convert import Source
from dim_tf.export.runtimes import tfjs
from dim_tf.system.errors import InputError, RunError


class Copied:
    """A runtime whose model is the SavedModel, its outputs changed."""

    def __init__(self, name="copied", change=lambda outputs: outputs):
        self.name = name
        self._change = change

    def check_installed(self):
        pass

    def write(self, saved_model, folder):
        shutil.copytree(saved_model, folder / "model")

    def load(self, folder):
        # Kept whole: the variables of a signature live as long as its SavedModel.
        loaded = tf.saved_model.load(str(folder / "model"))

        def run(images):
            outputs = loaded.signatures["serving_default"](images=tf.constant(images))
            return self._change({name: x.numpy() for name, x in outputs.items()})

        return run


class Unconvertible(Copied):
    def write(self, saved_model, folder):
        (folder / "half").write_text("half", encoding="utf-8")
        raise ValueError("no such operation\nsecond line")


def scaled(by):
    return lambda outputs: {name: by * x for name, x in outputs.items()}


@pytest.fixture(scope="module")
def version(tmp_path_factory):
    """A version: a SavedModel with warm-up requests of real images."""
    path = tmp_path_factory.mktemp("exported") / "small" / "1"
    small_export.save(path)
    serving.write_warmup(path, "small", small_export.images())
    return path


@pytest.fixture(scope="module")
def source(version):
    return Source.load(version)


def names(folder):
    return sorted(path.name for path in folder.iterdir())


def test_the_images_are_those_of_the_warm_up(source):
    np.testing.assert_array_equal(source.images, small_export.images())


def test_a_model_is_converted(source, tmp_path):
    difference = convert.convert(source, Copied(), tmp_path / "copied")
    assert difference <= 1e-6
    assert names(tmp_path) == ["copied"]
    assert not verify.differences(tmp_path / "copied")
    loaded = tf.saved_model.load(str(tmp_path / "copied" / "model"))
    assert list(loaded.signatures) == ["serving_default"]  # what the converters see


def test_the_difference_is_the_largest_relative_to_the_largest_output(source):
    run = Copied(change=scaled(1.5))
    saved = {}

    def remembered(images):
        saved["outputs"] = source.run(images)
        return run._change(saved["outputs"])

    assert convert.largest_difference(source, remembered) == pytest.approx(0.5, rel=1e-5)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (scaled(1 + 3e-4), r"differs from the SavedModel by 3\.0e-04 .* more than 0\.0001"),
        (scaled(np.nan), "global has values that are not finite"),
        (lambda x: {"other": x["global"]}, r"its outputs are other \[6, 5\], not global \[6, 5\]"),
        (lambda x: {"global": x["global"][:, :4]}, r"global \[6, 4\], not global \[6, 5\]"),
        (lambda x: {"global": x["global"][:3]}, r"global \[3, 5\], not global \[6, 5\]"),
    ],
)
def test_a_result_that_differs_is_refused_and_the_previous_stays(source, tmp_path, change, message):
    target = tmp_path / "copied"
    target.mkdir()
    (target / "earlier").write_text("whole", encoding="utf-8")
    with pytest.raises(RunError, match=message):
        convert.convert(source, Copied(change=change), target)
    assert names(tmp_path) == ["copied"]
    assert names(target) == ["earlier"]


def test_a_new_result_replaces_the_previous(source, tmp_path):
    target = tmp_path / "copied"
    target.mkdir()
    (target / "earlier").write_text("whole", encoding="utf-8")
    convert.convert(source, Copied(), target)
    assert names(tmp_path) == ["copied"]
    assert names(target) == ["SHA256SUMS", "model"]


def test_a_failed_runtime_does_not_keep_others_from_theirs(source, tmp_path, capsys):
    runtimes = [Unconvertible("first"), Copied("second")]
    assert convert.convert_all(source, runtimes, tmp_path / "converted") == 1
    output = capsys.readouterr()
    assert "first: the model cannot be converted (no such operation); " in output.err
    assert "what was there stays as it was" in output.err
    assert output.out.startswith(f"converted: {tmp_path / 'converted' / 'second'} (largest")
    assert names(tmp_path / "converted") == ["second"]
    assert convert.convert_all(source, runtimes[1:], tmp_path / "converted") == 0


def test_a_folder_of_others_is_not_replaced(source, tmp_path):
    (tmp_path / "copied").mkdir()
    (tmp_path / "copied" / "mine").touch()
    with pytest.raises(
        InputError, match=r"copied is not what this command wrote.*another --output"
    ):
        convert.convert_all(source, [Copied()], tmp_path)
    assert names(tmp_path / "copied") == ["mine"]


def test_wrong_input_is_found_before_anything_is_written(source, version, tmp_path):
    (tmp_path / "second").write_text("mine", encoding="utf-8")
    runtimes = [Copied("first"), Copied("second")]
    with pytest.raises(InputError, match="second is not what this command wrote"):
        convert.convert_all(source, runtimes, tmp_path)
    assert names(tmp_path) == ["second"]
    before = names(version)
    for folder in (version, version / "converted"):
        with pytest.raises(InputError, match=rf"--output={folder} is in {version} itself; give"):
            convert.convert_all(source, runtimes, folder)
    assert names(version) == before


def test_a_classifier_is_converted_for_its_probabilities(tmp_path):
    from dim_tf.export import classifier_saved_model
    from dim_tf.export.saved_model import SavedModelOptions

    path = tmp_path / "1"
    classifier_saved_model.save(
        small_export.small_encoder(), small_export.head(), path, SavedModelOptions({})
    )
    serving.write_warmup(path, "small", small_export.images())
    source = Source.load(path)
    assert source.signature == "probabilities"
    assert convert.convert(source, Copied(), tmp_path / "copied") <= 1e-6


def test_formats_that_do_not_exist_are_refused():
    with pytest.raises(InputError, match="'coreml' is no format; expected some of onnx,openvino"):
        convert.chosen_runtimes("onnx,coreml")
    with pytest.raises(InputError, match="'' is no format"):
        convert.chosen_runtimes("")


@pytest.mark.parametrize("name", ["onnx", "openvino"])
def test_a_missing_package_is_named_with_the_command(name, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda package: None)
    with pytest.raises(InputError, match=rf"not installed here; pip install 'dim_tf\[{name}\]'"):
        convert.chosen_runtimes(name)


def test_tfjs_says_what_it_needs(tmp_path, monkeypatch):
    with pytest.raises(InputError, match=r"needs --tfjs_python=PATH.*pip install tensorflowjs"):
        convert.chosen_runtimes("tfjs")
    for python in (sys.executable, str(tmp_path / "none")):  # neither has tensorflowjs
        with pytest.raises(InputError, match=f"{python} is no Python with tensorflowjs"):
            convert.chosen_runtimes("tfjs", python)
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path / "empty"))
    with pytest.raises(InputError, match="needs Node"):
        convert.chosen_runtimes("tfjs", str(python))
    node = tmp_path / "node"
    node.write_text("#!/bin/sh\nexit 1\n", encoding="utf-8")
    node.chmod(0o755)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(InputError, match="npm install @tensorflow/tfjs-core"):
        convert.chosen_runtimes("tfjs", str(python))


@pytest.mark.skipif(not shutil.which("node"), reason="Node is not installed")
def test_packages_of_node_are_looked_for_where_the_script_finds_them(tmp_path, monkeypatch):
    for name in tfjs.NODE_PACKAGES:
        folder = tmp_path / "with #1 space" / "node_modules" / "@tensorflow" / name
        folder.mkdir(parents=True)
        (folder / "index.js").touch()
    python = tmp_path / "python"
    python.write_text("#!/bin/sh\nexit 0\n", encoding="utf-8")
    python.chmod(0o755)
    monkeypatch.delenv("NODE_PATH", raising=False)
    monkeypatch.chdir(tmp_path / "with #1 space")
    tfjs.TfJs(str(python), "node_modules").check_installed()
    # Those of the working folder are found by `node -e`, and not by a script elsewhere.
    with pytest.raises(InputError, match="then --node_modules=node_modules"):
        tfjs.TfJs(str(python)).check_installed()


def test_the_packages_of_tfjs_have_one_version_everywhere():
    commands = (tfjs.INSTALL_CONVERTER, tfjs.INSTALL_RUNTIME)
    assert f"@tensorflow/tfjs-core@{tfjs.VERSION} " in tfjs.INSTALL_RUNTIME
    root = Path(__file__).parents[3]
    page = (root / "docs" / "howto" / "convert.md").read_text(encoding="utf-8").splitlines()
    assert all(command in page for command in commands)
    # A release runs these very commands, and installs no package of TF.js otherwise.
    release = (root / ".ci" / "release").read_text(encoding="utf-8")
    assert 'print(t.INSTALL_CONVERTER, "&&", t.INSTALL_RUNTIME)' in release
    assert "npm install" not in release
    assert "tensorflowjs" not in release


def test_folders_that_are_no_version_are_refused(version, tmp_path):
    with pytest.raises(InputError, match=r"has no saved_model\.pb, so it is no version"):
        Source.load(tmp_path)
    with pytest.raises(InputError, match=f"give one, as {version}"):
        Source.load(version.parent)
    (tmp_path / "saved_model.pb").write_bytes(b"\xff")
    with pytest.raises(InputError, match="cannot be loaded"):
        Source.load(tmp_path)


def test_a_damaged_version_is_refused(version, tmp_path):
    (tmp_path / "saved_model.pb").write_bytes((version / "saved_model.pb").read_bytes())
    verify.write_sums(tmp_path)
    (tmp_path / "saved_model.pb").write_bytes(b"other")
    with pytest.raises(InputError, match=r"is not as it was published \(changed: saved_model.pb"):
        Source.load(tmp_path)


def test_models_of_other_kinds_are_refused(tmp_path):
    module = tf.Module()
    spec = tf.TensorSpec([None], tf.float32)
    module.f = tf.function(lambda x: {"a": x, "b": x}, input_signature=[spec])
    tf.saved_model.save(module, str(tmp_path), signatures=module.f)
    with pytest.raises(InputError, match="neither an encoder nor a classifier"):
        Source.load(tmp_path)


def test_a_version_without_images_is_refused(version, tmp_path):
    small_export.save(tmp_path / "1")
    with pytest.raises(InputError, match="cannot be read"):
        Source.load(tmp_path / "1")
    file = tmp_path / "1" / serving.WARMUP_FILE
    file.parent.mkdir(exist_ok=True)
    file.write_bytes(9 * b"no record")
    with pytest.raises(InputError, match="cannot be read"):
        Source.load(tmp_path / "1")
    file.write_bytes(b"")
    with pytest.raises(InputError, match="has no images for the signature serving_default"):
        Source.load(tmp_path / "1")


def test_the_command_ends_with_2_at_wrong_input(tmp_path, capsys, monkeypatch):
    assert convert.main(["--to=coreml", str(tmp_path)]) == 2
    assert capsys.readouterr().err.startswith("error: --to=coreml: 'coreml' is no format")
    monkeypatch.setattr(convert, "chosen_runtimes", lambda *_: [Copied()])
    assert convert.main(["--to=onnx", str(tmp_path)]) == 2
    assert "has no saved_model.pb" in capsys.readouterr().err


def test_the_command_writes_beside_the_versions(version, capsys, monkeypatch):
    monkeypatch.setattr(convert, "chosen_runtimes", lambda *_: [Copied()])
    assert convert.main(["--to=onnx", str(version)]) == 0
    assert names(version.parent / "converted" / "1") == ["copied"]


def test_help_of_the_program_in_a_process():
    command = [sys.executable, "-m", "dim_tf.export.convert", "--help"]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert "Exit status: 0" in done.stdout
