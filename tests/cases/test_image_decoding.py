"""Image files that were refused though good, or decoded to something else than people see."""

import io
import struct
import sys
import warnings
import zlib

import numpy as np
import pytest
from PIL import Image, ImageFile, features
from sample_images import (
    chunk,
    netpbm,
    pixels,
    with_png_chunks,
    with_webp_chunks,
)

from dim_tf.data import image_headers
from dim_tf.data.folder import decoding, inspection, pillow_decoder
from dim_tf.data.image_faults import Fault, UndecodableError
from dim_tf.data.image_frame import ImageFrame

FRAME = ImageFrame.of(16)

PHOTO = Image.fromarray(pixels(5, 60, 88))
XMP = b"http://ns.adobe.com/xap/1.0/\0"


def encoded(format, image=PHOTO, **options):
    octets = io.BytesIO()
    image.save(octets, format, **options)
    return octets.getvalue()


def written(folder, name, octets):
    path = folder / name
    path.write_bytes(octets)
    return path


def look(folder, octets, name="a.jpg", **options):
    return inspection.inspect_file(written(folder, name, octets), **options)


def is_as(folder, octets, wanted, name="a.jpg"):
    """Whether a file is read as another is: its size and its pixels, as they are shown."""
    path, other = written(folder, name, octets), written(folder, "wanted.png", wanted)
    one, two = inspection.inspect_file(path), inspection.inspect_file(other)
    assert one.fault == two.fault == Fault.NONE
    same = np.array_equal(
        decoding.decode_to_size(path, FRAME),
        decoding.decode_to_size(other, FRAME),
    )
    return same and one[2:4] == two[2:4]


def segment(marker, content):
    return bytes((0xFF, marker)) + struct.pack(">H", len(content) + 2) + content


def with_segments(jpeg, *segments):
    return jpeg[:2] + b"".join(segments) + jpeg[2:]


# Bytes that are no part of the image.

JPEG = encoded("JPEG", quality=95, subsampling=0)


@pytest.mark.parametrize(
    "octets",
    [
        JPEG + b"\xff\xda" * 65,  # as chance puts it into the video of a motion photo
        JPEG + JPEG * 70,  # a multi-picture file's, and a burst's
        JPEG + b"\0" * 1000 + b"SEFH" + b"\xff\xda\xff\xd8" * 99 + b"SEFT",
        with_segments(JPEG, *[segment(0xE2, b"MPF\0" + b"\xff\xda" * 30_000)] * 4),
        with_segments(JPEG, segment(0xE1, b"Exif\0\0II*\0" + b"\xff\xda" * 70)),
        with_segments(JPEG, b"\xff" * 70, segment(0xFE, b"\xff\xda" * 80)),
    ],
    ids=["video", "pictures", "trailer", "preview", "thumbnail", "comment"],
)
def test_bytes_around_a_jpegs_pixels_do_not_count_as_scans(tmp_path, octets):
    assert is_as(tmp_path, octets, encoded("PNG", Image.open(io.BytesIO(JPEG))))


def test_scans_of_the_image_itself_count(tmp_path):
    begin = JPEG.index(b"\xff\xda")
    scans = JPEG[:-2] + JPEG[begin:-2] * 65 + JPEG[-2:]
    assert look(tmp_path, scans).fault == Fault.TOO_MANY_SEGMENTS


PNG = encoded("PNG")
TEXT = b"A" * 2_100_000


@pytest.mark.parametrize(
    "chunks",
    [
        [chunk(b"zTXt", b"workflow\0\0" + zlib.compress(TEXT))],
        [chunk(b"iTXt", b"workflow\0\1\0\0\0" + zlib.compress(TEXT))],
        [chunk(b"tEXt", b"workflow\0" + TEXT)] * 32,
        [chunk(b"iCCP", b"profile\0\0" + zlib.compress(TEXT))],
        [chunk(b"zTXt", b"broken\0\0no zlib")],
        [chunk(b"acTL", struct.pack(">II", 1000, 0)), chunk(b"fcTL", bytes(26))],
    ],
    ids=["zTXt", "iTXt", "tEXt", "iCCP", "broken", "animation"],
)
def test_long_text_in_a_png_is_left_out(tmp_path, chunks):
    assert is_as(tmp_path, with_png_chunks(PNG, *chunks), PNG, "a.png")


# Large photographs.


def test_a_photograph_of_50_megapixels(tmp_path):
    large = encoded("JPEG", Image.new("RGB", (8160, 6120), (90, 80, 60)))
    assert look(tmp_path, large)[::2][:2] == (Fault.NONE, 8160)
    assert np.abs(decoding.decode_to_size(tmp_path / "a.jpg", FRAME) - (90, 80, 60)).max() < 3
    assert look(tmp_path, large[: len(large) // 2]).fault == Fault.BROKEN


def test_larger_jpegs_are_decoded_at_a_reduced_scale(tmp_path):
    """Eight times as many pixels, as 200 megapixels are to 25; other formats have no such scale."""
    image = Image.fromarray(pixels(3, 480, 640))
    jpeg, png = encoded("JPEG", image), encoded("PNG", image)
    for octets in (encoded("JPEG", image, progressive=True), jpeg):
        seen = look(tmp_path, octets, max_pixels=100_000)
        assert (seen.fault, seen.width, seen.height) == (Fault.NONE, 640, 480)
    decoded = decoding.decode_to_size(tmp_path / "a.jpg", ImageFrame.of(200), max_pixels=80_000)
    whole = decoding.decode_to_size(tmp_path / "a.jpg", ImageFrame.of(200))
    assert np.abs(decoded.astype(int) - whole).mean() < 4
    served = Image.open(io.BytesIO(decoding.to_png(tmp_path / "a.jpg", max_pixels=80_000)))
    assert served.size == (320, 240)
    seen = look(tmp_path, jpeg, max_pixels=30_000)
    assert seen.fault == Fault.TOO_MANY_PIXELS
    assert "--max_pixels" in seen.fault.description
    assert look(tmp_path, png, max_pixels=80_000).fault == Fault.TOO_MANY_PIXELS
    assert look(tmp_path, png, max_pixels=640 * 480).fault == Fault.NONE


def test_all_scans_together_are_bounded(tmp_path):
    octets = encoded("JPEG", Image.new("RGB", (640, 480)), progressive=True)
    assert look(tmp_path, octets, max_pixels=80_000).fault == Fault.TOO_MANY_PIXELS  # 10 scans


def test_the_memory_of_a_progressive_jpeg_is_bounded(tmp_path):
    """All coefficients, 2 bytes each; so of one whose components come one after the other."""
    image = Image.new("RGB", (640, 480))
    progressive = encoded("JPEG", image, progressive=True, subsampling=0)
    assert look(tmp_path, progressive, max_pixels=100_000).fault == Fault.TOO_MANY_PIXELS
    assert look(tmp_path, encoded("JPEG", image, subsampling=0), max_pixels=100_000).fault == 0
    assert look(tmp_path, progressive, max_pixels=160_000).fault == Fault.NONE


# Formats.


@pytest.mark.parametrize(
    ("format", "name", "off"),
    [
        ("PPM", "a.ppm", 0),
        ("JPEG2000", "a.jp2", 0),
        ("AVIF", "a.avif", 8),
        ("AVIF", "a.jpg", 8),
        ("HEIF", "a.heic", 8),
        ("HEIF", "a.jpg", 8),
        ("HEIF", "IMG_0001", 8),
    ],
)
def test_formats_of_phones_and_cameras(tmp_path, format, name, off):
    if format == "HEIF":
        pillow_heif = pytest.importorskip("pillow_heif")
        octets = io.BytesIO()
        pillow_heif.from_pillow(PHOTO).save(octets, quality=95)
        octets = octets.getvalue()
    elif format == "AVIF" and not features.check("avif"):
        pytest.skip("this Pillow has no AVIF")
    else:
        octets = encoded(format, **({"quality": 95} if format == "AVIF" else {}))
    seen = look(tmp_path, octets, name)
    assert (seen.fault, seen.width, seen.height) == (Fault.NONE, 88, 60)
    assert image_headers.FORMATS[seen.format] == format
    png = written(tmp_path, "wanted.png", PNG)
    decoded = decoding.decode_to_size(tmp_path / name, FRAME).astype(int)
    assert np.abs(decoded - decoding.decode_to_size(png, FRAME)).max() <= off


@pytest.mark.parametrize("kind", range(1, 7))
@pytest.mark.parametrize("maximum", [100, 255, 1023, 65535])
def test_netpbm_of_every_kind(tmp_path, kind, maximum):
    values = np.arange(20 * 12).reshape(12, 20) * 7919 % (2 if kind in (1, 4) else maximum + 1)
    path = written(tmp_path, "a.pnm", netpbm(kind, values, maximum))
    shown = 1 - values if kind in (1, 4) else values / maximum
    decoded = decoding.decode_to_size(path, ImageFrame.of(12))
    assert inspection.inspect_file(path).fault == Fault.NONE
    assert np.abs(decoded - (255 * shown)[:, 4:16, np.newaxis]).max() <= 1


@pytest.mark.parametrize(
    ("octets", "format", "package"),
    [
        pytest.param(b"\0\0\0\x18ftypheic\0\0\0\0mif1heic", "HEIC", "pillow-heif", id="heic"),
        pytest.param(b"\0\0\0\x18ftypmif1\0\0\0\0mif1heic", "HEIC", "pillow-heif", id="mif1"),
        pytest.param(b"\0\0\0\x1cftypmif1\0\0\0\0mif1miafavif", "AVIF", "pillow", id="avif"),
        pytest.param(encoded("JPEG2000"), "JPEG 2000", "pillow", id="jpeg2000"),
    ],
)
@pytest.mark.parametrize("suffix", ["heic", "jpg"])
def test_a_missing_package_is_named(tmp_path, monkeypatch, octets, format, package, suffix):
    monkeypatch.setitem(sys.modules, "pillow_heif", None)
    monkeypatch.setattr(features, "check", lambda name: False)
    fault = look(tmp_path, octets + bytes(100), f"a.{suffix}").fault
    assert fault.is_bad
    assert fault.description.startswith(f"{format}, which ")
    assert f" {package}" in fault.description


def test_formats_that_are_not_read_are_named_so(tmp_path):
    assert look(tmp_path, b"\xff\x0a" + bytes(99)).fault.description.startswith(
        "an image format that"
    )
    assert look(tmp_path, b"\0\0\0\x20ftypisom" + bytes(99)).fault == Fault.NOT_AN_IMAGE


# Orientation.


def exif(orientation, order="<"):
    head = b"II*\0" if order == "<" else b"MM\0*"
    entry = struct.pack(order + "IHHHIHH", 8, 1, 0x0112, 3, 1, orientation, 0)
    return head + entry + bytes(4)


def xmp(orientation, form='tiff:Orientation="{}"'):
    return f"<x:xmpmeta><rdf:Description {form.format(orientation)}/></x:xmpmeta>".encode()


def oriented(format, exif_block=b"", xmp_block=b""):
    """PHOTO with EXIF and XMP."""
    if format == "JPEG":
        blocks = [segment(0xE1, b"Exif\0\0" + exif_block)] if exif_block else []
        blocks += [segment(0xE1, XMP + xmp_block)] if xmp_block else []
        return with_segments(encoded("JPEG", quality=95, subsampling=0), *blocks)
    if format == "PNG":
        text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp_block)
        blocks = [chunk(b"eXIf", exif_block)] if exif_block else []
        return with_png_chunks(PNG, *blocks, *([text] if xmp_block else []))
    if format == "WEBP":
        blocks = [(b"EXIF", exif_block)] if exif_block else []
        blocks += [(b"XMP ", xmp_block)] if xmp_block else []
        return with_webp_chunks(encoded("WEBP", lossless=True), PHOTO.size, *blocks)
    tags = {700: xmp_block} if xmp_block else {}
    if exif_block:
        tags[274] = struct.unpack_from("<H", exif_block, 18)[0]
    return encoded("TIFF", tiffinfo=tags)


@pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
@pytest.mark.parametrize(
    ("exif_block", "xmp_block", "wanted"),
    [
        pytest.param(exif(6), b"", 6, id="exif"),
        pytest.param(exif(3), xmp(6), 3, id="exif-wins"),
        pytest.param(exif(0), xmp(8), 8, id="exif-is-invalid"),
        pytest.param(exif(9), xmp(9), 1, id="both-are-invalid"),
        pytest.param(b"", xmp(6), 6, id="xmp"),
        pytest.param(
            b"", xmp(5, ">{0}</x><tiff:Orientation>{0}</tiff:Orientation"), 5, id="xmp-element"
        ),
        pytest.param(b"", xmp(0), 1, id="xmp-is-invalid"),
    ],
)
def test_orientation(tmp_path, format, exif_block, xmp_block, wanted):
    octets = oriented(format, exif_block, xmp_block)
    whole = Image.open(io.BytesIO(oriented(format))).convert("RGB")
    upright = whole.transpose(pillow_decoder._TRANSPOSES[wanted]) if wanted > 1 else whole
    assert is_as(tmp_path, octets, encoded("PNG", upright), f"a.{format.lower()}")


def test_orientation_that_is_compressed_or_of_another_kind_is_ignored(tmp_path):
    packed = chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + zlib.compress(xmp(6)))
    other = chunk(b"iTXt", b"Comment\0\0\0\0\0" + xmp(6))
    assert is_as(tmp_path, with_png_chunks(PNG, packed, other), PNG, "a.png")


# The same pixels.


def test_one_image_has_one_digest_of_its_pixels_in_every_lossless_format(tmp_path):
    grey = Image.fromarray(np.repeat(np.asarray(PHOTO.convert("L"))[..., None] // 2, 3, axis=2))
    palette = grey.convert("L").convert("P")
    turned = grey.transpose(Image.Transpose.ROTATE_90)
    orientation = Image.Exif()
    orientation[0x0112] = 6
    files = {
        "a.png": encoded("PNG", grey),
        "a.bmp": encoded("BMP", grey),
        "a.tif": encoded("TIFF", grey, compression="tiff_lzw"),
        "a.webp": encoded("WEBP", grey, lossless=True),
        "a.ppm": encoded("PPM", grey),
        "a.jp2": encoded("JPEG2000", grey),
        "a.gif": encoded("GIF", palette),
        "palette.png": encoded("PNG", palette),
        "grey.png": encoded("PNG", grey.convert("L")),
        "grey.pgm": encoded("PPM", grey.convert("L")),
        "alpha.png": encoded("PNG", grey.convert("RGBA")),
        "la.png": encoded("PNG", grey.convert("LA")),
        "turned.png": encoded("PNG", turned, exif=orientation),
    }
    seen = {name: look(tmp_path, octets, name) for name, octets in files.items()}
    assert {one.fault for one in seen.values()} == {Fault.NONE}
    assert len({one.pixel_digest for one in seen.values()}) == 1
    assert len({one.digest for one in seen.values()}) == len(files)
    assert look(tmp_path, encoded("PNG", turned)).pixel_digest != seen["a.png"].pixel_digest
    # Fewer rows of more pixels are another image.
    flat = Image.new("RGB", (40, 20)), Image.new("RGB", (20, 40))
    first, second = (look(tmp_path, encoded("PNG", one)) for one in flat)
    assert first.pixel_digest != second.pixel_digest


def test_a_jpegs_metadata_and_a_lossless_copy_leave_its_pixels_the_same(tmp_path):
    copy = encoded("PNG", Image.open(io.BytesIO(JPEG)))
    tagged = with_segments(JPEG, segment(0xE1, b"Exif\0\0" + exif(1)), segment(0xFE, b"mine"))
    digests = {look(tmp_path, one).pixel_digest for one in (JPEG, tagged, JPEG + b"tail", copy)}
    assert len(digests) == 1


# Files that change.


def test_a_file_that_changed_since_its_inspection_is_not_decoded(tmp_path):
    path = written(tmp_path, "a.png", PNG)
    digest = inspection.inspect_file(path).digest
    assert decoding.decode_to_size(path, FRAME, expected_digest=digest).shape == (
        16,
        16,
        3,
    )
    assert decoding.to_png(path, expected_digest=digest)
    written(tmp_path, "a.png", encoded("PNG", Image.new("RGB", (88, 60))))
    for decode in (lambda: decoding.decode_to_size(path, FRAME, expected_digest=digest),) + (
        lambda: decoding.to_png(path, expected_digest=digest),
    ):
        with pytest.raises(UndecodableError, match="has changed since it was looked at") as error:
            decode()
        assert error.value.fault == Fault.CHANGED
        assert not error.value.fault.is_bad


# Messages that are Pillow's, not ours.


def test_pillow_warns_nobody(tmp_path, monkeypatch):
    palette = Image.new("P", (64, 64))
    transparent = encoded("PNG", palette, transparency=bytes(range(8)))
    exif_block = struct.pack("<4sIHHHIH", b"II*\0", 8, 90, 0x0112, 3, 1, 6)
    odd = encoded("TIFF", tiffinfo={37: 3}).replace(
        struct.pack("<HHI", 37, 4, 1), struct.pack("<HHI", 284, 4, 9)
    )
    monkeypatch.setattr(Image, "MAX_IMAGE_PIXELS", 3000)
    with warnings.catch_warnings(record=True) as caught:
        look(tmp_path, JPEG)
        warnings.simplefilter("always")  # a caller's, later than ours
        for octets in (transparent, with_png_chunks(PNG, chunk(b"eXIf", exif_block)), odd):
            look(tmp_path, octets)
        look(tmp_path, with_segments(JPEG, segment(0xE1, b"Exif\0\0" + exif_block)))
        look(tmp_path, with_segments(JPEG, segment(0xE2, b"MPF\0" + bytes(8))))
        decoding.decode_to_size(written(tmp_path, "a.png", PNG), FRAME)
    assert [str(one.message) for one in caught] == []
    assert not ImageFile.LOAD_TRUNCATED_IMAGES


@pytest.mark.skipif(sys.platform == "win32", reason="libtiff is a part of Pillow there")
def test_libtiff_writes_nothing_to_the_terminal(tmp_path, capfd):
    fax = encoded("TIFF", PHOTO.convert("1"), compression="group4")
    packed = encoded("TIFF", compression="tiff_adobe_deflate")
    for octets in (fax, packed):
        broken = octets.replace(octets[20:60], b"\x55" * 40) if octets is packed else octets
        for place in range(8, 200, 8):
            look(tmp_path, broken[:place] + b"\xa5\x5a" + broken[place + 2 :])
    assert capfd.readouterr().err == ""
