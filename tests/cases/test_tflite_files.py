"""TFLite files of integers load where people load them: in MediaPipe, and by delegates."""

import shutil

import numpy as np
import pytest
from ai_edge_litert.interpreter import Interpreter
from small_export import SIZE, images
from tensorflow.lite.python import schema_py_generated as schema

from dim_tf.export import saved_model, tflite
from dim_tf.export.tflite_metadata import embedding

FIXED = ("encoder_int8.tflite", "encoder_uint8_batch1.tflite")


def write(folder, pixels, *files):
    chosen = [variant for variant in tflite.VARIANTS if variant.file in files]
    tflite.write(folder, chosen, pixels, "small", "Apache-2.0", embedding("global"))


@pytest.fixture(scope="module")
def written(small_model, tmp_path_factory):
    """A version with some of the files, and 32 images with the Keras model's features."""
    exported, encoder = small_model
    folder = shutil.copytree(exported, tmp_path_factory.mktemp("exported") / "1")
    pixels = images(32)
    write(folder, pixels, *FIXED)
    return folder, pixels, saved_model.keras_features(encoder, pixels)


def entries(path):
    model = schema.Model.GetRootAs(path.read_bytes(), 0)
    return {
        entry.Name().decode(): model.Buffers(entry.Buffer()).DataAsNumpy().tobytes()
        for entry in map(model.Metadata, range(model.MetadataLength()))
    }


@pytest.mark.parametrize("file", FIXED)
def test_files_of_integers_have_static_shapes(written, file):
    interpreter = Interpreter(str(written[0] / file))
    model = schema.ModelT.InitFromObj(schema.Model.GetRootAs((written[0] / file).read_bytes(), 0))
    codes = {value: name for name, value in vars(schema.BuiltinOperator).items()}
    operators = {codes[code.builtinCode] for code in model.operatorCodes}
    assert not operators & {"SHAPE", "PACK", "STRIDED_SLICE"}
    for tensor in interpreter.get_tensor_details():
        assert -1 not in tensor["shape_signature"]
    (taken,), (answered,) = interpreter.get_input_details(), interpreter.get_output_details()
    assert taken["shape"].tolist() == [1, SIZE, SIZE, 3]
    kind = np.uint8 if "uint8" in file else np.int8
    assert taken["dtype"] == answered["dtype"] == kind


@pytest.mark.parametrize("file", FIXED)
def test_files_of_integers_answer_as_the_keras_model(written, file):
    folder, pixels, wanted = written
    for count in (32, 1, 3):
        features = tflite.encode(folder / file, pixels[:count])
        assert tflite.cosines(features, wanted[:count]).min() > 0.99


def test_both_files_of_integers_are_one_model(written):
    folder, pixels, _ = written
    first, second = (tflite.encode(folder / file, pixels) for file in FIXED)
    np.testing.assert_allclose(first, second, atol=1e-6)


def test_the_uint8_file_takes_a_pixels_byte_whatever_the_images_show(small_model, tmp_path):
    """MediaPipe feeds bytes as they are: the input's scale must not be of the calibration."""
    folder = shutil.copytree(small_model[0], tmp_path / "1")
    write(folder, 0.4 + 0.2 * images(32), "encoder_uint8_batch1.tflite")
    path = folder / "encoder_uint8_batch1.tflite"
    (taken,) = Interpreter(str(path)).get_input_details()
    scale, zero = taken["quantization"]
    assert scale == pytest.approx(1 / 255, rel=1e-5)
    assert zero == 0


def test_the_uint8_file_has_the_metadata_that_mediapipe_reads(written):
    names_and_buffers = entries(written[0] / "encoder_uint8_batch1.tflite")
    assert names_and_buffers["TFLITE_METADATA"][4:8] == b"M001"
    assert "CONVERSION_METADATA" in names_and_buffers  # what the converter wrote stays
