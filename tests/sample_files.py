"""Small files in the layout of real data sets, and a folder of files as people have them."""

import importlib.util
import io
import os
import struct
import zipfile
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from PIL import Image, features
from sample_images import (
    chunk,
    netpbm,
    pixels,
    png_16,
    tiff_16,
    tiff_of,
    with_png_chunks,
    with_webp_chunks,
)
from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder

from dim_tf.data.image_faults import Fault

# CelebA's come sorted; so that nothing relies on it, these do not.
ATTRIBUTES = tuple(reversed(celeb_a_dataset_builder.ATTR_HEADINGS))


def jpeg(seed: int, height: int, width: int, channels: int = 3) -> bytes:
    """A JPEG of coloured blocks and noise, a different one for each seed."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (4, 4, channels)).astype(np.float32)
    noisy = tf.image.resize(blocks, [height, width]) + rng.normal(0, 30, (height, width, channels))
    image = tf.cast(tf.clip_by_value(noisy, 0, 255), tf.uint8)
    return tf.io.encode_jpeg(image, quality=90).numpy()


def build(monkeypatch, name: str, data_dir: Path, downloads, **config) -> None:
    """Lets TFDS's own builder prepare a data set from local files instead of downloads.

    Args:
        monkeypatch: pytest's.
        name: Data set.
        data_dir: TFDS's folder.
        downloads: Files that the builder receives in place of its downloads.
        config: Arguments of `DownloadConfig`.
    """
    manager = tfds.download.DownloadManager
    for method in ("download", "download_and_extract"):
        monkeypatch.setattr(manager, method, lambda self, urls: downloads)
    config = tfds.download.DownloadConfig(**config)
    tfds.builder(name, data_dir=data_dir).download_and_prepare(download_config=config)


def celeb_a(folder: Path, count: int = 28) -> dict[str, Path]:
    """CelebA's files: every fourth image is of the test split, every seventh of validation."""
    folder.mkdir(parents=True, exist_ok=True)
    rng = np.random.default_rng(0)
    names = [f"{number:06d}.jpg" for number in range(1, count + 1)]
    with zipfile.ZipFile(folder / "img_align_celeba.zip", "w") as archive:
        for number, name in enumerate(names):
            archive.writestr(f"img_align_celeba/{name}", jpeg(number, 218, 178))
    values = rng.choice([-1, 1], (count, len(ATTRIBUTES)))

    def table(rows, head=()):
        lines = [*head, *(f"{name}  " + " ".join(map(str, row)) for name, row in rows)]
        return "\n".join(lines) + "\n"

    parts = [[2 if n % 4 == 0 else 1 if n % 7 == 0 else 0] for n in range(1, count + 1)]
    landmarks = celeb_a_dataset_builder.LANDMARK_HEADINGS
    texts = {
        "list_attr_celeba": table(
            zip(names, values, strict=True), [str(count), " ".join(ATTRIBUTES) + " "]
        ),
        "list_eval_partition": table(zip(names, parts, strict=True)),
        "landmarks_celeba": table(
            [(name, range(len(landmarks))) for name in names], [str(count), " ".join(landmarks)]
        ),
        "identity_celeba": table([(name, [1]) for name in names]),
    }
    files = {"img_align_celeba": folder / "img_align_celeba.zip"}
    for name, text in texts.items():
        files[name] = folder / f"{name}.txt"
        files[name].write_text(text)
    return files


def tiny_imagenet(
    archive: Path,
    per_class: int = 1,
    classes: int = 200,
    test_classes: Sequence[int] = range(0, 18, 3),
) -> None:
    """Tiny ImageNet's archive with few images; one in each class is gray, as some there are.

    Args:
        archive: Path of the zip file.
        per_class: Training images of a class.
        classes: Number of classes.
        test_classes: Classes that have a validation image.
    """
    wnids = [f"n{10_000_000 + 7 * number}" for number in range(classes)]
    with zipfile.ZipFile(archive, "w") as out:

        def write(name, data):
            out.writestr(f"tiny-imagenet-200/{name}", data)

        write("wnids.txt", "\n".join(reversed(wnids)) + "\n")
        write("words.txt", "".join(f"{wnid}\tword {wnid}, other\n" for wnid in wnids))
        for number, wnid in enumerate(wnids):
            write(f"train/{wnid}/{wnid}_boxes.txt", "")
            for image in range(per_class):
                data = jpeg(number + 1000 * image, 64, 64, channels=1 if image else 3)
                write(f"train/{wnid}/images/{wnid}_{image}.JPEG", data)
        rows = ""
        for number, test_class in enumerate(test_classes):
            rows += f"val_{number}.JPEG\t{wnids[test_class]}\t0\t0\t62\t62\n"
            write(f"val/images/val_{number}.JPEG", jpeg(-1 - number + 10**6, 64, 64))
        write("val/val_annotations.txt", rows)


def idx(values: np.ndarray) -> bytes:
    """An idx file of bytes."""
    head = struct.pack(f">4B{values.ndim}I", 0, 0, 8, values.ndim, *values.shape)
    return head + values.astype(np.uint8).tobytes()


def same(left, right) -> None:
    """Fails unless two `Splits` have the same images and labels in the same order, and names."""
    assert left.name == right.name
    assert left.label_names == right.label_names
    for split in ("train", "test"):
        one, other = getattr(left, split), getattr(right, split)
        np.testing.assert_array_equal(one.images, other.images)
        np.testing.assert_array_equal(one.labels, other.labels)
        assert one.labels.dtype == other.labels.dtype


def mixed_folder(folder: Path) -> dict[str, str]:
    """Some 200 files as phones, cameras, microscopes, NAS and attackers leave them in one folder.

    Args:
        folder: Is created.

    Returns:
        For each file's name, relative to the folder, the expected outcome: "image",
        "duplicate of NAME", "tiny", "unreadable: REASON" (`Fault.told`), "other", "hidden" or
        "system folder".
    """
    mixed = _MixedFolder(folder)
    mixed.write_photographs()
    mixed.write_formats()
    mixed.write_16_bits()
    mixed.write_phone_files()
    mixed.write_orientations()
    mixed.write_duplicates()
    mixed.write_unreadable()
    mixed.write_other_files()
    mixed.write_names()
    return mixed.fates


class _MixedFolder:
    def __init__(self, folder: Path):
        self.folder = folder
        self.fates: dict[str, str] = {}
        self.number = 0

    def write(self, name: str, octets: bytes, fate: str = "image") -> None:
        path = self.folder / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(octets)
        self.fates[name] = fate

    def unreadable(self, name: str, octets: bytes, fault: Fault) -> None:
        self.write(name, octets, f"unreadable: {fault.description}")

    def random_image(self) -> Image.Image:
        """A different image at each call."""
        self.number += 1
        return Image.fromarray(pixels(self.number, 48 + self.number % 24, 80))

    def encoded(self, format: str, image: Image.Image | None = None, **options) -> bytes:
        octets = io.BytesIO()
        (image or self.random_image()).save(octets, format, **options)
        return octets.getvalue()

    def write_photographs(self):
        for number in range(90):
            self.write(f"photos/{number:03d}.jpg", self.encoded("JPEG", quality=90))

    def write_formats(self):
        formats = {"png": "PNG", "bmp": "BMP", "tif": "TIFF", "gif": "GIF", "ppm": "PPM"}
        for suffix, format in formats.items():
            self.write(f"formats/a.{suffix}", self.encoded(format))
        self.write("formats/lossless.webp", self.encoded("WEBP", lossless=True))
        self.write("formats/lossy.webp", self.encoded("WEBP"))
        self.write("formats/progressive.jpeg", self.encoded("JPEG", progressive=True))
        for mode in ("L", "CMYK"):
            self.write(
                f"formats/{mode}.JPG", self.encoded("JPEG", self.random_image().convert(mode))
            )
        for mode in ("1", "L", "LA", "P", "RGBA"):
            self.write(
                f"formats/{mode}.png", self.encoded("PNG", self.random_image().convert(mode))
            )
        for compression in ("tiff_lzw", "jpeg", "packbits"):
            octets = self.encoded("TIFF", compression=compression)
            self.write(f"formats/{compression}.tiff", octets)
        for format, suffix in (("GIF", "gif"), ("PNG", "png"), ("WEBP", "webp")):
            frames = {"save_all": True, "append_images": [self.random_image().resize((80, 60))]}
            first = self.random_image().resize((80, 60))
            self.write(f"formats/animation.{suffix}", self.encoded(format, first, **frames))
        grey = np.asarray(self.random_image().convert("L"))
        self.write("formats/plain.pgm", netpbm(2, grey, 255))
        self.write("formats/bits.pbm", netpbm(4, np.asarray(self.random_image())[..., 0] > 99, 1))
        self.write("formats/jpeg2000.jp2", self.encoded("JPEG2000"))
        self.write("formats/is_png.jpg", self.encoded("PNG"))
        self.write("formats/is_jpeg.png", self.encoded("JPEG"))
        self.write("formats/IMG_0001", self.encoded("JPEG"))
        self.write_heif("formats/iphone.HEIC")
        self.write_heif("formats/is_heic.jpg")
        if features.check("avif"):
            self.write("formats/a.avif", self.encoded("AVIF"))

    def write_heif(self, name):
        image = self.random_image()
        if importlib.util.find_spec("pillow_heif") is None:
            self.unreadable(name, b"\0\0\0\x18ftypheic\0\0\0\0mif1heic" * 9, Fault.NO_HEIF)
            return
        import pillow_heif

        octets = io.BytesIO()
        pillow_heif.from_pillow(image).save(octets, quality=90)
        self.write(name, octets.getvalue())

    def write_16_bits(self):
        """12 bits of them in use."""

        def values():
            return np.asarray(self.random_image()).astype(np.uint16) << 4

        for number in range(4):
            self.write(f"microscope/{number}.png", png_16(values()[..., :1]))
            self.write(f"microscope/{number}.tif", tiff_16(values()[..., :1]))
        self.write("microscope/colours.png", png_16(values()))
        self.write("microscope/colours.tif", tiff_16(values(), order=">", deflate=True))
        self.write("microscope/planes.tif", tiff_16(values(), planar=True))
        self.write("microscope/a.pgm", netpbm(5, values()[..., 0], 65535))

    def write_phone_files(self):
        self.write("phone/motion.jpg", self.encoded("JPEG") + b"\xff\xda" * 65)
        self.write("phone/burst.jpg", self.encoded("JPEG") + self.encoded("JPEG") * 70)
        panorama = {"save_all": True, "append_images": [self.random_image()]}
        self.write("phone/stereo.mpo", self.encoded("MPO", **panorama))
        preview = b"\xff\xe2\xff\xff" + b"\xff\xda" * 32_766 + b"\0"
        octets = self.encoded("JPEG")
        self.write("phone/preview.jpg", octets[:2] + preview * 4 + octets[2:])
        for name, progressive in (("50_megapixels", False), ("50_progressive", True)):
            large = Image.new("RGB", (8160, 6120), (90, 60 * progressive, 30))
            self.write(f"phone/{name}.jpg", self.encoded("JPEG", large, progressive=progressive))
        text = b"A" * 2_100_000
        for kind, head in ((b"zTXt", b"prompt\0\0"), (b"iTXt", b"prompt\0\1\0\0\0")):
            long = chunk(kind, head + zlib.compress(text))
            self.write(f"drawn/{kind.decode()}.png", with_png_chunks(self.encoded("PNG"), long))
        bomb = [chunk(b"zTXt", b"k\0\0" + zlib.compress(b"A" * 7_900_000, 9))] * 200
        self.write("drawn/text_bomb.png", with_png_chunks(self.encoded("PNG"), *bomb))

    def write_orientations(self):
        exif = Image.Exif()
        for orientation in (3, 6, 8):
            exif[0x0112] = orientation
            for suffix, format in (("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP")):
                name = f"turned/{orientation}.{suffix}"
                self.write(name, self.encoded(format, exif=exif))
        xmp = b'<x:xmpmeta><rdf:Description tiff:Orientation="6"/></x:xmpmeta>'
        segment = b"http://ns.adobe.com/xap/1.0/\0" + xmp
        octets = self.encoded("JPEG")
        segment = b"\xff\xe1" + struct.pack(">H", len(segment) + 2) + segment
        self.write("turned/xmp.jpg", octets[:2] + segment + octets[2:])
        text = chunk(b"iTXt", b"XML:com.adobe.xmp\0\0\0\0\0" + xmp)
        self.write("turned/xmp.png", with_png_chunks(self.encoded("PNG"), text))
        image = self.random_image()
        webp = self.encoded("WEBP", image, lossless=True)
        self.write("turned/xmp.webp", with_webp_chunks(webp, image.size, (b"XMP ", xmp)))

    def write_duplicates(self):
        first = "photos/000.jpg"
        octets = (self.folder / first).read_bytes()
        self.write("sorted/000 (copy).jpg", octets, f"duplicate of {first}")
        tagged = octets[:2] + b"\xff\xfe\0\x06mine" + octets[2:]
        self.write("sorted/000 tagged.jpg", tagged, f"duplicate of {first}")
        for number in range(3):
            image, first = self.random_image(), f"sorted/{number}.bmp"
            self.write(first, self.encoded("BMP", image))
            for suffix, octets in (
                ("png", self.encoded("PNG", image)),
                ("tif", self.encoded("TIFF", image)),
                ("webp", self.encoded("WEBP", image, lossless=True)),
                ("rgba.png", self.encoded("PNG", image.convert("RGBA"))),
            ):
                self.write(f"sorted/{number}.{suffix}", octets, f"duplicate of {first}")

    def write_unreadable(self):
        for suffix, format in (
            *(("jpg", "JPEG"), ("png", "PNG"), ("webp", "WEBP"), ("gif", "GIF"), ("bmp", "BMP")),
            *(("tif", "TIFF"), ("jp2", "JPEG2000"), ("ppm", "PPM")),
        ):
            octets = self.encoded(format)
            self.unreadable(f"broken/cut.{suffix}", octets[: len(octets) // 2], Fault.BROKEN)
        self.unreadable("broken/head.png", self.encoded("PNG")[:20], Fault.BROKEN)
        for name in ("empty.jpg", "empty.png"):
            self.unreadable(f"broken/{name}", b"", Fault.EMPTY)
        for name, octets in (
            ("page.jpg", b"<!DOCTYPE html><title>404</title>"),
            ("video.jpg", b"\0\0\0\x20ftypisom" + bytes(99)),
        ):
            self.unreadable(f"broken/{name}", octets, Fault.NOT_AN_IMAGE)
        self.unreadable("broken/jxl.jpg", b"\xff\x0a" + bytes(99), Fault.UNSUPPORTED_FORMAT)
        depth = Image.fromarray(np.ones((48, 48), np.int32))
        self.unreadable("broken/32_bits.tif", self.encoded("TIFF", depth), Fault.UNSUPPORTED_PIXELS)
        large = self.encoded("PNG", Image.new("1", (20_000, 20_000)))
        self.unreadable("broken/large.png", large, Fault.TOO_MANY_PIXELS)
        jpeg, gif = self.encoded("JPEG"), self.encoded("GIF")
        tile = {256: [64], 257: [64], 258: [8], 259: [8], 262: [1], 277: [1]}
        tile |= {322: [40_000], 323: [40_000], 324: [8], 325: [9]}
        header_end = 13 + (6 << (gif[10] & 7))
        for name, octets in (
            ("filler.jpg", jpeg[:2] + b"\xff\xe5\0\2" * 2**20 + jpeg[2:]),
            ("tile.tif", tiff_of(tile, bytes(99))),
            ("comments.gif", gif[:header_end] + b"\x21\xfe\1a\0" * 99_999 + gif[header_end:]),
            (
                "chunks.png",
                with_png_chunks(self.encoded("PNG"), *[chunk(b"tEXt", b"k\0v")] * 2**17),
            ),
        ):
            self.unreadable(f"broken/{name}", octets, Fault.TOO_MANY_SEGMENTS)
        self.write("broken/dot.gif", self.encoded("GIF", Image.new("L", (1, 1))), "tiny")
        self.write("broken/line.png", self.encoded("PNG", Image.new("RGB", (200, 7))), "tiny")
        link = "broken/link.jpg"
        (self.folder / link).symlink_to("nowhere.jpg")
        self.fates[link] = f"unreadable: {Fault.UNREADABLE.description}"

    def write_other_files(self):
        for name, octets in (
            ("README.txt", b"photos of 2019"),
            ("labels.csv", b"name,label\n000.jpg,cat\n"),
            ("photos/Thumbs.db", b"\xd0\xcf\x11\xe0" + bytes(99)),
            ("photos/000.xmp", b"<x:xmpmeta/>"),
            ("photos/clip.mp4", b"\0\0\0\x20ftypisom" + bytes(99)),
            ("photos/raw.cr2", b"II*\0\x10\0\0\0CR\2\0" + bytes(99)),
            ("nothing", b""),
        ):
            self.write(name, octets, "other")
        for name in (
            *("photos/@eaDir/000.jpg/SYNOPHOTO_THUMB_M.jpg", "#recycle/old.jpg"),
            *("@Recycle/old.jpg", "$RECYCLE.BIN/old.jpg", "lost+found/old.jpg"),
            *(".thumbnails/000.png", "__MACOSX/photos/000.jpg"),
        ):
            format = "PNG" if name.endswith("png") else "JPEG"
            self.write(name, self.encoded(format), "system folder")
        for name in (".hidden.png", "photos/._000.jpg", ".git/a.png"):
            self.write(name, self.encoded("PNG"), "hidden")

    def write_names(self):
        for name in (
            *("über.png", "日本.png", "with space.png", "-dash.png", "a'b\"c.png", "new\nline.png"),
            *("\x1b[31mred.png", "%s{0}.png", "n" * 200 + ".png", os.fsdecode(b"\xff.png")),
        ):
            self.write(f"names/{name}", self.encoded("PNG"))
