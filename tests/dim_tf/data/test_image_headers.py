"""The headers of image files, and the part of each file that a decoder sees."""

import io

import numpy as np
import pytest
from PIL import Image
from sample_images import chunk, pixels, tiff_16, tiff_of, webp_of, with_png_chunks

from dim_tf.data import image_headers
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_headers import FORMATS, format_of
from dim_tf.data.image_headers.header import MAX_XMP
from dim_tf.data.image_headers.orientation import orientation_of

MAX_PIXELS = 2**20
PHOTO = Image.fromarray(pixels(5, 60, 88))


def encoded(format, image=PHOTO, **options):
    file = io.BytesIO()
    image.save(file, format, **options)
    return file.getvalue()


def read(content):
    return image_headers.read(content, MAX_PIXELS)


@pytest.mark.parametrize("format", FORMATS[:-3])  # not those of libraries of their own
def test_size_format_and_a_file_that_its_decoder_reads(format):
    content = encoded(format)
    header = read(content)
    assert (header.format, header.width, header.height) == (format, 88, 60)
    assert (header.orientation, header.bits) == (1, 8)
    if format != "PPM":
        same = Image.open(io.BytesIO(header.data)).convert("RGB")
        assert same.tobytes() == Image.open(io.BytesIO(content)).convert("RGB").tobytes()


@pytest.mark.parametrize(
    ("begin", "format"),
    [
        (b"\0\0\0\x20ftypheic\0\0\0\0mif1heic", "HEIF"),
        (b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif", "AVIF"),
        (b"\0\0\0\x14ftypmif1\0\0\0\0avis", "AVIF"),
        (b"\0\0\0\x14ftypisom\0\0\0\0heic....", "HEIF"),
        (b"\0\0\0\x14ftypisom\0\0\0\0mp41heic", ""),  # behind the box's end
        (b"\0\0\0\x14ftypqt  \0\0\0\0qt  ", ""),
        (b"II+\0\x08\0\0\0", "TIFF"),
        (b"P6\n3 4\n255\n", "PPM"),
        (b"P7\nWIDTH", ""),
        (b"P5000 words", ""),
        (b"", ""),
    ],
)
def test_formats_are_recognised_by_first_bytes(begin, format):
    assert format_of(begin) == format


def test_a_decoder_gets_what_makes_pixels_alone():
    exif = Image.Exif()
    exif[0x010E] = "words " * 999
    profile = {"icc_profile": np.random.default_rng(0).bytes(2**13), "exif": exif}
    for format in ("JPEG", "PNG", "WEBP"):
        plain, whole = encoded(format), encoded(format, **profile)
        assert len(whole) > len(plain) + 8000
        assert len(read(whole).data) <= len(plain)
    frames = [Image.fromarray(pixels(number, 60, 88)) for number in range(5)]
    for format in ("PNG", "GIF", "WEBP"):
        animation = encoded(format, frames[0], save_all=True, append_images=frames[1:])
        first = Image.open(io.BytesIO(read(animation).data))
        assert getattr(first, "n_frames", 1) == 1
        assert first.convert("RGB").tobytes() == (
            Image.open(io.BytesIO(animation)).convert("RGB").tobytes()
        )


def test_a_tiffs_other_directories_and_tags_are_left_out():
    frames = {"save_all": True, "append_images": [PHOTO] * 3}
    header = read(encoded("TIFF", tiffinfo={270: "words", 315: "somebody"}, **frames))
    image = Image.open(io.BytesIO(header.data))
    assert image.n_frames == 1
    assert not {270, 315} & set(image.tag_v2)


def test_channels_of_16_bits_that_a_tiff_keeps_apart():
    values = np.random.default_rng(0).integers(0, 2**16, (40, 30, 3)).astype(np.uint16)
    header = read(tiff_16(values, planar=True))
    assert header.bits == 16
    for channel, plane in enumerate(header.planes):
        decoded = np.asarray(Image.open(io.BytesIO(plane)))
        np.testing.assert_array_equal(decoded, values[..., channel])


def tiff(tag=0x0112, value_type=3, value=6, order="<"):
    content = tiff_of({tag: [value]}, b"", order)
    offset = 8 + 2 + 2
    field = value_type.to_bytes(2, "little" if order == "<" else "big")
    if order == ">" and value_type == 3:  # 16 bits stand first
        content = content[:18] + value.to_bytes(2, "big") + bytes(2) + content[22:]
    return content[:offset] + field + content[offset + 2 :]


XMP = b'<rdf:Description tiff:Orientation="8"/>'


@pytest.mark.parametrize(
    ("exif", "xmp", "wanted"),
    [
        (tiff(), b"", 6),
        (tiff(order=">"), b"", 6),
        (b"Exif\0\0" + tiff(), b"", 6),
        (tiff(), XMP, 6),
        (tiff(value=0), XMP, 8),
        (tiff(value=9), XMP, 8),
        (tiff(value_type=4), XMP, 8),  # LONG
        (tiff(tag=0x0113), XMP, 8),
        (tiff()[:15], XMP, 8),
        (b"words", XMP, 8),
        (b"", XMP.replace(b'"', b"'"), 8),
        (b"", b"<tiff:Orientation>5</tiff:Orientation>", 5),
        (b"", b'tiff:Orientation="0" tiff:Orientation="3"', 1),
        (b"", b'tiff:Orientation="12"', 1),
        (b"", b'exif:Orientation="3"', 1),
        (b"", b" " * MAX_XMP + XMP, 1),
        (b"", b"", 1),
    ],
)
def test_orientation(exif, xmp, wanted):
    assert orientation_of(exif, xmp) == wanted


@pytest.mark.parametrize(
    ("content", "fault"),
    [
        (b"words", Fault.NOT_AN_IMAGE),
        (b"8BPS\0\1", Fault.UNSUPPORTED_FORMAT),
        (b"\xff\xd8\xff", Fault.BROKEN),
        (b"\xff\xd8\xff\xd9", Fault.BROKEN),
        (b"\xff\xd8\xff\xda\0\2", Fault.BROKEN),  # a scan of no frame
        (encoded("JPEG")[:2] + encoded("JPEG"), Fault.BROKEN),
        (
            encoded("JPEG").replace(b"\xff\xc0\0\x11\x08", b"\xff\xc0\0\x11\x0c"),
            Fault.UNSUPPORTED_PIXELS,
        ),
        (encoded("PNG")[:20], Fault.BROKEN),
        (with_png_chunks(encoded("PNG"), chunk(b"ABCD", bytes(999))), Fault.BROKEN),
        (webp_of((b"EXIF", b"")), Fault.BROKEN),
        (webp_of((b"ANMF", bytes(16))), Fault.BROKEN),
        (b"GIF89a" + bytes(3), Fault.BROKEN),
        (b"BM" + bytes(9), Fault.BROKEN),
        (tiff_of({256: [9], 257: [9], 278: [0], 273: [8]}, b""), Fault.BROKEN),
        (tiff_of({256: [9], 257: [9], 277: [9]}, b""), Fault.UNSUPPORTED_PIXELS),
        (tiff_of({256: [2000], 257: [2000]}, b""), Fault.TOO_MANY_PIXELS),
        (b"II*\0\xff\xff\xff\xff", Fault.BROKEN),
        (b"P5 2000 2000 255\n", Fault.TOO_MANY_PIXELS),
        (b"P5 20 20 65536\n", Fault.BROKEN),
        (b"P5 20 20", Fault.BROKEN),
        (encoded("JPEG2000", no_jp2=True)[:30], Fault.BROKEN),
        (encoded("JPEG2000")[:40], Fault.BROKEN),
    ],
)
def test_what_is_wrong(content, fault):
    with pytest.raises(UndecodableError) as caught:
        read(content)
    assert caught.value.fault == fault


def test_faults_say_what_they_are():
    assert len({fault.description for fault in Fault}) == len(Fault)
    unusable = {fault for fault in Fault if fault.is_bad}
    assert set(Fault) - unusable == {Fault.NONE, Fault.OTHER, Fault.TINY, Fault.CHANGED}
