"""Any bytes as an image file: pixels, or a fault; memory stays where it was."""

import io
import resource

import fuzzing
import numpy as np
from hypothesis import strategies as st
from PIL import Image, features
from sample_images import netpbm, pixels, png_16, tiff_16

from dim_tf.data import npy
from dim_tf.data.folder import decoding, inspection
from dim_tf.data.image_faults import Fault
from dim_tf.data.image_frame import ImageFrame

MAX_PIXELS = 2**18
IMAGES = [Image.fromarray(pixels(number, 40, 56)) for number in range(3)]
DEEP = pixels(3, 20, 28).astype(np.uint16) << 4


def encode(kind, mode="RGB", **options):
    out = io.BytesIO()
    IMAGES[0].convert(mode).save(out, kind, **options)
    return out.getvalue()


FRAMES = {"save_all": True, "append_images": IMAGES[1:]}
FILES = [
    encode("JPEG", exif=b"Exif\0\0II*\0\x08\0\0\0\1\0\x12\1\3\0\1\0\0\0\6\0\0\0"),
    encode("JPEG", progressive=True),
    encode("PNG"),
    encode("PNG", "P", **FRAMES),
    png_16(DEEP),
    encode("GIF", **FRAMES),
    encode("WEBP"),
    encode("WEBP", lossless=True, **FRAMES),
    encode("BMP"),
    encode("TIFF", compression="tiff_lzw"),
    encode("TIFF", "1", compression="group4"),
    encode("TIFF", compression="jpeg"),
    tiff_16(DEEP, planar=True),
    tiff_16(DEEP, order=">", deflate=True),
    encode("JPEG2000"),
    netpbm(3, DEEP, 1023),
    netpbm(5, DEEP[..., 0], 65535),
    npy.to_bytes(DEEP),
    *([encode("AVIF")] if features.check("avif") else []),
]


@fuzzing.sizes(10_000)
def test_any_bytes(cases, tmp_path):
    path = tmp_path / "a.jpg"

    def outcome(octets):
        path.write_bytes(octets)
        seen = inspection.inspect_file(path, MAX_PIXELS)
        if seen.fault not in (Fault.NONE, Fault.TINY):
            assert seen.fault.is_bad
            return seen.fault.name
        is_array = seen.bits == inspection.ARRAY_BITS
        frame = ImageFrame.of(8, seen.channels if is_array else 3)
        decode = decoding.decode_array_to_size if is_array else decoding.decode_to_size
        decoded = decode(path, frame, max_pixels=MAX_PIXELS, expected_digest=seen.digest)
        assert decoded.shape == frame.shape
        assert 0 < seen.width * seen.height <= 8 * MAX_PIXELS
        assert 0 <= seen.low <= seen.high < 2**seen.bits
        return "decoded"

    outcome(FILES[0])
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    strategy = st.one_of(fuzzing.mutated_bytes(FILES), st.binary(max_size=64))
    fuzzing.run("image files", strategy, outcome, cases)
    taken = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before
    assert taken < 512 * 1024  # KiB
