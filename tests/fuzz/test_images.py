"""Any bytes: an image of the right form, or InvalidArgumentError; memory stays where it was."""

import io
import resource
import struct
import zlib

import fuzzing
import numpy as np
import tensorflow as tf
from hypothesis import strategies as st
from PIL import Image

from dim_tf.data import encoded_images

MAX_PIXELS = 2**18
BLOCKS = np.kron(np.random.default_rng(0).integers(0, 256, (5, 7, 3)), np.ones((8, 8, 1)))
decode = tf.function(
    lambda encoded: encoded_images.decode(encoded, MAX_PIXELS),
    input_signature=[tf.TensorSpec([], tf.string)],
    autograph=False,
)


def encode(mode, kind, **options):
    out = io.BytesIO()
    Image.fromarray(BLOCKS.astype(np.uint8)).convert(mode).save(out, kind, **options)
    return out.getvalue()


def exif():
    tags = Image.Exif()
    tags[0x010F], tags[0x0112] = "a maker", 6
    return tags.tobytes()


FILES = [
    encode("RGB", "JPEG"),
    encode("L", "JPEG"),
    encode("CMYK", "JPEG"),
    encode("RGB", "JPEG", progressive=True),
    encode("RGB", "JPEG", exif=exif(), restart_marker_blocks=2),
    encode("RGB", "PNG"),
    encode("RGBA", "PNG"),
    encode("P", "PNG"),
    encode("1", "PNG"),
    encode("RGB", "GIF"),
]


@st.composite
def with_a_size(draw):
    """An image whose header tells another size, with the PNG's checksum mended."""
    encoded = bytearray(draw(st.sampled_from(FILES[:8])))
    sizes = st.one_of(st.integers(0, 600), st.integers(0, 2**32 - 1))
    height, width = draw(sizes), draw(sizes)
    if encoded.startswith(b"\x89PNG"):
        encoded[16:24] = struct.pack(">II", width, height)
        encoded[24:29] = bytes([draw(st.sampled_from([1, 8, 16, 3])), *encoded[25:29]])
        encoded[29:33] = struct.pack(">I", zlib.crc32(encoded[12:29]))
    else:
        place = max(encoded.find(b"\xff\xc0"), encoded.find(b"\xff\xc2")) + 5
        encoded[place : place + 4] = struct.pack(">HH", height % 2**16, width % 2**16)
    return bytes(encoded)


def outcome(encoded):
    try:
        image = decode(encoded)
    except tf.errors.InvalidArgumentError:
        return "refused"
    assert image.dtype == tf.uint8
    assert image.shape[-1] == 3
    assert 0 < image.shape[0] * image.shape[1] <= MAX_PIXELS
    return "decoded"


@fuzzing.sizes(10_000)
def test_any_bytes(cases):
    strategy = st.one_of(fuzzing.mutated_bytes(FILES), with_a_size(), st.binary(max_size=64))
    outcome(FILES[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    fuzzing.run("images", strategy, outcome, cases)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 512 * 1024  # KiB
