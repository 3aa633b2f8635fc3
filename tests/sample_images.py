"""Image files for the tests: folders of them, and kinds that Pillow cannot write."""

import struct
import zlib

import numpy as np
from PIL import Image


def pixels(number, height=24, width=24):
    """A different image for each number; smooth, so that JPEG preserves it."""
    y, x = np.mgrid[0:height, 0:width]
    waves = np.sin(x / (2 + number % 7)) + np.cos(y / (2 + number % 11))
    colour = np.array([number * 37 % 256, number * 91 % 256, number * 151 % 256])
    return np.clip(waves[..., None] * 20 + colour * 0.7 + 40, 0, 255).astype(np.uint8)


def save(path, number=0, image=None, **options):
    """Writes an image file in the format of the suffix; returns its path."""
    path.parent.mkdir(parents=True, exist_ok=True)
    image = Image.fromarray(pixels(number)) if image is None else image
    image.save(path, **options)
    return path


def tree(folder, count, name="{:03d}.png"):
    """Writes `count` images; `name` may contain folders. Returns the folder."""
    for number in range(count):
        save(folder / name.format(number), number)
    return folder


def chunk(kind, content):
    """A chunk of a PNG."""
    crc = struct.pack(">I", zlib.crc32(kind + content))
    return struct.pack(">I", len(content)) + kind + content + crc


def with_png_chunks(png, *chunks):
    """A PNG with more chunks after its header."""
    return png[:33] + b"".join(chunks) + png[33:]


def with_webp_chunks(webp, size, *chunks, flags=0x0C):
    """A simple WebP as an extended one, with more chunks (name, content) after its image."""
    extended = bytes((flags, 0, 0, 0)) + b"".join((n - 1).to_bytes(3, "little") for n in size)
    image = (webp[12:16], webp[20:])
    return webp_of((b"VP8X", extended), image, *chunks)


def webp_of(*chunks):
    """A WebP of chunks (name, content)."""
    body = b"".join(
        name + struct.pack("<I", len(content)) + content + bytes(len(content) % 2)
        for name, content in chunks
    )
    return b"RIFF" + struct.pack("<I", 4 + len(body)) + b"WEBP" + body


def png_16(values):
    """A PNG of 16 bits, of values [H, W, 1 to 4]."""
    height, width, channels = values.shape
    head = struct.pack(">IIBBBBB", width, height, 16, (0, 4, 2, 6)[channels - 1], 0, 0, 0)
    rows = b"".join(b"\0" + row.tobytes() for row in values.astype(">u2"))
    chunks = chunk(b"IDAT", zlib.compress(rows)) + chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + chunk(b"IHDR", head) + chunks


def tiff_16(values, order="<", planar=False, deflate=False, photometric=None):
    """A TIFF of 16 bits in strips of 16 rows, of values [H, W, 1 or 3]."""
    height, width, channels = values.shape
    parts = np.split(values, channels, axis=2) if planar else [values]
    strips = [
        part[top : top + 16].astype(order + "u2").tobytes()
        for part in parts
        for top in range(0, height, 16)
    ]
    if deflate:
        strips = [zlib.compress(strip) for strip in strips]
    if photometric is None:
        photometric = 2 if channels == 3 else 1
    tags = {256: [width], 257: [height], 258: [16] * channels, 259: [8 if deflate else 1]}
    tags |= {262: [photometric], 277: [channels], 278: [16], 284: [2 if planar else 1]}
    tags[279] = [len(strip) for strip in strips]
    return tiff_of(tags, b"".join(strips), order, strips=tags[279])


def tiff_of(tags, pixels, order="<", strips=None):
    """A TIFF with tags of integers; `strips`: lengths of the strips that tag 273 locates.

    Several numbers of one tag are stored between the directory and the pixels.
    """
    if strips:
        tags = {**tags, 273: [0] * len(strips)}
    place = 8 + 2 + 12 * len(tags) + 4
    first = place + sum(4 * len(numbers) for numbers in tags.values() if len(numbers) > 1)
    if strips:
        tags[273] = [first + sum(strips[:number]) for number in range(len(strips))]
    entries, contents = b"", b""
    for tag, numbers in sorted(tags.items()):
        packed = struct.pack(f"{order}{len(numbers)}I", *numbers)
        if len(numbers) > 1:
            field = struct.pack(order + "I", place + len(contents))
            contents += packed
        else:
            field = packed
        entries += struct.pack(order + "HHI", tag, 4, len(numbers)) + field
    head = b"II*\0" if order == "<" else b"MM\0*"
    head += struct.pack(order + "IH", 8, len(tags))
    return head + entries + bytes(4) + contents + pixels


def netpbm(kind, values, maximum):
    """PBM, PGM or PPM, P1 to P6, of values [H, W] or [H, W, 3] up to `maximum`."""
    height, width = values.shape[:2]
    head = f"P{kind}\n# made\n{width} {height}\n" + ("" if kind in (1, 4) else f"{maximum}\n")
    if kind in (3, 6) and values.ndim == 2:
        values = np.repeat(values[..., None], 3, axis=2)
    if kind <= 3:
        body = ("" if kind == 1 else " ").join(map(str, values.ravel())).encode()
    elif kind == 4:
        body = np.packbits(values.astype(bool), axis=1).tobytes()
    else:
        body = values.astype(">u2" if maximum > 255 else "u1").tobytes()
    return head.encode() + body
