"""Image files of every kind: inspected and decoded, and their faults."""

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image
from sample_files import mixed_folder
from sample_images import pixels, save

from dim_tf.data import encoded_images, image_bounds, image_ops
from dim_tf.data.folder import decoding, inspection, pillow_decoder
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.image_headers import FORMATS
from dim_tf.data.pixel_range import ALL_16_BITS

FRAME = ImageFrame.of(16)

PHOTO = Image.fromarray(pixels(5, 90, 131))


def fitted(image, size=16):
    """As training and serving fit an image that is decoded already."""
    upright = tf.constant(np.asarray(image.convert("RGB")))
    return image_ops.to_uint8(image_ops.fit_image(upright, ImageFrame.of(size))).numpy().astype(int)


@pytest.mark.parametrize(
    ("name", "format", "options", "off"),
    [
        ("a.png", "PNG", {}, 1),
        ("a.JPG", "JPEG", {"quality": 95}, 4),
        ("a.jpeg", "JPEG", {"progressive": True, "quality": 95}, 4),
        ("a.webp", "WEBP", {"lossless": True}, 1),
        ("a.bmp", "BMP", {}, 1),
        ("a.tif", "TIFF", {}, 1),
        ("a.gif", "GIF", {}, 40),  # 256 colours
    ],
)
def test_formats(tmp_path, name, format, options, off):
    path = save(tmp_path / name, image=PHOTO, format=format, **options)
    inspected = inspection.inspect_file(path)
    assert (inspected.fault, inspected.width, inspected.height) == (Fault.NONE, 131, 90)
    assert FORMATS[inspected.format] == format
    decoded = decoding.decode_to_size(path, FRAME).astype(int)
    assert np.abs(decoded - fitted(PHOTO)).max() <= off


@pytest.mark.parametrize("suffix", ["jpg", "png", "tif", "webp"])
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_turns_images_upright(tmp_path, suffix, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = save(tmp_path / f"a.{suffix}", image=PHOTO, exif=exif, quality=95)
    turned = PHOTO.transpose(pillow_decoder._TRANSPOSES[orientation]) if orientation > 1 else PHOTO
    inspected = inspection.inspect_file(path)
    assert (inspected.width, inspected.height) == turned.size
    decoded = decoding.decode_to_size(path, FRAME).astype(int)
    assert np.abs(decoded - fitted(turned)).mean() < 2
    served = encoded_images.decode_to_size(decoding.to_png(path), FRAME).numpy().astype(int)
    assert np.abs(served - decoded).max() <= 1


@pytest.mark.parametrize("sides", [(90, 127), (128, 200), (255, 255), (256, 300), (900, 700)])
@pytest.mark.parametrize("orientation", [1, 6])
def test_a_photograph_is_what_serving_sees(tmp_path, sides, orientation):
    """Also where a JPEG is decoded at 1/2, 1/4 or 1/8."""
    exif = Image.Exif()
    exif[0x0112] = orientation
    image = Image.fromarray(pixels(3, *sides))
    path = save(tmp_path / "a.jpg", image=image, quality=90, exif=exif)
    served = encoded_images.decode_to_size(tf.io.read_file(str(path)), FRAME).numpy().astype(int)
    seen = decoding.decode_to_size(path, FRAME).astype(int)
    assert np.abs(seen - served).max() <= 1
    assert np.abs((seen - served).mean(axis=(0, 1))).max() < 0.3  # no shift of colors


@pytest.mark.parametrize(
    ("mode", "name"),
    [
        ("1", "a.png"),
        ("L", "a.jpg"),
        ("LA", "a.png"),
        ("P", "a.png"),
        ("RGBA", "a.png"),
        ("CMYK", "a.jpg"),
        ("CMYK", "a.tif"),
    ],
)
def test_modes(tmp_path, mode, name):
    path = save(tmp_path / name, image=PHOTO.convert(mode))
    assert inspection.inspect_file(path).fault == Fault.NONE
    decoded = decoding.decode_to_size(path, FRAME).astype(int)
    wanted = fitted(PHOTO.convert(mode).convert("RGB"))
    assert np.abs(decoded - wanted).mean() < 4
    if mode in ("1", "L", "LA"):
        assert (decoded == decoded[..., :1]).all()


@pytest.mark.parametrize("name", ["a.png", "a.tif"])
def test_all_16_bits_become_8(tmp_path, name):
    values = np.linspace(0, 65535, 32 * 32).astype(np.uint16).reshape(32, 32)
    path = save(tmp_path / name, image=Image.fromarray(values))
    assert inspection.inspect_file(path).fault == Fault.NONE
    wanted = ALL_16_BITS.to_uint8(values)
    np.testing.assert_array_equal(decoding.decode_to_size(path, ImageFrame.of(32))[..., 0], wanted)


def test_transparency_is_dropped_as_in_serving(tmp_path):
    image = PHOTO.copy()
    image.putalpha(0)
    path = save(tmp_path / "a.png", image=image)
    served = encoded_images.decode_to_size(tf.io.read_file(str(path)), FRAME).numpy().astype(int)
    assert np.abs(decoding.decode_to_size(path, FRAME).astype(int) - served).max() <= 1


def test_of_an_animation_the_first_picture(tmp_path):
    frames = [Image.new("RGB", (16, 16), colour) for colour in ("red", "blue")]
    path = save(tmp_path / "a.gif", image=frames[0], save_all=True, append_images=frames[1:])
    assert tuple(decoding.decode_to_size(path, FRAME)[0, 0]) == (255, 0, 0)


def noise():
    return Image.fromarray(np.random.default_rng(0).integers(0, 256, (64, 64, 3), np.uint8))


@pytest.mark.parametrize(
    ("name", "make", "fault"),
    [
        ("empty.jpg", lambda good: b"", Fault.EMPTY),
        ("cut.png", lambda good: good[: len(good) // 2], Fault.BROKEN),
        ("text.jpg", lambda good: b"no image, but words", Fault.NOT_AN_IMAGE),
        ("head.png", lambda good: good[:20], Fault.BROKEN),
        ("flipped.png", lambda good: good[:500] + b"\xff" * 50 + good[550:], Fault.BROKEN),
        ("page.txt", lambda good: b"words", Fault.OTHER),
        ("nothing", lambda good: b"", Fault.OTHER),
        ("wrong.jpg", lambda good: good, Fault.NONE),
        ("IMG_0001", lambda good: good, Fault.NONE),
    ],
)
def test_what_is_wrong(tmp_path, name, make, fault):
    good = save(tmp_path / "good.png", image=noise()).read_bytes()
    path = tmp_path / name
    path.write_bytes(make(good))
    assert inspection.inspect_file(path).fault == fault
    if fault == Fault.NONE:
        assert decoding.decode_to_size(path, ImageFrame.of(64)).shape == (64, 64, 3)
    else:
        with pytest.raises(UndecodableError):
            decoding.decode_to_size(path, ImageFrame.of(64))


def test_a_cut_jpeg_is_found_at_the_lowest_resolution_too(tmp_path):
    good = save(tmp_path / "good.jpg", image=noise()).read_bytes()
    (tmp_path / "cut.jpg").write_bytes(good[: len(good) * 3 // 4])
    assert inspection.inspect_file(tmp_path / "cut.jpg").fault == Fault.BROKEN


def test_bombs_are_refused_before_memory_is_taken(tmp_path, monkeypatch):
    bomb = save(tmp_path / "bomb.png", image=Image.new("1", (20_000, 20_000)))
    large = save(tmp_path / "large.png", image=Image.new("1", (6000, 6000)))
    monkeypatch.setattr(pillow_decoder, "_load", None)
    assert bomb.stat().st_size < 100_000
    assert inspection.inspect_file(bomb).fault == Fault.TOO_MANY_PIXELS
    assert inspection.inspect_file(large).fault == Fault.TOO_MANY_PIXELS


def test_files_of_gigabytes_are_not_read(tmp_path):
    path = tmp_path / "large.jpg"
    with open(path, "wb") as file:
        file.truncate(image_bounds.MAX_BYTES + 17)
    assert inspection.inspect_file(path).fault == Fault.TOO_MANY_BYTES


def test_pixels_that_are_not_supported(tmp_path):
    for image in (Image.fromarray(np.ones((16, 16), np.int32)), Image.new("LAB", (16, 16))):
        path = save(tmp_path / "a.tif", image=image)
        assert inspection.inspect_file(path).fault == Fault.UNSUPPORTED_PIXELS


@pytest.mark.parametrize("orientation", [0, 9, 77])
def test_an_orientation_that_is_none(tmp_path, orientation):
    exif = Image.Exif()
    exif[0x0112] = orientation
    path = tmp_path / "a.jpg"
    PHOTO.save(path, exif=exif)
    inspected = inspection.inspect_file(path)
    assert (inspected.fault, inspected.width, inspected.height) == (Fault.NONE, 131, 90)
    assert decoding.decode_to_size(path, FRAME).shape == (16, 16, 3)


def test_tiny_and_missing(tmp_path):
    assert inspection.inspect_file(
        save(tmp_path / "a.png", image=Image.new("L", (7, 90)))
    ).fault == (Fault.TINY)
    assert inspection.inspect_file(tmp_path / "none.png").fault == Fault.UNREADABLE


def test_of_a_folder_of_everything_each_file_is_seen_for_what_it_is(tmp_path):
    outcomes = mixed_folder(tmp_path)
    assert 190 < len(outcomes) < 260
    of_pixels = {}
    for name, outcome in outcomes.items():
        seen = inspection.inspect_file(tmp_path / name)
        if outcome == "image" or outcome.startswith("duplicate"):
            assert not seen.fault, (name, seen)
            first = outcome.removeprefix("duplicate of ") if outcome != "image" else name
            assert of_pixels.setdefault(seen.pixel_digest, first) == first
        elif outcome in ("tiny", "other"):
            assert seen.fault.name == outcome.upper(), name
        elif outcome.startswith("unreadable"):
            assert outcome == f"unreadable: {seen.fault.description}", name
            assert seen.fault.is_bad
        else:
            assert outcome in ("hidden", "system folder")
