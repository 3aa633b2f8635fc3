"""Small files that made a decoder take gigabytes or minutes before it refused them, or did not."""

import io
import struct
import time
import zlib
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from sample_images import chunk, pixels, tiff_of, webp_of, with_png_chunks

from dim_tf.data.folder import decoding, inspection
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_frame import ImageFrame

FRAME = ImageFrame.of(16)

MORE_MIB = 300
MOST_SECONDS = 2.0


def encoded(format, **options):
    octets = io.BytesIO()
    Image.fromarray(pixels(1, 64, 64)).save(octets, format, **options)
    return octets.getvalue()


def jpeg_with(segments=b"", scan=b""):
    jpeg = encoded("JPEG")
    return jpeg[:2] + segments + jpeg[2:-2] + scan + jpeg[-2:]


def png_with(*chunks):
    return with_png_chunks(encoded("PNG"), *chunks)


def packed(size):
    return zlib.compress(b"A" * size, 9)


def gif_with(blocks, width=64, height=64):
    gif = encoded("GIF")
    place = 13 + (6 << (gif[10] & 7))
    return gif[:6] + struct.pack("<HH", width, height) + gif[10:place] + blocks + gif[place:]


def webp_with(canvas, *before):
    webp = encoded("WEBP", lossless=True)
    size = b"".join((side - 1).to_bytes(3, "little") for side in canvas)
    still = webp[12:16], webp[20:]
    if before:
        return webp_of((b"VP8X", b"\0\0\0\0" + size), *before, still)
    frame = bytes(6) + (63).to_bytes(3, "little") * 2 + bytes(4) + webp[12:]
    animated = b"\x02\0\0\0" + size
    return webp_of((b"VP8X", animated), (b"ANIM", bytes(6)), (b"ANMF", frame))


def bmp_with(width, height, compression, octets):
    head = struct.pack("<IHHI", 1078 + len(octets), 0, 0, 1078)
    sizes = struct.pack("<IiiHHI", 40, width, height, 1, 8, compression)
    return b"BM" + head + sizes + bytes(20) + bytes(1024) + octets


def tiff_with(tags, octets=b""):
    base = {256: [64], 257: [64], 258: [8], 259: [1], 262: [1], 277: [1]}
    return tiff_of(base | tags, octets)


def codestream_with(size, tile, replaced=b"", by=b""):
    octets = encoded("JPEG2000", no_jp2=True)
    sizes = struct.pack(">8I", size, size, 0, 0, tile, tile, 0, 0)
    return (octets[:8] + sizes + octets[40:]).replace(replaced, by)


def small_blocks(octets):
    """A codestream that says that its code blocks are 4 x 4, its precincts 1 x 1."""
    place = octets.index(b"\xff\x52")
    style = bytearray(octets[place : place + 14])
    levels = style[9]
    coding = b"\xff\x52" + struct.pack(">H", 12 + levels + 1) + b"\x01" + bytes(style[5:10])
    coding += bytes((0, 0)) + bytes(style[12:14]) + bytes(levels + 1)
    return octets[:place] + coding + octets[place + 14 :]


INVALID = {
    "segments.jpg": lambda: jpeg_with(b"\xff\xe5\0\2" * 2**22),
    "tables.jpg": lambda: jpeg_with((b"\xff\xdb\0\x43\1" + bytes([1] * 64)) * 2**16),
    "scan.jpg": lambda: jpeg_with(scan=b"\xff\0" * 2**23),
    "restarts.jpg": lambda: jpeg_with(scan=b"\xff\xd0" * 2**23),
    "scans.jpg": lambda: jpeg_with(scan=b"\xff\xda\0\x0c\3\1\0\2\x11\3\x11\0\x3f\0" * 10_000),
    "chunks.png": lambda: png_with(*[chunk(b"tEXt", b"k\0v")] * 300_000),
    "palettes.png": lambda: png_with(*[chunk(b"PLTE", bytes(768))] * 9),
    "comments.gif": lambda: gif_with(b"\x21\xfe\1a\0" * 300_000),
    "comment.gif": lambda: gif_with(b"\x21\xfe" + b"\1a" * 2**22 + b"\0"),
    "screen.gif": lambda: gif_with(b"", 65_535, 65_535),
    "canvas.webp": lambda: webp_with((2**14, 2**14)),
    "chunks.webp": lambda: webp_with((64, 64), *[(b"abcd", b"")] * 300_000),
    "runs.bmp": lambda: bmp_with(5000, 5000, 1, b"\1\1" * 2**22),
    "jumps.bmp": lambda: bmp_with(2**22, 8, 1, b"\0\2\0\xff" * 99),
    "tile.tif": lambda: tiff_with(
        {259: [8], 322: [40_000], 323: [40_000], 324: [200], 325: [100]}, bytes(5004)
    ),
    "narrow.tif": lambda: tiff_with(
        {256: [2**20], 257: [1], 322: [16], 323: [2**16], 324: [8] * 2**16, 325: [8] * 2**16}
    ),
    "strips.tif": lambda: tiff_with(
        {256: [4000], 257: [4000], 278: [3999], 273: [8] * 9999, 279: [8] * 9999}, bytes(2**24)
    ),
    "tags.tif": lambda: tiff_with({tag: [8] for tag in range(40_000, 45_000)}),
    "count.tif": lambda: tiff_with({258: [8] * 9999, 273: [8]}),
    "tiles.j2k": lambda: codestream_with(5000, 1),
    "blocks.j2k": lambda: small_blocks(codestream_with(5000, 5000)),
    "spaces.ppm": lambda: b"P6" + b" " * 2**23 + b"64 64 255\n" + bytes(3 * 64 * 64),
    "comments.pbm": lambda: b"P1\n64 64\n" + b"#\n" * 2**23 + b"1" * 4096,
    "plain.ppm": lambda: b"P3 5000 5000 255\n" + b"1 " * 2**22,
}
# Large, but of what makes no pixels.
READ = {
    "fill.jpg": lambda: jpeg_with(b"\xff" * 2**24),
    "previews.jpg": lambda: jpeg_with((b"\xff\xe2\xff\xff" + bytes(65_533)) * 256),
    "text.png": lambda: png_with(*[chunk(b"zTXt", b"k\0\0" + packed(7_900_000))] * 99),
    "international.png": lambda: png_with(*[chunk(b"iTXt", b"k\0\1\0\0\0" + packed(2**24))] * 9),
    "profile.png": lambda: png_with(chunk(b"iCCP", b"k\0\0" + packed(2**25))),
    "exif.png": lambda: png_with(chunk(b"eXIf", b"II*\0\x08\0\0\0\xff\xff" + bytes(2**23))),
    "frames.png": lambda: png_with(
        chunk(b"acTL", struct.pack(">II", 2**31 - 1, 0)), *[chunk(b"fcTL", bytes(26))] * 99_999
    ),
    "profile.webp": lambda: webp_with((2**14, 2**14), (b"ICCP", bytes(2**24))),
    "animation.gif": lambda: gif_with(b"\x21\xff\x0bXMP DataXMP" + (b"\xff" * 256) * 9999 + b"\0"),
    "metadata.tif": lambda: tiff_with(
        {273: [8], 279: [4096], 278: [64], 33_000: [2**24] * 99, 34_665: [8]}, bytes(2**13)
    ),
}


def peak_mib():
    lines = Path("/proc/self/status").read_text().splitlines()
    return int(next(line for line in lines if line.startswith("VmHWM")).split()[1]) / 1024


def measured(look):
    """What it returns, the seconds it takes and the MiB at its peak that were not in use before.

    The MiB are 0 where the system does not tell: results and seconds are looked at all the same.
    """
    try:
        Path("/proc/self/clear_refs").write_text("5")  # the peak begins anew
        before = peak_mib()
    except OSError:
        before = None
    start = time.process_time()
    result = look()
    seconds = time.process_time() - start
    return result, seconds, 0 if before is None else peak_mib() - before


@pytest.mark.parametrize("name", [*INVALID, *READ])
def test_bombs_take_neither_memory_nor_time(tmp_path, name):
    path = tmp_path / name
    octets = (INVALID | READ)[name]()
    path.write_bytes(octets)
    size_mib = len(octets) / 2**20
    seen, seconds, mib = measured(lambda: inspection.inspect_file(path))
    assert seconds < MOST_SECONDS
    assert mib < MORE_MIB + size_mib
    if name in READ:
        assert not seen.fault
        assert (seen.width, seen.height) == (64, 64)
        plain = tmp_path / f"plain.{name.split('.')[1]}"
        if name != "metadata.tif":
            Image.fromarray(pixels(1, 64, 64)).save(plain, lossless=True)
            np.testing.assert_array_equal(
                decoding.decode_to_size(path, FRAME),
                decoding.decode_to_size(plain, FRAME),
            )
        return
    assert seen.fault.is_bad
    _, seconds, mib = measured(lambda: fault_of(path))
    assert seconds < MOST_SECONDS
    assert mib < MORE_MIB + size_mib


def fault_of(path):
    with pytest.raises(UndecodableError):
        decoding.decode_to_size(path, ImageFrame.of(32))


def test_pixels_that_unpack_to_more_than_the_image_has(tmp_path):
    png = encoded("PNG")
    bomb = png[:33] + chunk(b"IDAT", zlib.compress(bytes(2**26), 9)) + chunk(b"IEND", b"")
    path = tmp_path / "a.png"
    path.write_bytes(bomb)
    seen, seconds, mib = measured(lambda: inspection.inspect_file(path))
    assert (seen.fault, seen.width, seen.height) == (Fault.NONE, 64, 64)
    assert seconds < MOST_SECONDS
    assert mib < 50
