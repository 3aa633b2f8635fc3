"""Exports take what training took: wide, grey and many-channel images, as arrays and as files."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sample_arrays import values
from sample_images import pixels, save
from small_export import close

import dim_tf
from dim_tf.data import image_ops
from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.folder import decoding
from dim_tf.data.image_frame import ImageFrame
from dim_tf.evaluation import saved_encoder
from dim_tf.export import publish, saved_model, tflite
from dim_tf.system.errors import InputError
from keras_models import encoders

SCALING = ChannelScaling((0.0, 10.0, 0.0, 0.0, 0.0), (900.0, 1500.0, 2e3, 3e3, 4e3))


def encoder_of(frame):
    keras.utils.set_random_seed(0)
    encoder = encoders.ConvNet(frame.shape, ((4, 4, 2, 1),), (8,), 0, 5)
    encoder.build()
    return encoder


def exported(path, encoder, frame, **options):
    options = saved_model.SavedModelOptions(
        {"fit": frame.fit}, fit=frame.fit, channels=frame.channels, **options
    )
    if options.scaling:
        options.metadata["value_scaling"] = options.scaling.to_dict()
    saved_model.save(encoder, path, options)
    return dim_tf.load(path)


@pytest.mark.parametrize(("fit", "channels"), [("pad", 1), ("stretch", 3)])
def test_pictures(tmp_path, fit, channels):
    frame = ImageFrame(12, 20, channels, fit)
    encoder = encoder_of(frame)
    loaded = exported(tmp_path / "export", encoder, frame)
    assert loaded.image_size == (12, 20)
    # Of the frame's size, so that nothing is rounded on the way.
    path = save(tmp_path / "a.png", image=Image.fromarray(pixels(3, 12, 20)))
    trained = decoding.decode_to_size(path, frame)
    wanted = saved_model.keras_features(encoder, image_ops.to_unit(trained[np.newaxis]))
    for image in (path, path.read_bytes(), Image.open(path), np.asarray(Image.open(path))):
        close(loaded(image), wanted)
    larger = save(tmp_path / "b.png", image=Image.fromarray(pixels(3, 40, 40)))
    trained = decoding.decode_to_size(larger, frame)
    wanted = saved_model.keras_features(encoder, image_ops.to_unit(trained[np.newaxis]))
    np.testing.assert_allclose(loaded(larger), wanted, atol=0.02)  # Pillow rounds otherwise


def test_arrays(tmp_path):
    frame = ImageFrame(12, 20, 5, "pad")
    encoder = encoder_of(frame)
    loaded = exported(tmp_path / "export", encoder, frame, scaling=SCALING)
    array = values(3)
    np.save(tmp_path / "a.npy", array)
    trained = SCALING.to_unit(decoding.decode_array_to_size(tmp_path / "a.npy", frame))
    wanted = saved_model.keras_features(encoder, trained[np.newaxis])
    images = (tmp_path / "a.npy", (tmp_path / "a.npy").read_bytes(), array, array.astype("f4"))
    for image in images:
        np.testing.assert_allclose(loaded(image), wanted, atol=1e-6 * np.abs(wanted).max())
    with pytest.raises(InputError, match=r"expected a path .* \[H, W, 5\]"):
        loaded(array[..., :3])


@pytest.mark.parametrize("files", [(), pytest.param(("float32",), marks=pytest.mark.slow)])
def test_a_version_of_arrays_is_published_with_its_ranges(tmp_path, files):
    frame = ImageFrame(12, 20, 5)
    encoder = encoder_of(frame)
    images = np.stack([values(n, frame.shape) for n in range(6)]).astype(np.float32)
    options = publish.ExportOptions(channels=5, scaling=SCALING, tflite=files, quantized=True)
    target, difference = publish.publish(encoder, tmp_path / "arrays", images, options=options)
    assert difference < 1e-5
    metadata = json.loads((target / "assets/metadata.json").read_text())
    assert metadata["value_scaling"] == SCALING.to_dict()
    assert metadata["image_size"] == [12, 20]
    assert [path.name for path in target.glob("*.tflite")] == [f"encoder_{x}.tflite" for x in files]
    card = (target / "README.md").read_text()
    assert "float32 [N, 12, 20, 5]" in card
    assert "10 to 1500" in card
    assert ".npy" in card
    int8 = dataclasses.replace(options, tflite=("int8",))
    with pytest.raises(InputError, match="--tflite=int8 takes 8 bits"):
        list(publish.tflite_variants(int8, tflite.VARIANTS))
    every = publish.tflite_variants(dataclasses.replace(options, tflite=None), tflite.VARIANTS)
    assert {variant.dtype for variant in every} == {"float32"}
    with pytest.raises(InputError, match="takes arrays in their own values"):
        saved_encoder.load(str(target))
    signature = tf.saved_model.load(str(target)).signatures["serving_default"]
    wanted = saved_model.keras_features(encoder, SCALING.to_unit(images))
    close(signature(images=tf.constant(images))["global"], wanted)
