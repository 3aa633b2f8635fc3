"""Files that training and an exported model could read in two ways are one image in both."""

import io
import struct

import numpy as np
import pytest
import tensorflow as tf
from PIL import Image, ImageChops
from sample_images import chunk

from dim_tf.data import encoded_images
from dim_tf.data.folder import decoding, inspection
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_frame import ImageFrame

WIDE = np.zeros((40, 64, 3), np.uint8)
WIDE[:, 40:] = 200  # not the same when it is turned
WIDE[:10] += 50
XAP = b"http://ns.adobe.com/xap/1.0/\0"
TURNED = b'<x tiff:Orientation="6"/>'


def encoded(format, mode="RGB", **options):
    octets = io.BytesIO()
    Image.fromarray(WIDE).convert(mode).save(octets, format, **options)
    return octets.getvalue()


def segment(marker, content):
    return struct.pack(">BBH", 0xFF, marker, 2 + len(content)) + content


def exif(orientation):
    entry = struct.pack("<HHIHH", 0x0112, 3, 1, orientation, 0)
    return b"Exif\0\0II*\0" + struct.pack("<IH", 8, 1) + entry


def in_jpeg(*segments, place=2):
    jpeg = encoded("JPEG", quality=95)
    return jpeg[:place] + b"".join(segments) + jpeg[place:]


def without_adobe():
    """A CMYK JPEG as other programs than Adobe's write it: not inverted."""
    octets = io.BytesIO()
    plain = ImageChops.invert(Image.fromarray(WIDE).convert("CMYK"))  # as Pillow inverts it again
    plain.save(octets, "JPEG", quality=95)
    jpeg = octets.getvalue()
    place = jpeg.index(b"\xff\xee")
    (length,) = struct.unpack_from(">H", jpeg, place + 2)
    return jpeg[:place] + jpeg[place + 2 + length :]


def between_scans():
    jpeg = encoded("JPEG", quality=95, progressive=True)
    place = jpeg.index(b"\xff\xc4", jpeg.index(b"\xff\xda"))
    return jpeg[:place] + segment(0xE1, exif(6)) + jpeg[place:]


def in_png(keyword, text):
    png = encoded("PNG")
    return png[:33] + chunk(b"iTXt", keyword + text) + png[33:]


FILES = {
    "CMYK with Adobe's mark": lambda: encoded("JPEG", "CMYK", quality=95),
    "CMYK without it": without_adobe,
    "EXIF between scans": between_scans,
    "EXIF behind the pixels": lambda: in_jpeg(segment(0xE1, exif(6)), place=-2),
    "an empty XMP first": lambda: in_jpeg(segment(0xE1, XAP), segment(0xE1, XAP + TURNED)),
    "XMP in a PNG's keyword": lambda: in_png(b"XML:com.adobe.xmp\0\0\0", TURNED + b"\0\0"),
    "XMP at the end of what is searched": lambda: in_png(
        b"XML:com.adobe.xmp\0\0\0\0\0", b" " * (2**20 - 30) + TURNED
    ),
    "XMP within what is searched": lambda: in_png(
        b"XML:com.adobe.xmp\0\0\0\0\0", b" " * (2**20 - 60) + TURNED
    ),
}


@pytest.fixture(scope="module")
def serve():
    return tf.function(
        lambda octets: encoded_images.decode_to_size(octets, ImageFrame.of(32)),
        input_signature=[tf.TensorSpec([], tf.string)],
        autograph=False,
    )


@pytest.mark.parametrize("name", FILES)
def test_training_and_serving_see_the_same(name, tmp_path, serve):
    octets = FILES[name]()
    (tmp_path / "a").write_bytes(octets)
    trained = decoding.decode_to_size(tmp_path / "a", ImageFrame.of(32)).astype(int)
    served = serve(octets).numpy()
    assert np.abs(trained - served).max() < 20
    assert np.ptp(trained) > 100  # neither is black


@pytest.mark.parametrize("sides", [(2**25, 1), (8, 2**22)])
def test_an_image_of_an_endless_side_is_refused_in_both(sides, tmp_path, serve):
    """Pillow's arithmetic ends there in a MemoryError, which ended the whole run."""
    size = struct.pack(">IIBBBBB", *sides, 16, 6, 0, 0, 0)
    png = b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", size) + chunk(b"IDAT", b"") + chunk(b"IEND", b"")
    (tmp_path / "a.png").write_bytes(png)
    with pytest.raises(UndecodableError, match="1,048,576 a side"):
        decoding.decode_to_size(tmp_path / "a.png", ImageFrame.of(32))
    with pytest.raises(tf.errors.InvalidArgumentError, match="pixels"):
        serve(png)


def test_a_tiffs_strips_are_not_one_jpeg_again_and_again(tmp_path):
    """131,072 strips of one row that all lie at the same offset took 8 s of a processor."""
    jpeg = io.BytesIO()
    Image.new("RGB", (16, 1)).save(jpeg, "JPEG", progressive=True)
    rows = 4096
    head = b"II*\0" + struct.pack("<I", 8)
    data = 8 + 2 + 12 * 9 + 4
    strips = data + len(jpeg.getvalue())
    entries = [
        (256, 4, 1, 16),
        (257, 4, 1, rows),
        (258, 3, 1, 8),
        (259, 3, 1, 7),
        (262, 3, 1, 6),
        (273, 4, rows, strips),
        (277, 3, 1, 3),
        (278, 4, 1, 1),
        (279, 4, rows, strips + 4 * rows),
    ]
    directory = struct.pack("<H", 9) + b"".join(struct.pack("<HHII", *e) for e in entries)
    offsets = struct.pack("<I", data) * rows
    lengths = struct.pack("<I", len(jpeg.getvalue())) * rows
    tiff = head + directory + bytes(4) + jpeg.getvalue() + offsets + lengths
    (tmp_path / "a.tif").write_bytes(tiff)
    assert inspection.inspect_file(tmp_path / "a.tif").fault == Fault.TOO_MANY_SEGMENTS
