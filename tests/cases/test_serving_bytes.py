"""What people and attackers send to `serving_bytes`: as in training, or refused at once."""

import functools
import io
import itertools
import os
import struct
import subprocess
import sys
import time
import zlib
from pathlib import Path

import hostile_images
import numpy as np
import pytest
import small_export
import tensorflow as tf
from hostile_images import chunk, encode, png, segment
from PIL import Image, ImageOps, PngImagePlugin

from dim_tf.data import encoded_images
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange
from dim_tf.export import saved_model

SIZE = 16
MAX_PIXELS = 2**18
XAP = b"http://ns.adobe.com/xap/1.0/\0"
BLOCKS = np.kron(np.random.default_rng(0).integers(0, 256, (6, 9, 3)), np.ones((8, 8, 1)))
BLOCKS = BLOCKS.astype(np.uint8)
ORIENTED = ("jpeg exif", "jpeg attribute", "jpeg element", "png exif", "png xmp")
decode = tf.function(
    functools.partial(encoded_images.decode, max_pixels=MAX_PIXELS),
    input_signature=[tf.TensorSpec([], tf.string)],
    autograph=False,
)
decode_valid = tf.function(
    lambda encoded: encoded_images.decode_valid(encoded, ImageFrame.of(SIZE), MAX_PIXELS),
    input_signature=[tf.TensorSpec([None], tf.string)],
    autograph=False,
)


def is_good(encoded):
    return bool(decode_valid([encoded])[1].numpy()[0])


def exif(orientation):
    tags = Image.Exif()
    tags[0x0112] = orientation
    return tags.tobytes()


def xmp(orientation, form="attribute"):
    attributes = {
        "attribute": f'<rdf:Description tiff:Orientation="{orientation}"/>',
        "element": f"<tiff:Orientation>{orientation}</tiff:Orientation>",
    }[form]
    return f"<x:xmpmeta><rdf:RDF>{attributes}</rdf:RDF></x:xmpmeta>".encode()


def text_chunk(content, compressed=False):
    packed = zlib.compress(content) if compressed else content
    return chunk(b"iTXt", b"XML:com.adobe.xmp\0" + bytes([compressed]) + b"\0\0\0" + packed)


def oriented(kind, orientation):
    jpeg, whole_png = encode("JPEG", BLOCKS, quality=95), encode("PNG", BLOCKS)

    def png_with(*chunks):
        return b"".join([whole_png[:33], *chunks, whole_png[33:]])

    return {
        "jpeg exif": lambda: encode("JPEG", BLOCKS, quality=95, exif=exif(orientation)),
        "jpeg attribute": lambda: jpeg[:2] + segment(0xE1, XAP + xmp(orientation)) + jpeg[2:],
        "jpeg element": lambda: (
            jpeg[:2] + segment(0xE1, XAP + xmp(orientation, "element")) + jpeg[2:]
        ),
        "png exif": lambda: png_with(chunk(b"eXIf", exif(orientation)[6:])),
        "png xmp": lambda: png_with(text_chunk(xmp(orientation))),
    }[kind]()


def as_pillow(encoded, orientation):
    """Pillow's pixels, turned by ImageOps as an EXIF of this orientation would have it."""
    stored = Image.open(io.BytesIO(encoded)).convert("RGB")
    stored.info.clear()
    stored.getexif().clear()
    stored.getexif()[0x0112] = orientation
    return np.asarray(ImageOps.exif_transpose(stored)).astype(int)


def test_an_image_is_upright_by_exif_or_by_xmp():
    for kind, orientation in itertools.product(ORIENTED, range(1, 9)):
        encoded = oriented(kind, orientation)
        wanted = as_pillow(encoded, orientation)
        decoded = decode(encoded).numpy().astype(int)
        assert decoded.shape == wanted.shape, (kind, orientation)
        assert np.abs(decoded - wanted).max() <= 8, (kind, orientation)  # two decoders of JPEG


def test_exif_goes_before_xmp_and_only_the_first_of_each_counts():
    jpeg, whole_png = encode("JPEG", BLOCKS), encode("PNG", BLOCKS)

    def turned_jpeg(*segments):
        return decode(b"".join([jpeg[:2], *segments, jpeg[2:]])).shape[0] == BLOCKS.shape[1]

    def turned_png(*chunks):
        file = b"".join([whole_png[:33], *chunks, whole_png[33:]])
        return decode(file).shape[0] == BLOCKS.shape[1]

    def app1(content):
        return segment(0xE1, content)

    upright, turned, none = exif(3), exif(6), exif(99)
    assert not turned_jpeg(app1(XAP + xmp(6)), app1(upright))
    assert turned_jpeg(app1(XAP + xmp(6)), app1(none))
    assert turned_jpeg(app1(turned), app1(upright))
    assert not turned_jpeg(app1(XAP + xmp(9)), app1(XAP + xmp(6)))
    assert not turned_png(text_chunk(xmp(6)), chunk(b"eXIf", upright[6:]))
    assert turned_png(text_chunk(xmp(6)), chunk(b"eXIf", b"no TIFF"))
    assert turned_png(chunk(b"tEXt", b"k\0v"), chunk(b"eXIf", turned))  # with "Exif" before it
    # XMP is never compressed in a PNG (XMP 3, 1.1.5); what is, nobody reads.
    assert not turned_png(text_chunk(xmp(6), compressed=True))
    assert turned_jpeg(*[segment(0xE2, bytes(60_000))] * 40, app1(turned))


def test_a_jpeg_is_its_first_image_whatever_stands_around_it():
    jpeg = encode("JPEG", BLOCKS)
    progressive = encode("JPEG", BLOCKS, progressive=True)
    restarting = encode("JPEG", BLOCKS, restart_marker_blocks=1)
    preview = segment(0xE2, b"preview" + encode("JPEG", BLOCKS[:16, :16]) * 20 + b"\xff\xda" * 70)
    film = b"ftypmp42" + b"\xff\xda" * 65
    for name, encoded, plain in (
        ("film", jpeg + film, jpeg),
        ("film behind a progressive one", progressive + film, progressive),
        ("film behind restarts", restarting + film, restarting),
        ("several images", jpeg + jpeg * 70, jpeg),
        ("previews", jpeg[:2] + preview * 3 + jpeg[2:], jpeg),
        ("preview in scans", progressive.replace(b"\xff\xc4", preview + b"\xff\xc4"), progressive),
        ("fill bytes", jpeg[:2] + b"\xff" * 500 + jpeg[2:], jpeg),
        ("zeros behind", jpeg + bytes(10_000), jpeg),
    ):
        np.testing.assert_array_equal(decode(encoded), decode(plain), name)


def test_texts_of_any_length_are_no_fault():
    text = PngImagePlugin.PngInfo()
    text.add_text("workflow", '{"a": 1}' * 2**18, zip=True)
    text.add_itxt("prompt", "a dog" * 2**18, zip=True)
    np.testing.assert_array_equal(decode(encode("PNG", BLOCKS, pnginfo=text)), BLOCKS)


def test_pngs_keep_their_pixels_without_their_other_chunks():
    for mode in ("1", "L", "LA", "P", "RGB", "RGBA"):
        image = Image.fromarray(BLOCKS).convert("RGB" if mode == "RGBA" else mode.rstrip("A"))
        wanted = np.asarray(image.convert("RGB"))
        if mode.endswith("A"):
            image.putalpha(Image.fromarray(BLOCKS[..., 0]))
        out = io.BytesIO()
        transparent = {"transparency": 0} if mode in ("L", "P") else {}
        image.save(out, "PNG", icc_profile=b"profile" * 99, **transparent)
        np.testing.assert_array_equal(decode(out.getvalue()), wanted, mode)


def test_a_png_with_pixels_in_many_chunks():
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in BLOCKS))

    def split(sizes):
        parts, place = [], 0
        while place < len(body):
            parts.append(chunk(b"IDAT", body[place : place + sizes[len(parts) % len(sizes)]]))
            place += sizes[(len(parts) - 1) % len(sizes)]
        height, width, _ = BLOCKS.shape
        return png(width=width, height=height, body=b"".join(parts))

    for sizes in ([1], [2, 3], [100]):
        np.testing.assert_array_equal(decode(split(sizes)), BLOCKS)


def test_a_large_jpeg_is_decoded_at_a_reduced_scale():
    """A telephone's 50 megapixels beside 2**25 are as 700 x 560 beside 2**18."""
    y, x = np.mgrid[0:560, 0:700]
    smooth = np.stack([x // 3, y // 3, (x + y) // 6], axis=-1).astype(np.uint8)
    for encoded in (
        encode("JPEG", smooth, quality=95),
        encode("JPEG", smooth, quality=95, progressive=True),
    ):
        decoded = decode(encoded).numpy().astype(int)
        assert decoded.shape == (280, 350, 3)
        wanted = smooth.reshape(280, 2, 350, 2, 3).mean(axis=(1, 3))
        assert np.abs(decoded - wanted).max() < 8
    assert decode(encode("JPEG", np.zeros((1000, 1900, 3)))).shape == (250, 475, 3)
    for options in ({}, {"progressive": True}):
        large = encode("JPEG", np.zeros((1500, 1500, 3)), **options)  # more than 8 times as many
        with pytest.raises(tf.errors.InvalidArgumentError, match="pixels allowed"):
            decode(large)


def deep_png(pixels, color_type):
    """A PNG of 16 bits a channel, which Pillow writes only in gray."""
    height, width = pixels.shape[:2]
    rows = pixels.astype(">u2").reshape(height, -1)
    body = zlib.compress(b"".join(b"\0" + row.tobytes() for row in rows))
    return png(
        width=width,
        height=height,
        depth=16,
        color_type=color_type,
        body=chunk(b"IDAT", body),
    )


def test_16_bits_become_8_as_in_training():
    """A camera of 12 bits, or a microscope of 200 values, would be black by the upper 8 bits."""
    flat = tf.constant(encode("PNG", BLOCKS))
    for pixel_range in (ALL_16_BITS, PixelRange(0, 199), PixelRange(100, 4095)):
        decode = functools.partial(encoded_images.decode, pixel_range=pixel_range)
        for color_type, channels in {0: 1, 2: 3, 4: 2, 6: 4}.items():
            pixels = np.random.default_rng(1).integers(0, 4096, (9, 11, channels))
            pixels[0, :4, 0] = [0, 65535, 199, 200]
            decoded = decode(tf.constant(deep_png(pixels, color_type)))
            kept = np.broadcast_to(pixels[..., : 1 if channels < 3 else 3], (9, 11, 3))
            np.testing.assert_array_equal(decoded, pixel_range.to_uint8(kept), str(color_type))
        np.testing.assert_array_equal(decode(flat), BLOCKS)  # of 8 bits nothing is changed


def test_the_range_of_16_bits_is_part_of_the_export():
    pixels = np.random.default_rng(0).integers(0, 200, (8, 8, 1)).astype(np.uint16)
    pixel_range = PixelRange(0, 199)
    encoder = small_export.small_encoder()
    options = saved_model.SavedModelOptions({}, pixel_range=pixel_range)
    signatures = saved_model.signatures(
        saved_model.root_object(encoder), options.frame(encoder), options
    )
    images = np.repeat(pixel_range.to_uint8(pixels), 3, axis=-1)[np.newaxis] / np.float32(255)
    wanted = saved_model.keras_features(encoder, images)
    for name in ("serving_bytes", "serving_bytes_valid"):
        features = signatures[name](tf.constant([deep_png(pixels, 0)]))["global"]
        small_export.close(features, wanted)


# Bombs that are around an image and not in it: what is left is a good image.
AROUND = {
    *("png zTXt", "png iTXt", "png iCCP", "png eXIf", "png eXIf of zeros", "png XMP"),
    *("jpeg APP2 of 64 kB", "jpeg EXIFs", "jpeg XMP", "jpeg trailer"),
}


def test_no_bomb_takes_memory_or_time():
    """A quarter of a megabyte of each kind; the script sends 8."""
    assert is_good(encode("PNG", BLOCKS))
    for name, make in hostile_images.bombs(2**18).items():
        encoded = tf.constant([make(np.random.default_rng(0))])
        hostile_images.forget_peak_memory()
        before = hostile_images.peak_memory()
        began = time.process_time()
        good = bool(decode_valid(encoded)[1].numpy()[0])
        assert time.process_time() - began < 2, name
        assert hostile_images.peak_memory() - before < 100, name  # MiB
        assert good or name not in AROUND, name


@pytest.mark.slow
def test_hostile_images_take_less_than_the_largest_good_one():
    """At most 300 MiB more, and none longer than 2 s of the processors: two of each kind."""
    script = hostile_images.__file__
    tests = Path(script).parent
    done = subprocess.run(
        [sys.executable, script, "172"],
        capture_output=True,
        text=True,
        check=False,
        env=os.environ | {"PYTHONPATH": f"{tests.parent}:{tests}", "TF_CPP_MIN_LOG_LEVEL": "3"},
    )
    assert done.returncode == 0, done.stderr[-2000:]
    _, mebibytes, *_, seconds = done.stdout.splitlines()[-1].split()
    assert int(mebibytes) <= 300
    assert float(seconds) < 2


def test_claims_of_sizes_are_refused_by_their_numbers():
    for encoded, says in (
        (hostile_images.jpeg_that_claims(60_000, 60_000), "60000"),
        (png(width=2**31 - 1, height=2**31 - 1, body=b""), "pixels allowed"),
        (hostile_images.jpeg_with(b"\xff" * 2**16), "segments"),
        (png(chunk(b"tEXt", b"k\0") * 9_999), "chunks"),
        (png(body=chunk(b"IDAT", hostile_images.packed(2**28))), "bytes of pixels"),
        (struct.pack(">I", 1), "not JPEG or PNG"),
    ):
        with pytest.raises(tf.errors.InvalidArgumentError, match=says):
            decode(encoded)
