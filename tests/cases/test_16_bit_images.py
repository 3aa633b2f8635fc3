"""Images of 16 bits: decoded one by one, and the range of values that a folder of them uses."""

import numpy as np
import pytest
import sample_folders
from PIL import Image
from sample_folders import listed_by_report, written_report
from sample_images import netpbm, png_16, save, tiff_16, tree

from dim_tf.data.folder import decoding, inspection
from dim_tf.data.image_faults import Fault
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import PixelRange
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError

DARK = np.random.default_rng(0).integers(0, 1000, (40, 52, 3)).astype(np.uint16)


@pytest.fixture
def load(tmp_path):
    """Loads tmp_path/images."""
    return sample_folders.loader(tmp_path)


def of_16_bits(folder, count, low, high, name="{}.tif", size=32):
    rng = np.random.default_rng(count + low + high)
    for number in range(count):
        values = rng.integers(low, high, (size, size)).astype(np.uint16)
        save(folder / name.format(number), image=Image.fromarray(values))


# One image.


@pytest.mark.parametrize(
    ("name", "make", "channels"),
    [
        ("grey.png", lambda: png_16(DARK[..., :1]), 1),
        ("la.png", lambda: png_16(DARK[..., :2]), 1),
        ("rgb.png", lambda: png_16(DARK), 3),
        ("rgba.png", lambda: png_16(np.concatenate([DARK, DARK[..., :1]], -1)), 3),
        ("grey.tif", lambda: tiff_16(DARK[..., :1]), 1),
        ("grey_mm.tif", lambda: tiff_16(DARK[..., :1], order=">"), 1),
        ("rgb.tif", lambda: tiff_16(DARK), 3),
        ("rgb_mm.tif", lambda: tiff_16(DARK, order=">"), 3),
        ("deflated.tif", lambda: tiff_16(DARK, deflate=True), 3),
        ("planes.tif", lambda: tiff_16(DARK, planar=True), 3),
        ("planes_mm.tif", lambda: tiff_16(DARK, order=">", planar=True, deflate=True), 3),
        ("grey.pgm", lambda: netpbm(5, DARK[..., 0], 65535), 1),
        ("rgb.ppm", lambda: netpbm(6, DARK, 65535), 3),
    ],
)
def test_16_bits_are_kept_until_their_range_is_known(tmp_path, name, make, channels):
    path = tmp_path / name
    path.write_bytes(make())
    wanted = np.broadcast_to(DARK[..., :channels], DARK.shape)
    seen = inspection.inspect_file(path)
    assert (seen.fault, seen.bits) == (Fault.NONE, 16)
    assert seen.low == np.quantile(wanted, 0.001, method="inverted_cdf")
    assert seen.high == np.quantile(wanted, 0.999, method="inverted_cdf")
    decoded = decoding.decode_to_size(path, ImageFrame.of(40), PixelRange(0, 999))
    np.testing.assert_array_equal(decoded, PixelRange(0, 999).to_uint8(wanted[:, 6:46]))
    import tensorflow as tf

    served = tf.io.decode_png(decoding.to_png(path), channels=3, dtype=tf.uint16)
    np.testing.assert_array_equal(served.numpy(), wanted)


def test_white_may_be_0(tmp_path):
    path = tmp_path / "a.tif"
    path.write_bytes(tiff_16(DARK[..., :1], photometric=0))
    assert inspection.inspect_file(path).low > 64_000
    assert decoding.decode_to_size(path, ImageFrame.of(40)).min() > 200


def test_8_bits_have_a_range_too(tmp_path):
    image = Image.fromarray(np.arange(100, 200, dtype=np.uint8).repeat(100).reshape(100, 100))
    inspected = inspection.inspect_file(save(tmp_path / "a.png", image=image))
    assert (inspected.bits, inspected.low, inspected.high) == (8, 100, 199)


# The values that the images of a folder use.


@pytest.mark.parametrize(
    ("low", "high"),
    [(0, 200), (0, 1024), (0, 4096), (31_000, 34_000)],
    ids=["8 bits, dim", "10 bits", "12 bits", "signed, with an offset"],
)
@pytest.mark.parametrize("suffix", ["tif", "png"])
def test_16_bit_images_of_few_levels_are_not_black(tmp_path, load, low, high, suffix):
    of_16_bits(tmp_path / "images", 30, low, high, "{}." + suffix)
    splits = load()
    assert np.ptp(splits.train.images[:].reshape(len(splits.train), -1), axis=1).min() > 150
    assert (splits.pixel_range.low, splits.pixel_range.high) == pytest.approx(
        (low, high), abs=max(5, (high - low) // 50)
    )
    shown = f"30 of 16 bits, of which the values {splits.pixel_range.low} to "
    assert shown in splits.note
    report = written_report(splits, tmp_path / "run")
    assert report["pixel_range"] == [splits.pixel_range.low, splits.pixel_range.high]
    assert report["low_contrast"] == 0


def test_images_that_fill_16_bits_keep_their_upper_8(tmp_path, load):
    of_16_bits(tmp_path / "images", 30, 300, 65_000)
    splits = load(image_size=32)
    assert (splits.pixel_range.low, splits.pixel_range.high) == (0, 65_535)


@pytest.mark.parametrize("settings", [{"pixel_range": "dtype"}, {}], ids=["16 bits", "8 bits"])
def test_images_that_show_nothing_are_an_error_where_they_are_most(tmp_path, load, settings):
    if settings:
        of_16_bits(tmp_path / "images", 30, 0, 200)
    else:
        for number in range(30):
            values = np.random.default_rng(number).integers(0, 5, (32, 32, 3), np.uint8)
            save(tmp_path / "images" / f"{number}.png", image=Image.fromarray(values))
    with pytest.raises(InputError, match=r"30 of 30 images .* have almost no contrast") as caught:
        load(**settings)
    message = str(caught.value)
    assert ("give --pixel_range=LOW,HIGH" in message) == bool(settings)
    assert "\n" not in message
    listed = tmp_path / "cache/bad_images.txt"
    assert str(listed) in message
    assert listed.read_text().count("almost no contrast") == 30


def test_a_few_that_show_nothing_are_counted_and_listed(tmp_path, load):
    tree(tmp_path / "images", 40)
    for number in range(3):
        black = Image.new("RGB", (32, 32), (number, 0, 0))
        save(tmp_path / "images" / f"black{number}.png", image=black)
    splits = load()
    assert "; 3 with almost no contrast;" in splits.note
    assert written_report(splits, tmp_path / "run")["low_contrast"] == 3
    assert "almost no contrast" in listed_by_report(tmp_path / "run")["black1.png"]


def test_a_range_is_a_flag_of_folders_with_16_bits(tmp_path, load):
    tree(tmp_path / "images", 30)
    with pytest.raises(
        InputError, match=r"16-bit images and arrays only, and .* has none; leave it out"
    ):
        load(pixel_range="0,4095")
    with pytest.raises(InputError, match="--pixel_range=dtype takes effect with --dataset=folder"):
        Experiment.of(name="a", dataset="digits", pixel_range="dtype")
    with pytest.raises(InputError, match="--pixel_range=12bit: expected auto, dtype or LOW,HIGH"):
        Experiment.of(name="a", dataset="folder", pixel_range="12bit")


def test_another_range_does_not_take_the_pixels_that_are_cached(tmp_path, load):
    of_16_bits(tmp_path / "images", 25, 0, 4000)
    tree(tmp_path / "images", 5)
    first, second = load(), load(pixel_range="0,8000")
    again = load()
    of_8_bits = [name.endswith(".png") for name in first.train.images.names]
    same = [
        np.array_equal(*both)
        for both in zip(first.train.images[:], second.train.images[:], strict=True)
    ]
    assert same == of_8_bits
    np.testing.assert_array_equal(first.train.images[:], again.train.images[:])


def test_a_run_is_not_gone_on_with_in_another_range(tmp_path, load):
    of_16_bits(tmp_path / "images", 30, 0, 4000)
    run = tmp_path / "run"
    written_report(load(pixel_range="10,3000"), run)
    (run / "checkpoints").mkdir()
    load(pixel_range="10,3000").report.check(run)
    with pytest.raises(InputError, match=r"; give --pixel_range=10,3000, or another --name"):
        load().report.check(run)
