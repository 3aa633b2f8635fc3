"""Large collections of encoded images: folders, TFRecord files, splits of TFDS."""

import hashlib
import os
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import tensorflow as tf
from google.protobuf.message import DecodeError

from dim_tf.data import DataRequest, encoded_images, image_bounds
from dim_tf.data.folder import decoding, file_bytes
from dim_tf.data.folder.image_folders import ImageFolders
from dim_tf.data.folder.listing import list_files
from dim_tf.data.image_faults import UndecodableError
from dim_tf.system.errors import InputError
from dim_tf.system.io_errors import reason

RECORD_SUFFIXES = (".tfrecord", ".tfrecords")
BATCH_BYTES = 2**26  # of encoded images; a batch ends after the part that exceeds this
_PART = 16  # images that are read at once
IMAGE_FEATURES = ("image", "image/encoded", "image_raw")


@dataclass(frozen=True)
class ImageCollection:
    """Encoded images in a fixed order, each with an id.

    Attributes:
        description: One line for people.
        fingerprint: Changes when images are added, removed, reordered or replaced, even by images
            of the same size.
        images_from: n -> the data set of (id, encoded image), string scalars, from image number n
            on.
    """

    description: str
    fingerprint: str
    images_from: Callable[[int], tf.data.Dataset]

    def batches_from(self, first: int, size: int) -> Iterator[tuple[list[str], tf.Tensor]]:
        """The ids and the images in batches, from image number `first` on.

        Args:
            first: Number of the first image.
            size: Largest number of images in a batch; fewer if they have more than `BATCH_BYTES`.
        """
        ids: list[str] = []
        parts: list[tf.Tensor] = []
        batch_bytes = 0
        for names, encoded in self.images_from(first).batch(min(size, _PART)).prefetch(2):
            if len(ids) + len(encoded) > size or (ids and batch_bytes > BATCH_BYTES):
                yield ids, tf.concat(parts, axis=0)
                ids, parts, batch_bytes = [], [], 0
            # A file name may consist of any bytes.
            ids += [name.decode(errors="backslashreplace") for name in names.numpy()]
            parts.append(encoded)
            batch_bytes += int(tf.reduce_sum(tf.strings.length(encoded)))
        if ids:
            yield ids, tf.concat(parts, axis=0)


def open_collection(
    source: str,
    data_dir: str = "",
    download: bool = False,
    max_pixels: int = image_bounds.MAX_PIXELS,
) -> ImageCollection:
    """Opens a collection by its description on the command line.

    Args:
        source: One of:
            - a folder: the files below it that training reads (`listing.list_files`,
              `file_bytes.is_image_file`); contents other than JPEG and PNG are converted to PNG,
              arrays (`array_decoder.is_array`) to .npy; ids are relative paths with "/".
            - a glob of TFRecord files of tf.train.Example with the encoded image in one of
              `IMAGE_FEATURES`; names contain .tfrecord or .tfrecords; ids are
              <file>:<number in the file>.
            - tfds:NAME:SPLIT or tfds:NAME:SPLIT+SPLIT; ids are SPLIT:<number>.
        data_dir: The folder of TFDS.
        download: Whether TFDS may download.
        max_pixels: Limit for a folder's images that are converted to PNG; larger ones are refused.

    Raises:
        InputError: The source does not exist, is of another kind, or holds no images.
    """
    if not source:
        raise InputError(
            "--mode=embed needs --embed_input: a folder of images, a pattern of TFRecord files "
            "(images-*.tfrecord), or tfds:NAME:SPLIT"
        )
    if source.startswith("tfds:"):
        return _from_tfds(source, data_dir, download)
    if Path(source).is_dir():
        return of_folders(ImageFolders((Path(source),), ("",)), max_pixels)
    return _from_tfrecords(source)


def _no_images() -> tf.data.Dataset:
    # Not a constant: an import must not touch the CPU, which --replicas divides first.
    return tf.data.Dataset.from_tensor_slices((tf.constant([], tf.string),) * 2)


def _fingerprint(lines: list[str]) -> str:
    return hashlib.sha256(os.fsencode("\n".join(lines))).hexdigest()


def of_folders(folders: ImageFolders, max_pixels: int) -> ImageCollection:
    """The images of one or more folders; ids are relative paths with "/".

    Args:
        folders: Folders of the images.
        max_pixels: Limit for images that are converted to PNG; larger ones are refused.

    Raises:
        InputError: They hold no images, or cannot be read.
    """
    ids, sizes, lines = list[str](), list[int](), list[str]()
    for folder, prefix in zip(folders.paths, folders.names, strict=True):
        names, file_sizes, times = list_files(folder)[:3]
        for name, size, time in zip(names, file_sizes.tolist(), times.tolist(), strict=True):
            if _is_image(folder / name, time < 0):
                ids.append(f"{prefix}/{name}" if len(folders.paths) > 1 else name)
                sizes.append(size)
                lines.append(f"{ids[-1]} {size} {time}")
    if not ids:
        raise InputError(
            f"{folders} holds no image: no file ending in {', '.join(file_bytes.SUFFIXES)}, and "
            "none that begins as an image does"
        )

    # Files that are too large or cannot be decoded become empty strings, which are refused.
    def to_served(path):
        try:
            return decoding.to_served(os.fsdecode(path.numpy()), max_pixels=max_pixels)
        except UndecodableError:
            return b""

    def read_image(path):
        content = tf.io.read_file(path)
        return tf.cond(
            encoded_images.is_jpeg(content) | encoded_images.is_png(content),
            lambda: content,
            lambda: tf.ensure_shape(tf.py_function(to_served, [path], tf.string), []),
        )

    def image_of(path, size):
        is_readable = (size > 0) & (size <= image_bounds.MAX_BYTES)
        return tf.cond(is_readable, lambda: read_image(path), lambda: b"")

    def images_from(first):
        names, paths = (
            tf.constant([os.fsencode(text) for text in texts], tf.string)
            for texts in (ids[first:], map(folders.path_of, ids[first:]))
        )
        files = tf.data.Dataset.from_tensor_slices(
            (names, paths, tf.constant(sizes[first:], tf.int64))
        )
        return files.map(
            lambda name, path, size: (name, image_of(path, size)), num_parallel_calls=4
        )

    return ImageCollection(
        f"{len(ids):,} image files in {folders}", _fingerprint(lines), images_from
    )


def query_images(path: Path) -> list[Path]:
    """An image file, or the images below a folder.

    Raises:
        InputError: The folder holds no image.
    """
    if not path.is_dir():
        return [path]
    names, _, times = list_files(path)[:3]
    images = [
        path / name
        for name, time in zip(names, times, strict=True)
        if _is_image(path / name, time < 0)
    ]
    if not images:
        raise InputError(f"--query={path} holds no image; give an image, or a folder of some")
    return images


def _is_image(path: Path, unreadable: bool) -> bool:
    """Whether training would read or report the file; a broken link is refused later."""
    if unreadable and path.is_dir():
        raise InputError(f"the folder {path} cannot be read; mend its permissions, or move it away")
    try:
        return unreadable or file_bytes.is_image_file(path)
    except OSError as error:
        raise InputError(
            f"{path} cannot be read ({error.strerror}), so that nobody knows whether it is an "
            "image; mend its permissions, or move it away"
        ) from error


def _from_tfrecords(pattern: str) -> ImageCollection:
    matches = sorted(tf.io.gfile.glob(pattern))
    files = [f for f in matches if any(suffix in Path(f).name for suffix in RECORD_SUFFIXES)]
    if not files:
        raise InputError(
            f"--embed_input={pattern} is no folder and matches no file with "
            f"{' or '.join(RECORD_SUFFIXES)} in its name"
        )
    _check_first_record(files[0])
    features = {name: tf.io.FixedLenFeature([], tf.string, "") for name in IMAGE_FEATURES}

    def image_of(record):
        parsed = tf.io.parse_single_example(record, features)
        return tf.strings.join([parsed[name] for name in IMAGE_FEATURES])  # all but one are empty

    # Paths, not names: two folders may hold files of one name.
    folder = os.path.commonpath([os.path.dirname(file) for file in files])
    names = [Path(os.path.relpath(file, folder)).as_posix() for file in files]

    def images_of(file, name):
        records = tf.data.TFRecordDataset(file).enumerate()
        return records.map(
            lambda number, record: (
                tf.strings.join([name, ":", tf.strings.as_string(number)]),
                image_of(record),
            )
        )

    def images_from(first):
        images = _no_images()
        for file, name in zip(files, names, strict=True):
            images = images.concatenate(images_of(file, name))
        return images.skip(first)

    states = [_file_state(file) for file in files]
    return ImageCollection(
        f"{len(files):,} TFRecord files {pattern}", _fingerprint(states), images_from
    )


def _file_state(file: str) -> str:
    """A file's path, size and modification time, which show whether it was replaced."""
    status = tf.io.gfile.stat(file)
    return f"{file} {status.length} {status.mtime_nsec}"


def _check_first_record(file: str) -> None:
    """Checks for a feature with images; without it, every record would be refused as broken."""
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


def _from_tfds(source: str, data_dir: str, download: bool) -> ImageCollection:
    import tensorflow_datasets as tfds

    from dim_tf.data.sources import tfds_files

    parts = source.split(":")
    if len(parts) != 3 or not all(parts):
        raise InputError(f"--embed_input={source}; expected tfds:NAME:SPLIT, as tfds:cifar10:test")
    _, name, splits = parts
    advice = "Give --data_dir, or --download to fetch it."
    request = DataRequest(data_dir, download=download)
    builder = tfds_files.prepared_builder(name, request, advice)
    counts = {}
    for split in splits.split("+"):
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
        images = _no_images()
        for split, count in counts.items():
            if first < count:  # TFDS refuses to read nothing
                images = images.concatenate(images_of(split, first))
            first = max(first - count, 0)
        return images

    description = f"{sum(counts.values()):,} images of {name}, {splits}"
    fingerprint = _fingerprint([builder.info.full_name, splits, str(counts)])
    return ImageCollection(description, fingerprint, images_from)
