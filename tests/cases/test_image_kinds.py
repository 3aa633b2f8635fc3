"""Wide grey images, five channels of 16 bits, floats: from files to features that agree."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sample_arrays import npy_folder, tiff_folder
from sample_images import pixels, save

import dim_tf
from dim_tf.data.folder import decoding


def grey_folder(folder):
    """PNGs of shades of grey, of the encoder's shape, so that nothing is rounded on the way."""
    for number in range(40):
        image = Image.fromarray(pixels(number, 96, 160)[..., 0])
        save(folder / f"{number:03d}.png", image=image)
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    ("write", "size", "fit", "shape"),
    [
        (npy_folder, 32, "pad", (32, 32, 5)),
        (grey_folder, (96, 160), "crop", (96, 160, 1)),
        (tiff_folder, "24,40", "stretch", (24, 40, 1)),
    ],
    ids=["five channels of 16 bits", "wide and grey", "floats"],
)
def test_what_is_served_is_what_was_trained(tmp_path, monkeypatch, write, size, fit, shape):
    monkeypatch.chdir(tmp_path)
    folder = write(tmp_path / "images")
    small = {"steps": 4, "batch_size": 16, "critic_units": 8, "latent_dim": 8}
    run = dim_tf.train(
        folder, image_size=size, fit=fit, cache_dir=str(tmp_path / "cache"), verbose=0, **small
    )
    metrics = run.evaluate(measures="geometry,projection")
    assert metrics
    path = run.export(tflite="float32", export_dir=str(tmp_path / "exported"))

    splits = run._data
    assert splits.image_shape == shape
    images = splits.test.images
    trained = images[:]
    model = run.encoder
    raw = splits.scaling.from_unit(trained) if splits.scaling else trained / np.float32(255)
    wanted = model(raw, training=False).numpy()
    files = [folder / name for name in getattr(images, "values", images).names]
    served = dim_tf.load(path)(files)
    np.testing.assert_allclose(served, wanted, atol=1e-5 * np.abs(wanted).max())

    # The graph decodes and fits to the numbers that training had.
    signature = tf.saved_model.load(str(path)).signatures["serving_bytes_valid"]
    encoded = tf.constant([decoding.to_served(file) for file in files])
    outputs = signature(image_bytes=encoded)
    assert outputs["valid"].numpy().all()
    np.testing.assert_allclose(outputs["global"], served, atol=1e-6 * np.abs(wanted).max())
    embeddings = dim_tf.embed(folder, tmp_path / "embeddings", path, verbose=0)
    assert list(embeddings.glob("*.parquet"))
