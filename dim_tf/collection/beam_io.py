"""What the Beam pipeline reads and writes: image files, TFRecord files, Parquet files."""

import re
from collections.abc import Iterator, Mapping
from typing import Any

import apache_beam as beam
import pyarrow
from apache_beam.io import fileio, tfrecordio
from apache_beam.io.filesystem import BeamIOError
from apache_beam.io.filesystems import FileSystems

from dim_tf.collection.shard_formats import serialized_example
from dim_tf.system.errors import InputError


def fixed_folder(pattern: str) -> str:
    """The part of a glob that has no wildcard, up to its last slash: "a/b/" of "a/b/c*/d.png"."""
    fixed = re.split(r"[*?\[]", pattern)[0]
    return re.split(r"[^/\\]*$", fixed)[0]


def first_match(pattern: str) -> str:
    """The first file that matches a glob.

    Raises:
        InputError: no file matches, or the glob is the name of a folder.
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


class ReadImages(beam.PTransform):
    """Image files to (id, encoded image).

    The id is the file's path below the glob's fixed folder: "cats/1.jpg" for "data/**.jpg".

    Args:
        pattern: a glob of Beam: * within a folder, ** through folders.
    """

    def __init__(self, pattern: str):
        super().__init__()
        self.pattern = pattern

    def expand(self, begin):
        """Applies it to a pipeline."""
        return (
            begin | _MatchedFiles(self.pattern) | beam.ParDo(_ReadImage(fixed_folder(self.pattern)))
        )


class ReadExamples(beam.PTransform):
    """TFRecord files of tf.train.Example to (id, encoded image).

    Without an id feature the id is "<file>:<number>": the file's path below the glob's fixed
    folder and the record's number in it, from 0. A TFRecord file cannot be entered in its middle,
    so on any runner one call reads it from the first record to the last, and the number is the same
    in every run. For the same reason work is divided by files, not by records.

    Args:
        pattern: a glob of Beam. Compressed files are known by their ending, such as .gz.
        image_feature: of the encoded image, bytes.
        id_feature: of the id, bytes in UTF-8 or an integer; "" for file and number. It must be
            different for each record.
    """

    def __init__(self, pattern: str, image_feature: str = "image", id_feature: str = ""):
        super().__init__()
        self.pattern = pattern
        self.reader = ExampleReader(fixed_folder(pattern), image_feature, id_feature)

    def expand(self, begin):
        """Applies it to a pipeline."""
        return begin | _MatchedFiles(self.pattern) | beam.ParDo(self.reader)


class _MatchedFiles(beam.PTransform):
    """The files of a glob, as fileio.ReadableFile, spread over the workers."""

    def __init__(self, pattern):
        super().__init__()
        self.pattern = pattern

    def expand(self, begin):
        return (
            begin
            | fileio.MatchFiles(self.pattern, fileio.EmptyMatchTreatment.DISALLOW)
            | beam.Reshuffle()
            | fileio.ReadMatches()
        )


class _ReadImage(beam.DoFn):
    def __init__(self, folder):
        super().__init__()
        self.folder = folder

    def process(self, file) -> Iterator[tuple[str, bytes]]:
        yield file.metadata.path.removeprefix(self.folder), file.read()


class ExampleReader(beam.DoFn):
    """A TFRecord file of tf.train.Example to (id, encoded image)."""

    def __init__(self, folder, image_feature, id_feature):
        super().__init__()
        self.folder = folder
        self.image_feature = image_feature
        self.id_feature = id_feature

    def process(self, file) -> Iterator[tuple[str, bytes]]:
        name = file.metadata.path.removeprefix(self.folder)
        with file.open(mime_type="application/octet-stream") as stream:
            for number, record in enumerate(read_records(stream, file.metadata.path)):
                yield self.parse(record, f"{name}:{number}")

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
        InputError: a record is damaged.
    """
    try:
        # Private to Beam, whose public transforms do not give a record's number.
        while (record := tfrecordio._TFRecordUtil.read_record(stream)) is not None:
            yield record
    except ValueError as error:
        raise InputError(f"{name} is no whole TFRecord file: {error}") from error


def parse_features(record: bytes, location: str) -> Mapping[str, Any]:
    """The features of a serialized tf.train.Example.

    Raises:
        InputError: the record is something else.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.example import example_pb2

    try:
        return example_pb2.Example.FromString(record).features.feature
    except DecodeError as error:
        raise InputError(f"{location} is no tf.train.Example") from error


def _single_value(features, name, location, flag):
    """The value, bytes or integer, of a feature that has one."""
    if name in features:
        feature = features[name]
        values = [*feature.bytes_list.value, *feature.int64_list.value]
        if len(values) == 1:
            return values[0]
    raise InputError(
        f"{location} has no feature {name!r} with one value, bytes or integer; it has the features "
        f"{', '.join(sorted(features))}; give another {flag}"
    )


class WriteParquet(beam.PTransform):
    """(id, embedding) to Parquet files with the columns id, string, and embedding, float32 [D].

    Args:
        output: what the files' names begin with.
        size: D; None if it differs.
    """

    def __init__(self, output: str, size: int | None = None):
        super().__init__()
        self.output = output
        vector = pyarrow.list_(pyarrow.float32(), -1 if size is None else size)
        self.schema = pyarrow.schema([("id", pyarrow.string()), ("embedding", vector)])

    def expand(self, embedded):
        """Applies it to a PCollection."""
        return (
            embedded
            | beam.Map(lambda row: {"id": row[0], "embedding": row[1]})
            | beam.io.WriteToParquet(
                self.output,
                self.schema,
                file_name_suffix=".parquet",
                use_compliant_nested_type=True,
            )
        )


class WriteExamples(beam.PTransform):
    """(id, embedding) to TFRecord files of tf.train.Example: id, bytes; embedding, floats [D].

    Args:
        output: what the files' names begin with.
    """

    def __init__(self, output: str):
        super().__init__()
        self.output = output

    def expand(self, embedded):
        """Applies it to a PCollection."""
        return (
            embedded
            | beam.MapTuple(serialized_example).with_output_types(bytes)
            | beam.io.WriteToTFRecord(self.output, file_name_suffix=".tfrecord")
        )
