"""Large collections of encoded images, one after the other, each with an id."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from dim_tf.data import Request, encoded_images, image_bounds, image_files, manifest
from dim_tf.data.image_faults import UndecodableError
from dim_tf.system.errors import InputError
from dim_tf.system.io_errors import reason

RECORD_SUFFIXES = (".tfrecord", ".tfrecords")
IMAGE_FEATURES = ("image", "image/encoded", "image_raw")


@dataclass(frozen=True)
class Collection:
    """Encoded images in a fixed order.

    Attributes:
        description: what it is, for people.
        fingerprint: another one means that images were added, removed or replaced, also by some of
            the same size, or changed places.
        images_from: from a number n, a data set of (id, encoded image), string scalars, that
            begins with the n-th.
    """

    description: str
    fingerprint: str
    images_from: Callable[[int], tf.data.Dataset]

    def batches_from(self, first: int, size: int) -> Iterator[tuple[list[str], tf.Tensor]]:
        """The ids and the images, `size` at a time, from image number `first` on."""
        for ids, encoded in self.images_from(first).batch(size).prefetch(2):
            # A file's name may be bytes of any kind.
            yield [one.decode(errors="backslashreplace") for one in ids.numpy()], encoded


def open_collection(
    where: str,
    data_dir: str = "",
    download: bool = False,
    max_pixels: int = image_bounds.MAX_PIXELS,
) -> Collection:
    """A collection by its description on the command line.

    Args:
        where: a folder, of which the files below are taken that training would look at
            (`manifest.listed`, `image_files.is_meant`; what is not JPEG or PNG by its content is
            made PNG), ids their relative paths with "/"; a pattern of TFRecord files (ending in
            .tfrecord or .tfrecords, with or without what TFDS appends) of tf.train.Example with the
            encoded image in one of `IMAGE_FEATURES`, ids <file>:<number in the file>; or
            tfds:NAME:SPLIT or tfds:NAME:SPLIT+SPLIT, ids SPLIT:<number>.
        data_dir: TFDS's folder.
        download: whether TFDS may download.
        max_pixels: of a folder's image that has to be made PNG; larger ones are refused.

    Raises:
        InputError: nothing is there, it cannot be told what it is, or it holds no images.
    """
    if not where:
        raise InputError(
            "--mode=embed needs --embed_input: a folder of images, a pattern of TFRecord files "
            "(images-*.tfrecord), or tfds:NAME:SPLIT"
        )
    if where.startswith("tfds:"):
        return _of_tfds(where, data_dir, download)
    if Path(where).is_dir():
        return _of_folder(Path(where), max_pixels)
    return _of_records(where)


def _nothing() -> tf.data.Dataset:
    # Not a constant: an import must leave the CPU alone, which --replicas divides first.
    return tf.data.Dataset.from_tensor_slices((tf.constant([], tf.string),) * 2)


def _fingerprint(lines: list[str]) -> str:
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()


def _of_folder(folder: Path, max_pixels: int) -> Collection:
    names, sizes_of_all, times = manifest.listed(folder)[:3]
    chosen = [row for row, name in enumerate(names) if _is_image(folder / name, times[row] < 0)]
    if not chosen:
        raise InputError(
            f"--embed_input={folder} holds no image: no file ending in "
            f"{', '.join(image_files.SUFFIXES)}, and none that begins as an image does"
        )
    ids, sizes = [names[row] for row in chosen], sizes_of_all[chosen].tolist()
    lines = [f"{names[row]} {sizes_of_all[row]} {times[row]}" for row in chosen]

    # Nothing, which is refused, of what is too large to be held or cannot be decoded.
    def as_png(path):
        try:
            return image_files.to_png(os.fsdecode(path.numpy()), max_pixels=max_pixels)
        except UndecodableError:
            return b""

    def whole(path):
        octets = tf.io.read_file(path)
        return tf.cond(
            encoded_images.is_jpeg(octets) | encoded_images.is_png(octets),
            lambda: octets,
            lambda: tf.ensure_shape(tf.py_function(as_png, [path], tf.string), []),
        )

    def content(one, size):
        path = tf.strings.join([str(folder), "/", one])
        sensible = (size > 0) & (size <= image_bounds.MAX_BYTES)
        return tf.cond(sensible, lambda: whole(path), lambda: b"")

    def images_from(first):
        names = tf.constant([os.fsencode(one) for one in ids[first:]], tf.string)
        pairs = tf.data.Dataset.from_tensor_slices((names, tf.constant(sizes[first:], tf.int64)))
        return pairs.map(lambda one, size: (one, content(one, size)), num_parallel_calls=4)

    return Collection(f"{len(ids):,} image files in {folder}", _fingerprint(lines), images_from)


def _is_image(path: Path, unreadable: bool) -> bool:
    """Whether training would take it, or tell why it cannot; a link to nowhere is refused later."""
    if unreadable and path.is_dir():
        raise InputError(f"the folder {path} cannot be read; mend its permissions, or move it away")
    try:
        return unreadable or image_files.is_meant(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}), so that nobody knows whether it is an "
            "image; mend its permissions, or move it away"
        ) from error


def _of_records(pattern: str) -> Collection:
    files = sorted(tf.io.gfile.glob(pattern))
    known = [f for f in files if any(suffix in Path(f).name for suffix in RECORD_SUFFIXES)]
    if not known:
        raise InputError(
            f"--embed_input={pattern} is no folder and matches no file with "
            f"{' or '.join(RECORD_SUFFIXES)} in its name"
        )
    _check_first_record(known[0])
    features = {name: tf.io.FixedLenFeature([], tf.string, "") for name in IMAGE_FEATURES}

    def image_of(record):
        found = tf.io.parse_single_example(record, features)
        return tf.strings.join([found[name] for name in IMAGE_FEATURES])  # all but one are empty

    # Of two files of one name in two folders, the records need two ids.
    folder = os.path.commonpath([os.path.dirname(file) for file in known])
    names = [Path(os.path.relpath(file, folder)).as_posix() for file in known]

    def images_of(file, name):
        records = tf.data.TFRecordDataset(file).enumerate()
        return records.map(
            lambda number, record: (
                tf.strings.join([name, ":", tf.strings.as_string(number)]),
                image_of(record),
            )
        )

    def images_from(first):
        images = _nothing()
        for file, name in zip(known, names, strict=True):
            images = images.concatenate(images_of(file, name))
        return images.skip(first)

    described = [_described(file) for file in known]
    return Collection(
        f"{len(known):,} TFRecord files {pattern}", _fingerprint(described), images_from
    )


def _described(file: str) -> str:
    """Its path, size and time of change, by which a file that replaced another is known."""
    status = tf.io.gfile.stat(file)
    return f"{file} {status.length} {status.mtime_nsec}"


def _check_first_record(file: str) -> None:
    """Looks whether images can be found, which would else all be refused as broken."""
    try:
        first = next(iter(tf.data.TFRecordDataset(file).take(1)), None)
        features = tf.train.Example.FromString(b"" if first is None else first.numpy()).features
    except (tf.errors.OpError, DecodeError) as error:
        raise InputError(
            f"--embed_input: {file} is no file of tf.train.Example, TFRecord without compression "
            f"({reason(error)})"
        ) from error
    if first is not None and not set(features.feature) & set(IMAGE_FEATURES):
        raise InputError(
            f"--embed_input: the first record of {file} has the features "
            f"{', '.join(sorted(features.feature))}; one of {', '.join(IMAGE_FEATURES)} is expected"
        )


def _of_tfds(where: str, data_dir: str, download: bool) -> Collection:
    import tensorflow_datasets as tfds

    from dim_tf.data import tfds_files

    parts = where.split(":")
    if len(parts) != 3 or not all(parts):
        raise InputError(f"--embed_input={where}; expected tfds:NAME:SPLIT, as tfds:cifar10:test")
    _, name, asked = parts
    by_hand = "Give --data_dir, or --download to fetch it."
    request = Request(data_dir, download=download)
    builder = tfds_files.prepare(tfds_files.find(name, request), request, by_hand)
    counts = {}
    for split in asked.split("+"):
        if split not in builder.info.splits:
            raise InputError(
                f"{name} has no split {split!r}; it has {', '.join(builder.info.splits)}"
            )
        counts[split] = builder.info.splits[split].num_examples
    if "image" not in builder.info.features:
        raise InputError(f"{name} has no feature 'image'")

    def images_of(split, first):
        examples = builder.as_dataset(
            split=tfds.core.ReadInstruction(split, from_=first, unit="abs"),
            shuffle_files=False,
            decoders={"image": tfds.decode.SkipDecoding()},
        )
        return examples.enumerate(start=first).map(
            lambda number, example: (
                tf.strings.join([split, ":", tf.strings.as_string(number)]),
                example["image"],
            )
        )

    def images_from(first):
        images = _nothing()
        for split, count in counts.items():
            if first < count:  # TFDS refuses to read nothing
                images = images.concatenate(images_of(split, first))
            first = max(first - count, 0)
        return images

    description = f"{sum(counts.values()):,} images of {name}, {asked}"
    fingerprint = _fingerprint([builder.info.full_name, asked, str(counts)])
    return Collection(description, fingerprint, images_from)
