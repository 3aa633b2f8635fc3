"""Encoded images become upright pixels, or an error, whatever they are."""

import io
import os
import struct
import subprocess
import sys
import zlib

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageOps

from dim_tf.data import encoded_images, image_ops
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import ALL_16_BITS

SIZE = 16
rng = np.random.default_rng(0)
BLOCKS = np.kron(rng.integers(0, 256, (6, 9, 3)), np.ones((8, 8, 1))).astype(np.uint8)
decode = tf.function(
    encoded_images.decode, input_signature=[tf.TensorSpec([], tf.string)], autograph=False
)
decode_all = tf.function(
    lambda encoded: encoded_images.decode_all(encoded, ImageFrame.of(SIZE)),
    input_signature=[tf.TensorSpec([None], tf.string)],
    autograph=False,
)
decode_valid = tf.function(
    lambda encoded: encoded_images.decode_valid(encoded, ImageFrame.of(SIZE)),
    input_signature=[tf.TensorSpec([None], tf.string)],
    autograph=False,
)


def encode(pixels, format, **options):
    out = io.BytesIO()
    image = pixels if isinstance(pixels, Image.Image) else Image.fromarray(pixels)
    image.save(out, format, **options)
    return out.getvalue()


def png(width, height, *, depth=8, color_type=2, body=None, extra=b""):
    """A PNG file made by hand, so that its header may say what it wants."""

    def chunk(name, content):
        checked = name + content
        return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))

    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, 0)
    pixels = zlib.compress(bytes(height * (1 + 3 * width))) if body is None else body
    return b"".join(
        [
            b"\x89PNG\r\n\x1a\n",
            chunk(b"IHDR", header),
            extra,
            chunk(b"IDAT", pixels),
            chunk(b"IEND", b""),
        ]
    )


def as_pillow(encoded):
    return np.asarray(ImageOps.exif_transpose(Image.open(io.BytesIO(encoded))).convert("RGB"))


def exif(orientation, endian="<", others=True):
    tags = Image.Exif()
    tags.endian = endian
    if others:
        tags[0x010F] = "a maker"
        tags[0x0131] = "a program"
    tags[0x0112] = orientation
    return tags.tobytes()


@pytest.mark.parametrize("endian", "<>")
@pytest.mark.parametrize("orientation", range(1, 9))
def test_exif_orientation_as_pillow_does(orientation, endian):
    encoded = encode(BLOCKS, "JPEG", quality=95, exif=exif(orientation, endian))
    decoded, expected = decode(encoded).numpy(), as_pillow(encoded)
    assert decoded.shape == expected.shape
    assert np.abs(decoded.astype(int) - expected).max() <= 8  # two decoders of JPEG


@pytest.mark.parametrize("orientation", [0, 9, 65535])
def test_no_such_orientation_is_upright(orientation):
    plain = decode(encode(BLOCKS, "JPEG"))
    decoded = decode(encode(BLOCKS, "JPEG", exif=exif(orientation)))
    np.testing.assert_array_equal(decoded, plain)


def test_exif_that_is_cut_off_or_lies_is_upright():
    whole = exif(6)
    plain = decode(encode(BLOCKS, "JPEG")).numpy()
    for broken in (
        *(whole[:cut] for cut in range(6, len(whole), 3)),
        whole[:10] + b"\xff\xff\xff\xff" + whole[14:],  # the directory is 4 GB further on
        whole[:14] + b"\xff\xff" + whole[16:20],  # 65,535 entries in 4 bytes
        b"Exif\0\0" + bytes(40),
    ):
        decoded = decode(encode(BLOCKS, "JPEG", exif=broken)).numpy()
        assert decoded.shape in (plain.shape, (*plain.shape[1::-1], 3))  # it may still be readable


@pytest.mark.parametrize("mode", ["L", "CMYK", "RGB"])
@pytest.mark.parametrize("progressive", [False, True])
def test_jpeg_of_each_kind(mode, progressive):
    image = Image.fromarray(BLOCKS).convert(mode)
    encoded = encode(image, "JPEG", quality=95, progressive=progressive)
    decoded = decode(encoded).numpy()
    assert decoded.shape == BLOCKS.shape
    assert np.abs(decoded.astype(int) - as_pillow(encoded)).max() <= 8


@pytest.mark.parametrize("mode", ["1", "L", "LA", "P", "RGB", "RGBA"])
def test_png_of_each_kind(mode):
    image = Image.fromarray(BLOCKS).convert(mode)
    if mode.endswith("A"):
        image.putalpha(Image.fromarray(BLOCKS[..., 0]))
    decoded = decode(encode(image, "PNG"))
    without_alpha = image.convert(mode.rstrip("A")) if mode.endswith("A") else image
    np.testing.assert_array_equal(decoded, np.asarray(without_alpha.convert("RGB")))


def test_16_bits_are_mapped_as_in_training():
    deep = rng.integers(0, 65536, (20, 30)).astype(np.uint16)
    decoded = decode(encode(Image.fromarray(deep), "PNG"))
    expected = ALL_16_BITS.to_uint8(deep)
    np.testing.assert_array_equal(decoded, np.repeat(expected[..., np.newaxis], 3, axis=-1))


INVALID = {
    "nothing": (b"", "is not JPEG or PNG"),
    "text": (b"hello", "is not JPEG or PNG"),
    "gif": (encode(BLOCKS, "GIF"), "is not JPEG or PNG"),
    "bmp": (encode(BLOCKS, "BMP"), "is not JPEG or PNG"),
    "webp": (encode(BLOCKS, "WEBP"), "is not JPEG or PNG"),
    "png of 3.6 gigapixels": (png(60000, 60000, body=b""), "60000"),
    "png of 2**62 pixels": (png(2**31 - 1, 2**31 - 1, body=b""), "pixels allowed"),
    "png of 2**64 pixels": (png(2**32 - 1, 2**32 - 1, body=b""), "pixels allowed"),
    "png without pixels": (png(0, 5, body=b""), "height and width"),
    "png that ends in its header": (png(5, 5)[:20], "height and width"),
    "png cut off": (png(50, 50)[:-30], "Graph execution error"),
    "jpeg cut off": (encode(BLOCKS, "JPEG")[:300], "Graph execution error"),
    "jpeg that ends in its header": (encode(BLOCKS, "JPEG")[:20], "Graph execution error"),
}


@pytest.mark.parametrize("name", INVALID)
def test_refused(name):
    encoded, says = INVALID[name]
    with pytest.raises(tf.errors.InvalidArgumentError, match=says):
        decode(encoded)


def test_too_large_by_one_pixel():
    limited = tf.function(
        lambda encoded: encoded_images.decode(encoded, 54 * 9),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )
    encoded = encode(np.zeros((9, 54, 3), np.uint8), "PNG")
    assert limited(encoded).shape == (9, 54, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels allowed"):
        limited(encode(np.zeros((9, 55, 3), np.uint8), "PNG"))
    # A JPEG is made smaller, as long as its coefficients need not be held.
    assert limited(encode(np.zeros((9, 55, 3), np.uint8), "JPEG")).shape == (5, 28, 3)
    large = np.zeros((40, 90, 3), np.uint8)
    assert limited(encode(large, "JPEG")).shape == (10, 23, 3)
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels allowed"):
        limited(encode(large, "JPEG", progressive=True))
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels allowed"):
        limited(encode(np.zeros((40, 110, 3), np.uint8), "JPEG"))


@pytest.mark.parametrize(
    ("sides", "size", "ratio"),
    [
        ((63, 90), 8, 1),
        ((64, 90), 8, 2),
        ((90, 127), 8, 2),
        ((90, 128), 8, 2),
        ((128, 128), 8, 4),
        ((255, 300), 8, 4),
        ((256, 300), 8, 8),
        ((700, 600), 8, 8),
        ((20, 90), 8, 1),
        ((40, 90), 1, 8),
    ],
)
def test_a_jpeg_is_decoded_at_the_lowest_scale_that_has_enough_pixels(sides, size, ratio):
    encoded = encode(np.zeros((*sides, 3), np.uint8), "JPEG")
    decoded = encoded_images.decode(tf.constant(encoded), frame=ImageFrame.of(size))
    assert decoded.shape == (-(-sides[0] // ratio), -(-sides[1] // ratio), 3)


def test_a_bound_of_pixels_goes_before_a_least_side():
    encoded = encode(np.zeros((64, 64, 3), np.uint8), "JPEG")
    decoded = encoded_images.decode(tf.constant(encoded), max_pixels=1024, frame=ImageFrame.of(16))
    assert decoded.shape == (32, 32, 3)


def test_too_many_scans():
    encoded = encode(BLOCKS, "JPEG", progressive=True)
    first = encoded.index(b"\xff\xda")
    many = encoded[:first] + encoded[first:-2] * 64 + encoded[-2:]
    with pytest.raises(tf.errors.InvalidArgumentError, match="scans"):
        decode(many)


def test_fitted_as_images_of_training_are():
    encoded = encode(BLOCKS, "PNG")
    expected = image_ops.to_uint8(image_ops.fit_image(BLOCKS, ImageFrame.of(SIZE)))
    np.testing.assert_array_equal(decode_all([encoded, encoded])[1], expected)


def test_valid_ones_come_through_beside_others():
    good = [encode(BLOCKS, "PNG"), encode(BLOCKS[:, ::-1].copy(), "JPEG")]
    bad = [encoded for encoded, _ in INVALID.values()]
    mixed = [bad[0], good[0], *bad[1:], good[1]]
    pixels, valid = decode_valid(mixed)
    assert valid.numpy().tolist() == [False, True, *[False] * (len(bad) - 1), True]
    np.testing.assert_array_equal(pixels.numpy()[[1, -1]], decode_all(good))
    assert not pixels.numpy()[~valid.numpy()].any()
    with pytest.raises(tf.errors.InvalidArgumentError):
        decode_all(mixed)


@pytest.mark.parametrize("count", [0, 1, 3])
def test_valid_of_none_and_of_nothing_valid(count):
    pixels, valid = decode_valid(tf.fill([count], b"no"))
    assert pixels.shape == (count, SIZE, SIZE, 3)
    assert valid.numpy().tolist() == [False] * count


def malformed(seed):
    """500 files of 10 kinds, 50 of each, all of which are broken or hostile."""
    rng = np.random.default_rng(seed)
    noise = rng.integers(0, 256, (64, 80, 3)).astype(np.uint8)
    jpeg, progressive = encode(noise, "JPEG"), encode(noise, "JPEG", progressive=True)
    whole_png = encode(noise, "PNG")

    def flipped(encoded, count):
        damaged = bytearray(encoded)
        for offset in rng.integers(2, len(damaged), count):
            damaged[offset] ^= 1 << rng.integers(8)
        return bytes(damaged)

    def cut(encoded):
        return encoded[: rng.integers(1, len(encoded) - 20)]

    def jpeg_that_claims(height, width):
        offset = jpeg.index(b"\xff\xc0") + 5
        return jpeg[:offset] + struct.pack(">HH", height, width) + jpeg[offset + 4 :]

    def bomb_in_a_chunk():
        content = b"text\0\0" + zlib.compress(bytes(2**27), 9)  # 128 MB of zeros
        checked = b"zTXt" + content
        chunk = struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))
        return png(8, 8, extra=chunk, body=b"broken")

    first_scan = progressive.index(b"\xff\xda")
    chunk_bomb = bomb_in_a_chunk()
    makers = [
        lambda: cut(jpeg),
        lambda: cut(progressive),
        lambda: cut(whole_png),
        lambda: flipped(jpeg, 20),
        lambda: flipped(whole_png, 5),
        lambda: png(*rng.integers(10_000, 2**31, 2).tolist(), body=zlib.compress(bytes(10**6))),
        lambda: jpeg_that_claims(*rng.integers(30_000, 65_000, 2).tolist()),
        lambda: progressive[:first_scan] + progressive[first_scan:-2] * 200,
        lambda: rng.choice([encode(noise, k) for k in ("GIF", "BMP", "WEBP", "TIFF")]),
        lambda: chunk_bomb if rng.random() < 0.5 else rng.bytes(rng.integers(1, 10_000)),
    ]
    return [make() for make in makers for _ in range(50)]


def serve_malformed():
    """Run in a process of its own: prints how it went, and the memory that it took, in MiB."""
    import resource

    good = encode(BLOCKS, "PNG")
    expected = decode_all([good]).numpy()
    decode_valid([good, b"bad"])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    errors = 0
    for encoded in malformed(0):
        _, valid = decode_valid([encoded, good])
        assert valid[1]
        try:
            decode_all([encoded])
            assert valid[0]
        except tf.errors.InvalidArgumentError:
            errors += 1
            assert not valid[0]
        np.testing.assert_array_equal(decode_all([good]), expected)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    print(f"refused {errors} MiB {taken // 1024}")


@pytest.mark.slow
def test_500_malformed_images_leave_the_process_as_it_was():
    """Flipped bits may leave a readable JPEG; all others are refused, in under 1 GiB more."""
    done = subprocess.run(
        [sys.executable, __file__],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    _, errors, _, taken = done.stdout.split()
    assert int(errors) >= 400
    assert int(taken) < 1024


if __name__ == "__main__":
    serve_malformed()
