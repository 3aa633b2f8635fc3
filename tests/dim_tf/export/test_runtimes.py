"""ONNX Runtime, OpenVINO and TF.js compute what the SavedModel does, where they are installed.

TF.js' converter needs a Python of its own, DIM_TF_TFJS_PYTHON, and Node the packages in
DIM_TF_NODE_MODULES (docs/howto/convert.md). Runtimes that DIM_TF_RUNTIMES names, as
onnx,openvino, must be installed: their tests fail where others are skipped.
"""

import os
import re
from pathlib import Path

import numpy as np
import pytest
import small_export

from dim_tf.export import classifier_saved_model, convert, serving
from dim_tf.export.convert import Source
from dim_tf.export.feature import Feature
from dim_tf.export.saved_model import SavedModelOptions
from dim_tf.system.errors import InputError


def required():
    """The runtimes that must be installed."""
    names = set(filter(None, os.environ.get("DIM_TF_RUNTIMES", "").split(",")))
    assert names <= set(convert.FORMATS), "DIM_TF_RUNTIMES names an unknown runtime"
    if os.environ.get("DIM_TF_TFJS_PYTHON"):
        names.add("tfjs")
    return names


def runtime(name):
    is_required = name in required()
    python = os.environ.get("DIM_TF_TFJS_PYTHON", "")
    node_modules = os.environ.get("DIM_TF_NODE_MODULES", "")
    try:
        (chosen,) = convert.chosen_runtimes(name, python, node_modules)
    except InputError as error:
        if is_required:
            raise
        pytest.skip(str(error))
    return chosen


@pytest.mark.parametrize("name", convert.FORMATS)
def test_what_must_be_installed_is_not_skipped(name, monkeypatch):
    def is_missing(*arguments):
        raise InputError("it is not installed here")

    monkeypatch.setattr(convert, "chosen_runtimes", is_missing)
    monkeypatch.delenv("DIM_TF_TFJS_PYTHON", raising=False)
    monkeypatch.setenv("DIM_TF_RUNTIMES", "")
    with pytest.raises(pytest.skip.Exception):
        runtime(name)
    monkeypatch.setenv("DIM_TF_RUNTIMES", f"onnx,{name}")
    with pytest.raises(InputError):
        runtime(name)
    monkeypatch.setenv("DIM_TF_RUNTIMES", "tensorrt")
    with pytest.raises(AssertionError, match="unknown runtime"):
        runtime(name)


def test_the_continuous_integration_names_every_runtime():
    command = re.compile(r"^ *DIM_TF_RUNTIMES=(\S+) .*test_runtimes\.py$", re.MULTILINE)
    named = []
    for script in ("run", "release"):
        text = (Path(__file__).parents[3] / ".ci" / script).read_text(encoding="utf-8")
        named += [name for names in command.findall(text) for name in names.split(",")]
    assert sorted(named) == sorted(convert.FORMATS)


def encoder(path):
    small_export.save(path)


def conv_of_grey_images(path):
    """The map `conv`, flattened, of an encoder that takes images of one channel."""
    small_export.save(path, small_export.small_encoder(1), channels=1, feature=Feature("conv", 64))


def classifier(path):
    options = SavedModelOptions({})
    head = small_export.head()
    classifier_saved_model.save(small_export.small_encoder(), head, path, options)


@pytest.mark.parametrize("save", [encoder, conv_of_grey_images, classifier])
@pytest.mark.parametrize("name", ["onnx", "openvino", "tfjs"])
def test_the_converted_model_equals_the_saved_model(name, save, tmp_path):
    this_runtime = runtime(name)
    save(tmp_path / "1")
    images = small_export.images()
    if save is conv_of_grey_images:
        images = images[..., :1]
    serving.write_warmup(tmp_path / "1", "small", images)
    source = Source.load(tmp_path / "1")
    assert convert.convert(source, this_runtime, tmp_path / name) < convert.TOLERANCE
    # Other images than those that the program compared, and another number of them.
    others = np.random.default_rng(1).random((3, *images.shape[1:]), np.float32)
    expected, actual = source.run(others), this_runtime.load(tmp_path / name)(others)
    for output, values in expected.items():
        assert np.abs(values).max() > 1e-3
        small_export.close(actual[output], values)


@pytest.mark.parametrize(("name", "package"), [("onnx", "onnxruntime"), ("openvino", "openvino")])
def test_the_code_of_the_documentation(name, package, tmp_path):
    this_runtime = runtime(name)
    page = Path(__file__).parents[3] / "docs" / "howto" / "convert.md"
    text = page.read_text(encoding="utf-8")
    (code,) = re.findall(rf"```python\n(import {package}\n.*?)```", text, re.DOTALL)
    encoder(tmp_path / "1")
    images = small_export.images()
    serving.write_warmup(tmp_path / "1", "small", images)
    source = Source.load(tmp_path / "1")
    convert.convert(source, this_runtime, tmp_path / name)
    scope = {"images": images}
    exec(code.replace("exported/dim_cifar10/converted/1", str(tmp_path)), scope)
    small_export.close(scope["features"], source.run(images)["global"])
