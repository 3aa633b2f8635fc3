"""Images that exhaust memory or time: bombs in chunks and segments, false sizes, broken files.

`python tests/hostile_images.py` sends 500 of them through `serving_bytes_valid` of a small export
and prints the memory that they take beyond the largest valid images, and the longest time.
"""

import functools
import io
import itertools
import re
import struct
import sys
import tempfile
import time
import zlib
from collections.abc import Callable
from pathlib import Path

import numpy as np
from PIL import Image, ImageFile

MAX_PIXELS = 2**25  # as exports have it
SIDE = 64
PIXELS = np.kron(np.random.default_rng(0).integers(0, 256, (8, 8, 3)), np.ones((8, 8, 1)))


def encode(kind, pixels=PIXELS, **options):
    out = io.BytesIO()
    Image.fromarray(pixels.astype(np.uint8)).save(out, kind, **options)
    return out.getvalue()


def chunk(name, content=b""):
    checked = name + content
    return struct.pack(">I", len(content)) + checked + struct.pack(">I", zlib.crc32(checked))


def png(
    *before, width=SIDE, height=SIDE, depth=8, color_type=2, interlaced=0, body=None, after=b""
):
    """A black PNG with the chunks `before` and `after` around its pixels."""
    channels = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[color_type]
    header = struct.pack(">IIBBBBB", width, height, depth, color_type, 0, 0, interlaced)
    if body is None:
        rows = height * (2 if interlaced else 1)
        body = chunk(b"IDAT", packed(rows * (1 + -(-width * channels * depth // 8))))
    parts = [b"\x89PNG\r\n\x1a\n", chunk(b"IHDR", header), *before, body, after, chunk(b"IEND")]
    return b"".join(parts)


@functools.cache
def packed(count, octet=b"\0"):
    """`count` equal bytes, compressed."""
    packer = zlib.compressobj(9)
    block = octet * 2**20
    parts = [packer.compress(block) for _ in range(count // 2**20)]
    return b"".join([*parts, packer.compress(block[: count % 2**20]), packer.flush()])


def segment(marker, content=b""):
    return bytes([0xFF, marker]) + struct.pack(">H", 2 + len(content)) + content


JPEG = encode("JPEG")
PROGRESSIVE = encode("JPEG", progressive=True)


def jpeg_with(*before, jpeg=JPEG, after=b""):
    return b"".join([jpeg[:2], *before, jpeg[2:], after])


def jpeg_that_claims(height, width, jpeg=JPEG, marker=0):
    place = max(jpeg.find(b"\xff\xc0"), jpeg.find(b"\xff\xc2"))
    octets = bytearray(jpeg)
    octets[place + 1] = marker or octets[place + 1]
    octets[place + 5 : place + 9] = struct.pack(">HH", height, width)
    return bytes(octets)


@functools.cache
def flat_jpeg(height, width, **options):
    return encode("JPEG", np.full((height, width, 3), 99), **options)


def with_scans(jpeg, count):
    """A progressive JPEG with its last scan repeated `count` times."""
    last = jpeg.rindex(b"\xff\xda")
    return jpeg[:-2] + jpeg[last:-2] * count + jpeg[-2:]


def bombs(size: int) -> dict[str, Callable[[np.random.Generator], bytes]]:
    """Functions that create an image of each kind, by its name.

    Args:
        size: Approximate bytes of a file; a bomb in it unpacks to more.
    """
    # libpng keeps texts of less than 8 MB each, up to their first zero.
    texts = packed(7_900_000, b"A")
    large = 2 ** (size.bit_length() // 2)  # a side

    def several(rng, one):
        return one * int(size // len(one) * rng.uniform(0.5, 1))

    def split(name, content, step):
        return b"".join(chunk(name, content[i : i + step]) for i in range(0, len(content), step))

    return {
        "png zTXt": lambda rng: png(several(rng, chunk(b"zTXt", b"k\0\0" + texts))),
        "png iTXt": lambda rng: png(
            several(rng, chunk(b"iTXt", b"XML:com.adobe.xmp\0\1\0\0\0" + texts))
        ),
        "png iCCP": lambda rng: png(chunk(b"iCCP", b"k\0\0" + packed(8 * size))),
        "png eXIf": lambda rng: png(chunk(b"eXIf", b"II*\0" + rng.bytes(size))),
        "png eXIf of zeros": lambda rng: png(chunk(b"eXIf", b"MM\0*\0\0\0\x08" + bytes(size))),
        "png XMP": lambda rng: png(
            chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + several(rng, b"tiff:Orientation"))
        ),
        "png animation": lambda rng: png(
            chunk(b"acTL", struct.pack(">II", size, 0)),
            after=several(rng, chunk(b"fcTL", bytes(26)) + chunk(b"fdAT", bytes(4) + texts[:999])),
        ),
        "png tiny texts": lambda rng: png(several(rng, chunk(b"tEXt", b"k\0"))),
        "png texts of two sizes": lambda rng: png(
            several(rng, chunk(b"tEXt", b"k\0") + chunk(b"tEXt", b"k\0v"))
        ),
        "png unknown chunks": lambda rng: png(several(rng, chunk(b"abCD"))),
        "png unknown critical chunks": lambda rng: png(several(rng, chunk(b"ABCD", b"1"))),
        "png palettes": lambda rng: png(several(rng, chunk(b"PLTE", bytes(768)))),
        "png empty IDATs": lambda rng: png(body=several(rng, chunk(b"IDAT"))),
        "png IDATs of two sizes": lambda rng: png(
            body=several(rng, chunk(b"IDAT", b"\0") + chunk(b"IDAT"))
        ),
        "png a byte in each IDAT": lambda rng: png(
            width=large, height=large, body=split(b"IDAT", packed(large * (1 + 3 * large)), 1)
        ),
        "png more pixels than it says": lambda rng: png(
            body=chunk(b"IDAT", packed(size * int(rng.choice([16, 64]))))
        ),
        "png a little more": lambda rng: png(body=chunk(b"IDAT", packed(2**25))),
        "png chunk of 2 GB": lambda rng: png(
            struct.pack(">I", int(rng.choice([2**31 - 1, 2**31, 2**32 - 1, 2**32 - 12]))) + b"tEXt"
        ),
        "png claims": lambda rng: png(
            width=int(rng.integers(2**14, 2**31)), height=int(rng.integers(2**14, 2**31)), body=b""
        ),
        "png 16 bits": lambda rng: png(width=large, height=large, depth=16, color_type=6),
        "png interlaced": lambda rng: png(width=large, height=large, interlaced=1),
        "jpeg fill bytes": lambda rng: jpeg_with(several(rng, b"\xff")),
        "jpeg zeros": lambda rng: jpeg_with(several(rng, b"\0")),
        "jpeg empty APP5": lambda rng: jpeg_with(several(rng, segment(0xE5))),
        "jpeg APP2 of 64 kB": lambda rng: jpeg_with(several(rng, segment(0xE2, bytes(65000)))),
        "jpeg EXIFs": lambda rng: jpeg_with(
            several(rng, segment(0xE1, b"Exif\0\0II*\0\x08\0\0\0\xff\xff" + rng.bytes(60000)))
        ),
        "jpeg XMP": lambda rng: jpeg_with(
            segment(0xE1, b"http://ns.adobe.com/xap/1.0/\0" + b"tiff:Orientation" * 4000)
        ),
        "jpeg comments": lambda rng: jpeg_with(several(rng, segment(0xFE, b"c"))),
        "jpeg tables": lambda rng: jpeg_with(several(rng, segment(0xDB, bytes([1]) + bytes(128)))),
        "jpeg restarts": lambda rng: jpeg_with(several(rng, b"\xff\xd0")),
        "jpeg beginnings": lambda rng: jpeg_with(several(rng, b"\xff\xd8")),
        "jpeg restarts in the scan": lambda rng: (
            JPEG[:-40] + several(rng, b"\xff\xd3") + JPEG[-40:]
        ),
        "jpeg fill in the scan": lambda rng: JPEG[:-40] + several(rng, b"\xff") + JPEG[-40:],
        "jpeg zeros in the scan": lambda rng: JPEG[:-40] + several(rng, b"\xff\0") + JPEG[-40:],
        "jpeg segments in the scans": lambda rng: (
            PROGRESSIVE[:-2] + several(rng, segment(0xFE)) + PROGRESSIVE[-2:]
        ),
        "jpeg many scans": lambda rng: with_scans(PROGRESSIVE, int(rng.integers(60, 500))),
        "jpeg many scans of many pixels": lambda rng: with_scans(
            flat_jpeg(large, large, progressive=True), int(rng.integers(10, 60))
        ),
        "jpeg claims": lambda rng: jpeg_that_claims(*rng.integers(17_000, 65_535, 2).tolist()),
        "jpeg claims less than 2**28": lambda rng: jpeg_that_claims(
            *rng.integers(9_000, 16_000, 2).tolist()
        ),
        "progressive jpeg claims": lambda rng: jpeg_that_claims(
            *rng.integers(5_000, 65_535, 2).tolist(), jpeg=PROGRESSIVE
        ),
        "jpeg of another kind": lambda rng: jpeg_that_claims(
            large, large, marker=int(rng.choice([0xC1, 0xC3, 0xC5, 0xC9, 0xCA, 0xCB, 0xCF]))
        ),
        "jpeg trailer": lambda rng: JPEG + several(rng, b"\xff\xda"),
        "random bytes": lambda rng: rng.bytes(int(rng.integers(1, 10_000))),
    }


def mutated(rng):
    """A valid image with flipped bits, or parts that are cut out, doubled or set."""
    bases = [JPEG, PROGRESSIVE, encode("PNG"), png(depth=16), jpeg_with(segment(0xE1, b"Exif\0\0"))]
    octets = bytearray(bases[rng.integers(len(bases))])
    for _ in range(rng.integers(1, 6)):
        place, size = int(rng.integers(2, len(octets))), int(rng.choice([1, 2, 4, 64]))
        action = rng.integers(4)
        if action == 0:
            octets[place] ^= 1 << int(rng.integers(8))
        elif action == 1:
            octets[place : place + size] = rng.bytes(size)
        elif action == 2:
            del octets[place : place + size]
        else:
            octets[place:place] = octets[place : place + size]
    return bytes(octets)


def hostile(count: int, size: int, seed: int = 0):
    """`count` images as (kind, file): bombs of each kind in turn with as many mutated images."""
    kinds = itertools.cycle(bombs(size).items())
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        if number % 2:
            yield "mutated", mutated(rng)
        else:
            name, make = next(kinds)
            yield name, make(rng)


def largest_valid():
    """Images of the most pixels allowed, in the formats that take the most memory."""
    ImageFile.MAXBLOCK = 2**28  # Pillow's buffer for what it encodes
    width, height = 8192, MAX_PIXELS // 8192
    noise = np.random.default_rng(0).integers(0, 256, (height, width, 3), np.uint8)
    return {
        "png": png(width=width, height=height),
        "jpeg": encode("JPEG", noise, quality=75),
        "progressive jpeg": encode("JPEG", noise, quality=75, progressive=True, subsampling=0),
    }


def peak_memory():
    """The process's peak memory since `forget_peak_memory`, in MiB."""
    status = Path("/proc/self/status").read_text()
    return int(re.search(r"VmHWM:\s+(\d+)", status)[1]) // 1024


def forget_peak_memory():
    Path("/proc/self/clear_refs").write_text("5")  # proc_pid_clear_refs(5)


def served(serve, encoded):
    """Sends an image to `serving_bytes_valid`.

    Returns:
        Whether it was accepted; the peak memory of the process meanwhile, in MiB; CPU seconds,
        which do not depend on other work of the machine.
    """
    import tensorflow as tf

    images = tf.constant([encoded])
    forget_peak_memory()
    before = time.process_time()
    valid = bool(serve(image_bytes=images)["valid"].numpy()[0])
    seconds = time.process_time() - before
    return valid, peak_memory(), seconds


def main(count=500):
    """Serves `count` hostile images; prints the memory and the seconds that they take."""
    import small_export
    import tensorflow as tf

    with tempfile.TemporaryDirectory() as folder:
        small_export.save(Path(folder, "1"))
        loaded = tf.saved_model.load(str(Path(folder, "1")))
    serve = loaded.signatures["serving_bytes_valid"]
    print(f"{SIDE} x {SIDE}: {served(serve, JPEG)[1]} MiB", flush=True)
    allowed = 0
    for name, encoded in largest_valid().items():
        valid, peak, seconds = served(serve, encoded)
        assert valid, name
        allowed = max(allowed, peak)
        print(f"{MAX_PIXELS:,} pixels, {name}: {peak} MiB, {seconds:.2f} s", flush=True)
    outcomes = []
    for name, encoded in hostile(count, 2**23):
        valid, peak, seconds = served(serve, encoded)
        outcomes.append((seconds, peak, valid, f"{name}, {len(encoded):,} bytes"))
    for column in (0, 1):
        for seconds, peak, _, name in sorted(outcomes, key=lambda row: -row[column])[:8]:
            print(f"{name}: {peak} MiB, {seconds:.2f} s")
    accepted = sum(valid for _, _, valid, _ in outcomes)
    print(f"{len(outcomes)} hostile images, {accepted} of them accepted; at most")
    highest = max(peak for _, peak, _, _ in outcomes)
    print(f"MiB {highest - allowed} beyond the largest valid image, seconds {max(outcomes)[0]:.2f}")


if __name__ == "__main__":
    main(*map(int, sys.argv[1:]))
