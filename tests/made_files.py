"""Small files laid out as those of real data sets, and TFDS's own builders run on them."""

import struct
import zipfile
from pathlib import Path

import numpy as np
import tensorflow as tf
import tensorflow_datasets as tfds
from tensorflow_datasets.datasets.celeb_a import celeb_a_dataset_builder

# CelebA's come sorted; so that nothing relies on it, these do not.
ATTRIBUTES = tuple(reversed(celeb_a_dataset_builder.ATTR_HEADINGS))


def jpeg(seed: int, height: int, width: int, channels: int = 3) -> bytes:
    """A JPEG of coloured blocks and noise, another for each seed."""
    rng = np.random.default_rng(seed)
    blocks = rng.integers(0, 256, (4, 4, channels)).astype(np.float32)
    noisy = tf.image.resize(blocks, [height, width]) + rng.normal(0, 30, (height, width, channels))
    image = tf.cast(tf.clip_by_value(noisy, 0, 255), tf.uint8)
    return tf.io.encode_jpeg(image, quality=90).numpy()


def build(monkeypatch, name: str, data_dir: Path, downloads, **config) -> None:
    """Lets TFDS's own builder make a data set of files that lie here instead of downloaded ones.

    Args:
        monkeypatch: pytest's.
        name: of the data set.
        data_dir: TFDS's folder.
        downloads: what the builder gets for what it would download, and unpack.
        config: of `DownloadConfig`.
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


def tiny_imagenet(archive: Path, per_class: int = 1, classes: int = 200) -> None:
    """Tiny ImageNet's archive with few images; one in each class is gray, as some there are."""
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
        for number in range(6):
            rows += f"val_{number}.JPEG\t{wnids[3 * number]}\t0\t0\t62\t62\n"
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
