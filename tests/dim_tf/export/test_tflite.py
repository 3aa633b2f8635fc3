"""The TFLite files answer as the encoder does, as far as their precision goes."""

import contextlib
import os
import shutil
import subprocess
import sys
from dataclasses import replace
from types import SimpleNamespace

import numpy as np
import pytest
import tensorflow as tf
from flatbuffer_fields import Fields, metadata_of
from flatbuffers import number_types
from small_export import close, images

from dim_tf.export import saved_model, tflite, tflite_metadata
from dim_tf.export.feature import GLOBAL
from dim_tf.export.tflite_metadata import embedding
from dim_tf.system.errors import RunError

ALL = (*tflite.VARIANTS, tflite.ENDPOINTS)
embedded = pytest.mark.parametrize(
    "variant", [variant for variant in ALL if variant.for_mediapipe], ids=lambda v: v.name
)


@pytest.fixture(scope="module")
def written(small_model, tmp_path_factory):
    """The folder of an export with all TFLite files, and what they should answer."""
    exported, encoder = small_model
    folder = shutil.copytree(exported, tmp_path_factory.mktemp("exported") / "1")
    pixels = images(32)
    tflite.write(folder, ALL, pixels, "small", "Apache-2.0", embedding("global"))
    return folder, pixels, saved_model.keras_endpoints(encoder, pixels)


@pytest.mark.parametrize("variant", ALL, ids=lambda v: v.file)
def test_features(written, variant):
    folder, pixels, endpoints = written
    wanted = endpoints["global"]
    if variant == tflite.ENDPOINTS:
        features = tflite.runner(folder / variant.file)(pixels)["global"]
    else:
        features = tflite.encode(folder / variant.file, pixels)
    if variant.precision == "float32":
        close(features, wanted)
    else:
        near = {"float16": 0.002, "dynamic": 0.02, "int8": 0.03}[variant.precision]
        assert np.abs(features - wanted).max() <= near * np.abs(wanted).max()
    assert tflite.check(folder / variant.file, variant, pixels, endpoints, GLOBAL) > 0.999


@pytest.mark.parametrize("file", ["encoder_float32.tflite", "encoder_int8.tflite"])
def test_any_batch(written, file):
    folder, pixels, endpoints = written
    wanted = endpoints["global"]
    for count in (6, 1, 4):
        features = tflite.encode(folder / file, pixels[:count])
        np.testing.assert_allclose(features, wanted[:count], atol=0.03 * np.abs(wanted).max())


def test_int8_takes_and_gives_int8(written):
    from ai_edge_litert.interpreter import Interpreter

    interpreter = Interpreter(str(written[0] / "encoder_int8.tflite"))
    for details in (*interpreter.get_input_details(), *interpreter.get_output_details()):
        assert details["dtype"] == np.int8


def test_the_dynamic_file_states_the_runtime_that_loads_it(written):
    """The converter would state 2.17.0, which does not."""
    model = (written[0] / "encoder_dynamic.tflite").read_bytes()
    assert tflite_metadata.min_runtime(model) == "2.20.0"
    entries, _ = metadata_of(model)
    assert {"CONVERSION_METADATA", tflite_metadata.BUFFER} < set(entries)
    int8 = (written[0] / "encoder_int8.tflite").read_bytes()
    assert tflite_metadata.min_runtime(int8) == "1.14.0"


def test_files_without_metadata_have_none(written):
    for file in ("encoder_int8.tflite", tflite.ENDPOINTS.file):
        assert tflite_metadata.BUFFER not in metadata_of((written[0] / file).read_bytes())[0]


def test_a_file_that_takes_other_bytes_is_found(written):
    folder, pixels, wanted = written
    int8 = next(variant for variant in tflite.VARIANTS if variant.name == "int8")
    with pytest.raises(RunError, match=r"scale 0.0039.* and zero -128, not of 1/255 and 0"):
        tflite.check(folder / int8.file, replace(int8, dtype="uint8"), pixels, wanted, GLOBAL)


@pytest.mark.parametrize("variant", [tflite.VARIANTS[0], tflite.ENDPOINTS], ids=lambda v: v.name)
def test_an_operation_that_tflite_lacks_is_named_in_one_line(variant, tmp_path, capfd):
    spec = tf.TensorSpec([None, 8, 8, 3], tf.float32, name="images")
    model = tf.Module()
    model.call = tf.function(
        lambda images: {"global": tf.math.erfinv(images)}, input_signature=[spec]
    )
    tf.saved_model.save(model, tmp_path, signatures={variant.signature: model.call})
    capfd.readouterr()
    with pytest.raises(RunError, match=r"has no operation Erfinv\(tensor<.*published") as error:
        tflite.write(tmp_path, [variant], images(), "small", "", embedding("global"))
    assert str(error.value).startswith(f"{variant.file}: the model cannot be converted")
    assert ("leave float32 out of --tflite" in str(error.value)) == (variant.name == "float32")
    assert ("leave --tflite_endpoints out" in str(error.value)) == (variant == tflite.ENDPOINTS)
    assert "\n" not in str(error.value)
    assert capfd.readouterr().err == ""


def test_a_converter_that_fails_otherwise_is_quoted(tmp_path, monkeypatch):
    def fail():
        raise RuntimeError("Quantization not yet supported for op: X.\nmore")

    monkeypatch.setattr(tflite, "_converter", lambda *_: SimpleNamespace(convert=fail))
    with pytest.raises(RunError, match=r"converted \(Quantization not .* X\.\); nothing"):
        tflite.write(tmp_path, [tflite.VARIANTS[0]], images(), "small", "", embedding("global"))


def test_what_tensorflow_remarks_where_nothing_is_wrong_is_held_back(capfd):
    with tflite._without_harmless_lines():
        os.write(2, b"INFO: Created TensorFlow Lite XNNPACK delegate for CPU.\n")
        os.write(2, b"fully_quantize: 0, inference_type: 6\nWARNING: something else\n")
    assert capfd.readouterr().err == "WARNING: something else\n"
    with contextlib.suppress(ValueError), tflite._without_harmless_lines():
        os.write(2, b"ERROR: it is wrong\n")
        raise ValueError
    assert capfd.readouterr().err == "ERROR: it is wrong\n"


@pytest.mark.slow
def test_a_process_that_runs_a_file_writes_nothing_to_stderr(written):
    """The remark on the delegate comes once a process."""
    program = (
        "import sys; from dim_tf.system import tensorflow_import as t; t.quietly(); "
        "import numpy as np; "
        "from pathlib import Path; from dim_tf.export import tflite; "
        "print(tflite.encode(Path(sys.argv[1]), np.zeros([2, 8, 8, 3], 'f4')).shape)"
    )
    command = [sys.executable, "-c", program, str(written[0] / "encoder_float32.tflite")]
    ran = subprocess.run(command, capture_output=True, text=True, check=True)
    assert ran.stdout == "(2, 5)\n"
    assert "INFO: " not in ran.stderr


def test_int8_is_written_without_a_remark(small_model, tmp_path, capfd):
    shutil.copytree(small_model[0], tmp_path / "1")
    capfd.readouterr()
    tflite.write(tmp_path / "1", [tflite.VARIANTS[3]], images(), "small", "", embedding("global"))
    assert "fully_quantize" not in capfd.readouterr().err


def test_endpoints(written):
    folder, pixels, wanted = written
    outputs = tflite.runner(folder / tflite.ENDPOINTS.file)(pixels)
    assert set(outputs) == set(wanted) == {"local", "conv", "fc", "global"}
    for name, x in wanted.items():
        close(outputs[name], x)
    with pytest.raises(ValueError, match="too many values"):  # which of them would be no guess
        tflite.encode(folder / tflite.ENDPOINTS.file, pixels)


@pytest.mark.parametrize("variant", tflite.VARIANTS, ids=lambda v: v.file)
def test_a_wrong_file_is_found(written, variant):
    folder, pixels, wanted = written
    wrong = wanted | {"global": wanted["global"][::-1]}
    with pytest.raises(RunError, match="nothing was published"):
        tflite.check(folder / variant.file, variant, pixels, wrong, GLOBAL)


def test_a_wrong_endpoint_is_found(written):
    folder, pixels, wanted = written
    wrong = wanted | {"fc": wanted["fc"][::-1]}
    with pytest.raises(RunError, match=r"encoder_endpoints.tflite, fc differs"):
        tflite.check(folder / tflite.ENDPOINTS.file, tflite.ENDPOINTS, pixels, wrong, GLOBAL)


@embedded
def test_metadata_say_how_an_image_becomes_the_input(written, variant):
    """Places of fields as in TFLite Support's metadata_schema.fbs."""
    model = (written[0] / variant.file).read_bytes()
    assert model[4:8] == b"TFL3"
    entries, data = metadata_of(model)
    assert "min_runtime_version" in entries  # what the converter wrote stays
    assert data[4:8] == b"M001"
    root = Fields.root(data)
    assert root.text(0) == "small"
    assert root.text(5) == "Apache-2.0"
    assert root.text(7) == "1.0.0"
    model_input = root.only(3).only(2)
    content = model_input.inner(3)
    assert content.number(0, number_types.Uint8Flags) == 2  # ImageProperties
    properties = content.inner(1)
    assert properties.number(0, number_types.Int8Flags) == 1  # RGB
    size = properties.inner(1)
    assert [size.number(n, number_types.Uint32Flags) for n in (0, 1)] == [8, 8]
    unit = model_input.only(4)
    assert unit.number(0, number_types.Uint8Flags) == 1  # NormalizationOptions
    assert (unit.inner(1).floats(0), unit.inner(1).floats(1)) == ([0.0], [255.0])
    assert (model_input.inner(5).floats(0), model_input.inner(5).floats(1)) == ([1.0], [0.0])
    assert root.only(3).only(3).text(0) == "embedding"


@embedded
def test_mediapipe_embeds_an_image(written, variant):
    mediapipe = pytest.importorskip("mediapipe")
    from mediapipe.tasks.python import BaseOptions, vision

    folder, pixels, endpoints = written
    wanted = endpoints["global"]
    path = str(folder / variant.file)
    options = vision.ImageEmbedderOptions(base_options=BaseOptions(model_asset_path=path))
    with vision.ImageEmbedder.create_from_options(options) as embedder:
        for one, features in zip((pixels[:3] * 255).round().astype(np.uint8), wanted, strict=False):
            image = mediapipe.Image(image_format=mediapipe.ImageFormat.SRGB, data=one)
            embedding = np.array(embedder.embed(image).embeddings[0].embedding)
            if variant.precision == "float32":
                close(embedding, features)
            assert tflite.cosines(embedding[np.newaxis], features[np.newaxis])[0] > 0.99
