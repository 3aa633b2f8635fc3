"""What the Beam pipeline reads: image files and TFRecord files."""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any

from apache_beam.io import tfrecordio
from apache_beam.io.filesystem import BeamIOError, FileMetadata
from apache_beam.io.filesystems import FileSystems

from dim_tf.system.errors import InputError


def fixed_folder(pattern: str) -> str:
    """A glob up to the last slash before its first wildcard: "a/b/" of "a/b/c*/d.png"."""
    fixed = re.split(r"[*?\[]", pattern)[0]
    return re.split(r"[^/\\]*$", fixed)[0]


def first_match(pattern: str) -> str:
    """The first file that matches a glob.

    Raises:
        InputError: No file matches, or the glob is the name of a folder.
    """
    try:
        if not pattern.endswith("/") and fixed_folder(f"{pattern}/") == f"{pattern}/":
            files = FileSystems.match([f"{pattern}/**"], [1])[0].metadata_list
            if files:
                raise InputError(f"--input={pattern} is a folder; give a glob, as {pattern}/**")
        matches = FileSystems.match([pattern], [1])[0].metadata_list
    except (BeamIOError, ValueError) as error:  # ValueError: an unknown scheme
        message = " ".join(str(error).split())
        raise InputError(f"--input={pattern} cannot be looked up: {message}") from error
    if not matches:
        raise InputError(
            f"no file matches --input={pattern}; * stands for names within one folder, ** for "
            "folders too"
        )
    return matches[0].path


def matched_files(pattern: str) -> list[FileMetadata]:
    """The files that match a glob, sorted by path."""
    files = FileSystems.match([pattern])[0].metadata_list
    return sorted(files, key=lambda file: file.path)


@dataclass(frozen=True)
class ImageReader:
    """Reads an image file as one (id, encoded image).

    The id is the file's path below the fixed folder of the glob: "cats/1.jpg" for "data/**.jpg".

    Attributes:
        folder: `fixed_folder` of the glob.
    """

    folder: str

    def read(self, path: str) -> Iterator[tuple[str, bytes]]:
        """Yields the id and the encoded image of the file below the folder."""
        with FileSystems.open(f"{self.folder}{path}") as stream:
            yield path, stream.read()


@dataclass(frozen=True)
class ExampleReader:
    """Reads a TFRecord file of tf.train.Example as (id, encoded image).

    Without an id feature, the id is "<file>:<number>": the file's path below the fixed folder of
    the glob, and the record's number in it, from 0. A TFRecord file cannot be entered in the
    middle, so one call reads it from the first record to the last, and the numbers are the same in
    every run.

    Attributes:
        folder: `fixed_folder` of the glob.
        image_feature: Feature of the encoded image, bytes.
        id_feature: Feature of the id, bytes in UTF-8 or an integer, which must be different for
            each record; "": file and number.
    """

    folder: str
    image_feature: str = "image"
    id_feature: str = ""

    def read(self, path: str) -> Iterator[tuple[str, bytes]]:
        """Yields the id and the encoded image of each record; .gz files are decompressed."""
        name = f"{self.folder}{path}"
        with FileSystems.open(name) as stream:
            for number, record in enumerate(read_records(stream, name)):
                yield self.parse(record, f"{path}:{number}")

    def parse(self, record: bytes, location: str) -> tuple[str, bytes]:
        """The id and the encoded image of a record; its location is <file>:<number>."""
        features = parse_features(record, location)
        image = _single_value(features, self.image_feature, location, "--image_feature")
        if not isinstance(image, bytes):
            raise InputError(
                f"{location}: the feature {self.image_feature!r} is a number, not an encoded "
                "image; name another --image_feature"
            )
        if not self.id_feature:
            return location, image
        name = _single_value(features, self.id_feature, location, "--id_feature")
        try:
            return (name.decode() if isinstance(name, bytes) else str(name)), image
        except UnicodeDecodeError as error:
            raise InputError(
                f"{location}: the feature {self.id_feature!r} is no text in UTF-8; name another "
                "--id_feature"
            ) from error


def read_records(stream, name: str) -> Iterator[bytes]:
    """The records of an open TFRecord file, in order, with their checksums verified.

    Raises:
        InputError: A record is damaged.
    """
    try:
        # A private part of Beam, whose public transforms do not give a record's number.
        while (record := tfrecordio._TFRecordUtil.read_record(stream)) is not None:
            yield record
    except ValueError as error:
        raise InputError(f"{name} is no whole TFRecord file: {error}") from error


def parse_features(record: bytes, location: str) -> Mapping[str, Any]:
    """The features of a serialized tf.train.Example.

    Raises:
        InputError: The record is something else.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.example import example_pb2

    try:
        return example_pb2.Example.FromString(record).features.feature
    except DecodeError as error:
        raise InputError(f"{location} is not a tf.train.Example") from error


def _single_value(features, name, location, flag):
    """The value (bytes or integer) of a feature that has exactly one."""
    if name in features:
        feature = features[name]
        values = [*feature.bytes_list.value, *feature.int64_list.value]
        if len(values) == 1:
            return values[0]
    raise InputError(
        f"{location} has no feature {name!r} with one value, bytes or integer; it has the features "
        f"{', '.join(sorted(features))}; give another {flag}"
    )
