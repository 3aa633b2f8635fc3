"""Folders of images that are not RGB bytes: grey ones, wide ones, arrays of numbers."""

import json

import numpy as np
import pytest
from PIL import Image
from sample_arrays import npy_folder, tiff_folder, values
from sample_images import pixels, save, tree

from dim_tf import data
from dim_tf.data import pipeline
from dim_tf.data.folder import decoding
from dim_tf.data.folder.images import ScaledImages
from dim_tf.system.errors import InputError


@pytest.fixture
def load(tmp_path):
    """Loads tmp_path/images, with its cache in tmp_path."""

    def of(**settings):
        request = data.DataRequest(
            data_dir=str(tmp_path / "images"), cache_dir=str(tmp_path / "cache"), **settings
        )
        return data.load("folder", request)

    return of


def grey_tree(folder, count=40):
    for number in range(count):
        save(folder / f"{number:03d}.png", image=Image.fromarray(pixels(number)[..., 0]))
    return folder


def test_images_of_a_wide_frame(tmp_path, load):
    tree(tmp_path / "images", 40)
    by_fit = {}
    for fit in ("crop", "pad", "stretch"):
        splits = load(image_size=(16, 32), fit=fit)
        assert splits.image_shape == (16, 32, 3)
        by_fit[fit] = splits.train.images[:]
        again = load(image_size=(16, 32), fit=fit)  # from the cache
        np.testing.assert_array_equal(again.train.images[:], by_fit[fit])
    assert len({images.tobytes() for images in by_fit.values()}) == 3
    assert (
        "the centred part of that shape of each resized to 16x32" in load(image_size=(16, 32)).note
    )


def test_augmentation_shifts_each_side_by_its_own_eighth(tmp_path, load):
    tree(tmp_path / "images", 40)
    splits = load(image_size=(16, 32))
    batches = pipeline.training_batches(splits.train, 8, 3, 0, 0, "natural")
    assert next(iter(batches)).shape == (8, 16, 32, 3)


def test_grey_images_have_one_channel(tmp_path, load):
    grey_tree(tmp_path / "images")
    splits = load()
    assert splits.image_shape == (32, 32, 1)
    assert splits.input_channels == 1
    assert "40 grey images" in splits.note
    as_rgb = load(channels="3")
    assert as_rgb.image_shape == (32, 32, 3)
    np.testing.assert_array_equal(as_rgb.train.images[:][..., :1], splits.train.images[:])


def test_colours_of_equal_channels_are_colours_unless_asked(tmp_path, load):
    grey_tree(tmp_path / "images")
    equal = np.repeat(pixels(99)[..., :1], 3, axis=-1)
    path = save(tmp_path / "images/rgb.png", image=Image.fromarray(equal))
    assert load().image_shape == (32, 32, 3)
    splits = load(channels="1")
    assert splits.image_shape == (32, 32, 1)
    frame = data.DataRequest(image_size=32).frame
    luma = decoding.decode_to_size(path, frame)[..., :1]
    everything = np.concatenate([splits.train.images[:], splits.test.images[:]])
    assert any(np.array_equal(image, luma) for image in everything)


@pytest.mark.parametrize("channels", ["0", "x", "100", "1,3", "5"])
def test_channels_that_pictures_do_not_have(tmp_path, load, channels):
    grey_tree(tmp_path / "images")
    with pytest.raises(InputError, match=f"--channels={channels}"):
        load(channels=channels)
    with pytest.raises(InputError, match="--channels=1 takes effect with --dataset=folder only"):
        data.load("digits", data.DataRequest(channels="1"))


@pytest.mark.parametrize(
    ("write", "channels"), [(npy_folder, 5), (tiff_folder, 1)], ids=["npy", "tiff"]
)
def test_arrays_are_scaled_by_their_channels(tmp_path, load, write, channels):
    folder = write(tmp_path / "images")
    splits = load(image_size=(16, 24))
    assert splits.image_shape == (16, 24, channels)
    images = splits.train.images[:]
    assert images.dtype == np.float32
    assert images.min() == 0
    assert images.max() == 1
    assert len(splits.scaling.low) == channels
    assert f"arrays of {'one channel' if channels == 1 else '5 channels'}" in splits.note
    # Each is the file's, fitted and scaled, whether it was cached or not.
    frame = splits.train.images.values.files.frame
    name = splits.train.images.values.names[0]
    raw = decoding.decode_array_to_size(folder / name, frame)
    np.testing.assert_array_equal(splits.scaling.to_unit(raw), images[0])
    uncached = load(image_size=(16, 24), cache_gib=0.0)
    np.testing.assert_array_equal(uncached.train.images[:], images)
    batches = pipeline.training_batches(splits.train, 8, channels, 0, 0, "natural")
    batch = next(iter(batches)).numpy()
    assert batch.shape == (8, 16, 24, channels)
    assert -1 <= batch.min() < batch.max() <= 1


def test_the_range_is_that_of_the_training_images(tmp_path, load):
    npy_folder(tmp_path / "images")
    splits = load(image_size=16)
    train, test = splits.train.images.values, splits.test.images.values
    name = test.names[0]
    np.save(tmp_path / "images/train.npy", values(77))
    before = splits.scaling
    assert before == type(before).of_images(train)
    assert before != type(before).of_images(test)
    assert (tmp_path / "images" / name).exists()
    assert isinstance(splits.train.images, ScaledImages)


def test_a_range_can_be_given(tmp_path, load):
    npy_folder(tmp_path / "images")
    splits = load(image_size=16, pixel_range="0,2000")
    assert splits.scaling.to_dict() == {"low": [0.0] * 5, "high": [2000.0] * 5}
    with pytest.raises(InputError, match="--pixel_range=dtype takes effect on 16-bit images only"):
        load(image_size=16, pixel_range="dtype")
    with pytest.raises(InputError, match="give --channels=5, or leave it out"):
        load(image_size=16, channels="3")


def test_a_run_is_not_resumed_on_another_range(tmp_path, load):
    npy_folder(tmp_path / "images")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    load(image_size=16).report.write(tmp_path / "run")
    load(image_size=16).report.check(tmp_path / "run")
    with pytest.raises(InputError, match="scaled by other training images"):
        load(image_size=16, pixel_range="0,2000").report.check(tmp_path / "run")


def test_a_run_on_other_channels_is_not_resumed(tmp_path, load):
    grey_tree(tmp_path / "images")
    (tmp_path / "run/checkpoints").mkdir(parents=True)
    load().report.write(tmp_path / "run")
    with pytest.raises(InputError, match="give --channels=1"):
        load(channels="3").report.check(tmp_path / "run")
    summary = json.loads((tmp_path / "run/data.json").read_text())
    del summary["channels"]  # of an earlier version
    (tmp_path / "run/data.json").write_text(json.dumps(summary))
    with pytest.raises(InputError, match="give --channels=3"):
        load().report.check(tmp_path / "run")


def test_a_folder_is_of_one_kind(tmp_path, load):
    tree(tmp_path / "images", 40)
    np.save(tmp_path / "images/labels.npy", np.zeros(40))  # another kind of file
    np.save(tmp_path / "images/a.npy", values(1))
    splits = load()
    assert splits.image_shape == (32, 32, 3)
    assert len(splits.train) + len(splits.test) == 40
    npy_folder(tmp_path / "images", 30)
    with pytest.raises(InputError, match="another kind than most"):
        load()
    splits = load(channels="5", max_unreadable_fraction=0.6)
    assert splits.image_shape[2] == 5
