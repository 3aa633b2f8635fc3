"""Embeds many images with an exported encoder in an Apache Beam pipeline, on any runner.

python -m dim_tf.export.beam --saved_model=exported/digits/1 --input='images/**' --output=embedded
    [any pipeline options of Beam, such as --runner=DataflowRunner]

Every path may be one of a file system that Beam (`--input`, `--output`) or TensorFlow
(`--saved_model`) knows, such as gs://. A runner with workers of its own needs this package there:
give Beam's --setup_file or --sdk_container_image.
"""

import argparse
import re
import sys
from collections.abc import Iterable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dim_tf.system import tensorflow_import
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError, one_line

if __name__ == "__main__":
    try:
        tensorflow_import.quietly()
    except InputError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        sys.exit(2)

from dim_tf.export import saved_model
from dim_tf.export.embed import SIGNATURE, serialized_example

try:
    import apache_beam as beam
    import pyarrow
    from apache_beam.io import fileio, tfrecordio
    from apache_beam.io.filesystem import BeamIOError
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.metrics import Metrics, MetricsFilter
    from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
    from apache_beam.options.pipeline_options import PipelineOptions
    from apache_beam.runners.runner import PipelineState
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] not in ("apache_beam", "pyarrow"):
        raise
    missing = f"{error.name} is not installed; pip install 'dim_tf[beam]'"
    if __name__ != "__main__":
        raise ModuleNotFoundError(missing, name=error.name) from error
    print(f"error: {missing}", file=sys.stderr)
    sys.exit(2)

FAILED, WRONG_INPUT = 1, 2
NAMESPACE = "dim_tf"  # of the counters
EMBEDDED, INVALID = "embedded", "invalid"  # the outputs of Embed, and their counters


class Embedded(NamedTuple):
    """What the encoder says of one encoded image.

    Attributes:
        valid: whether it could be decoded.
        embedding: float32 [D]; zeros if it could not.
    """

    valid: bool
    embedding: np.ndarray


class EncoderHandler(ModelHandler[bytes, Embedded, Any]):
    """Beam's RunInference for an exported encoder: encoded images to `Embedded`.

    For examples (id, encoded image), wrap it in Beam's KeyedModelHandler, as `Embed` does. The
    threads of a worker's process share one model, which is Beam's default.

    Args:
        saved_model: path of a SavedModel that `dim_tf.export.publish` wrote.
        min_batch_size: fewer images are embedded at once only where a bundle ends.
        max_batch_size: more are not embedded at once.
    """

    def __init__(self, saved_model: str, min_batch_size: int = 1, max_batch_size: int = 64):
        super().__init__()
        self.saved_model = saved_model
        self.min_batch_size = min_batch_size
        self.max_batch_size = max_batch_size

    def load_model(self) -> Any:
        """The loaded SavedModel.

        Raises:
            InputError: there is none at the path, or it lacks the signature.
        """
        return saved_model.load(self.saved_model, SIGNATURE)

    def run_inference(
        self,
        batch: Sequence[bytes],
        model: Any,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Embedded]:
        """One `Embedded` for each encoded image of the batch, in its order."""
        import tensorflow as tf

        found = model.signatures[SIGNATURE](image_bytes=tf.constant(list(batch), tf.string))
        valid, embeddings = found["valid"].numpy(), found["global"].numpy()
        return [Embedded(bool(v), e) for v, e in zip(valid, embeddings, strict=True)]

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        """The encoded images' size, in bytes."""
        return sum(len(encoded) for encoded in batch)

    def get_metrics_namespace(self) -> str:
        """Under which RunInference counts and times."""
        return NAMESPACE

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """For beam.BatchElements."""
        return {"min_batch_size": self.min_batch_size, "max_batch_size": self.max_batch_size}


class Embed(beam.PTransform):
    """(id, encoded image) to (id, embedding), and the ids of images that cannot be decoded.

    Ids are strings, embeddings lists of D floats: `embedded, invalid = examples | Embed(path)`.
    The outputs are named `embedded` and `invalid`, as are the counters in namespace `dim_tf`.

    Args:
        saved_model: path of an exported encoder.
        batch_size: images that are embedded at once; fewer where a bundle ends.
    """

    def __init__(self, saved_model: str, batch_size: int = 64):
        super().__init__()
        self.handler = EncoderHandler(saved_model, batch_size, batch_size)

    def expand(self, examples):
        """Applies it to a PCollection."""
        return (
            examples
            | "Encode" >> RunInference(KeyedModelHandler(self.handler))
            | "Part" >> beam.ParDo(_Part()).with_outputs(INVALID, main=EMBEDDED)
        )


class _Part(beam.DoFn):
    """(id, Embedded) to (id, embedding) or, if invalid, to the id on the other output."""

    def __init__(self):
        super().__init__()
        self.embedded = Metrics.counter(NAMESPACE, EMBEDDED)
        self.invalid = Metrics.counter(NAMESPACE, INVALID)

    def process(self, element):
        name, result = element
        if result.valid:
            self.embedded.inc()
            yield name, result.embedding.tolist()
        else:
            self.invalid.inc()
            yield beam.pvalue.TaggedOutput(INVALID, name)


def fixed_folder(pattern: str) -> str:
    """The part of a glob that has no wildcard, up to its last slash: "a/b/" of "a/b/c*/d.png"."""
    fixed = re.split(r"[*?\[]", pattern)[0]
    return re.split(r"[^/\\]*$", fixed)[0]


def check_matches(pattern: str) -> str:
    """The first file that matches a glob.

    Raises:
        InputError: none does, or the glob is the name of a folder.
    """
    try:
        if not pattern.endswith("/") and fixed_folder(f"{pattern}/") == f"{pattern}/":
            inside = FileSystems.match([f"{pattern}/**"], [1])[0].metadata_list
            if inside:
                raise InputError(f"--input={pattern} is a folder; give a glob, as {pattern}/**")
        found = FileSystems.match([pattern], [1])[0].metadata_list
    except (BeamIOError, ValueError) as error:  # ValueError: an unknown scheme
        reason = " ".join(str(error).split())
        raise InputError(f"--input={pattern} cannot be looked up: {reason}") from error
    if not found:
        raise InputError(
            f"no file matches --input={pattern}; * stands for names within one folder, ** for "
            "folders too"
        )
    return found[0].path


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
        return begin | _Files(self.pattern) | beam.ParDo(_ReadImage(fixed_folder(self.pattern)))


class ReadExamples(beam.PTransform):
    """TFRecord files of tf.train.Example to (id, encoded image).

    Without an id feature the id is "<file>:<number>": the file's path below the glob's fixed
    folder and the record's number in it, from 0. A TFRecord file cannot be entered in its middle,
    so that on any runner one call reads it from its first record to its last: the number is the
    same in every run. For the same reason work is shared out by files, not by records.

    Args:
        pattern: a glob of Beam. Compressed files are known by their ending, such as .gz.
        image_feature: of the encoded image, bytes.
        id_feature: of the id, bytes in UTF-8 or an integer; "" for file and number. It must be
            different for each record.
    """

    def __init__(self, pattern: str, image_feature: str = "image", id_feature: str = ""):
        super().__init__()
        self.pattern = pattern
        self.reader = _ReadRecords(fixed_folder(pattern), image_feature, id_feature)

    def expand(self, begin):
        """Applies it to a pipeline."""
        return begin | _Files(self.pattern) | beam.ParDo(self.reader)


class _Files(beam.PTransform):
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


class _ReadRecords(beam.DoFn):
    def __init__(self, folder, image_feature, id_feature):
        super().__init__()
        self.folder = folder
        self.image_feature = image_feature
        self.id_feature = id_feature

    def process(self, file) -> Iterator[tuple[str, bytes]]:
        name = file.metadata.path.removeprefix(self.folder)
        with file.open(mime_type="application/octet-stream") as stream:
            for number, record in enumerate(records(stream, file.metadata.path)):
                yield self.example(record, f"{name}:{number}")

    def example(self, record: bytes, place: str) -> tuple[str, bytes]:
        features = features_of(record, place)
        image = _single(features, self.image_feature, place, "--image_feature")
        if not isinstance(image, bytes):
            raise InputError(
                f"{place}: the feature {self.image_feature!r} is a number, not an encoded image; "
                "name another --image_feature"
            )
        if not self.id_feature:
            return place, image
        name = _single(features, self.id_feature, place, "--id_feature")
        try:
            return (name.decode() if isinstance(name, bytes) else str(name)), image
        except UnicodeDecodeError as error:
            raise InputError(
                f"{place}: the feature {self.id_feature!r} is no text in UTF-8; name another "
                "--id_feature"
            ) from error


def records(stream, name: str) -> Iterator[bytes]:
    """The records of an opened TFRecord file, in their order, their checksums compared.

    Raises:
        InputError: a record is not whole.
    """
    try:
        # Private to Beam, whose public transforms do not tell a record's number.
        while (record := tfrecordio._TFRecordUtil.read_record(stream)) is not None:
            yield record
    except ValueError as error:
        raise InputError(f"{name} is no whole TFRecord file: {error}") from error


def features_of(record: bytes, place: str) -> Mapping[str, Any]:
    """The features of a serialized tf.train.Example.

    Raises:
        InputError: it is none.
    """
    from google.protobuf.message import DecodeError
    from tensorflow.core.example import example_pb2

    try:
        return example_pb2.Example.FromString(record).features.feature
    except DecodeError as error:
        raise InputError(f"{place} is no tf.train.Example") from error


def _single(features, name, place, flag):
    """The only value, bytes or int, of a feature."""
    if name in features:
        feature = features[name]
        values = [*feature.bytes_list.value, *feature.int64_list.value]
        if len(values) == 1:
            return values[0]
    raise InputError(
        f"{place} has no feature {name!r} with one value, bytes or integer; it has the features "
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


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The pipeline's own flags, and the rest, which is for Beam."""
    parser = argparse.ArgumentParser(
        prog="python -m dim_tf.export.beam",
        description="Embeds many images with an exported encoder. Flags that are not listed are "
        "Beam's pipeline options.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--saved_model", required=True, help="an exported encoder: exported/<name>/<version>")
    add("--input", required=True, help="glob: * within a folder, ** through folders")
    add("--input_format", choices=("images", "tfrecord"), default="images", help="of the files")
    add("--image_feature", default="image", help="in a TFRecord's tf.train.Example; default: image")
    add("--id_feature", default="", help="likewise; default: <file>:<number of the record>")
    add("--output", required=True, help="what the written files' names begin with")
    add("--output_format", choices=("parquet", "tfrecord"), default="parquet", help="of the output")
    add("--batch_size", type=int, default=64, help="images that are embedded at once; default: 64")
    given, rest = parser.parse_known_args(arguments)
    if given.batch_size < 1:
        parser.error(f"--batch_size={given.batch_size} is less than 1")
    if not fixed_folder(given.input):
        given.input = f"./{given.input}"  # Beam lists no folder without a name
    return given, rest


def check(given: argparse.Namespace) -> int | None:
    """Checks what can be checked before the pipeline runs; returns the embeddings' size D.

    Raises:
        InputError: no file matches, the first record is not as the flags say, the SavedModel
            lacks the signature, or checksums of TFRecord files cannot be computed.
    """
    first = check_matches(given.input)
    if "tfrecord" in (given.input_format, given.output_format):
        try:
            tfrecordio._TFRecordUtil._masked_crc32c(b"")
        except RuntimeError as error:
            raise InputError("TFRecord files need google-crc32c; pip install it") from error
    if given.input_format == "tfrecord":
        with FileSystems.open(first) as stream:
            record = next(records(stream, first), None)
        if record is not None:
            _ReadRecords("", given.image_feature, given.id_feature).example(record, f"{first}:0")
    model = EncoderHandler(given.saved_model).load_model()
    return model.signatures[SIGNATURE].structured_outputs["global"].shape[-1]


def embed_files(given: argparse.Namespace, options: PipelineOptions) -> dict[str, int]:
    """Runs the pipeline.

    Returns:
        The numbers of images that were embedded and that were invalid.

    Raises:
        InputError: as `check`, or there is no such runner.
        RunError: the pipeline did not finish.
    """
    try:
        # Before the check: file systems take its options.
        pipeline = beam.Pipeline(options=options)
    except ValueError as error:
        raise InputError(f"Beam's options cannot be used: {error}") from error
    size = check(given)
    read: beam.PTransform = ReadImages(given.input)
    if given.input_format == "tfrecord":
        read = ReadExamples(given.input, given.image_feature, given.id_feature)
    write: beam.PTransform = WriteParquet(given.output, size)
    if given.output_format == "tfrecord":
        write = WriteExamples(given.output)
    embedded, invalid = pipeline | read | Embed(given.saved_model, given.batch_size)
    embedded | write
    # Written when there are none, too: it replaces that of an earlier run.
    invalid | beam.io.WriteToText(f"{given.output}-invalid", file_name_suffix=".txt")
    try:
        result = pipeline.run()
        state = result.wait_until_finish()
    except (RuntimeError, OSError) as error:  # RuntimeError: of a worker, with its traceback
        lines = str(error).strip().splitlines()
        raise RunError(
            f"the pipeline failed: {lines[-1] if lines else type(error).__name__}"
        ) from error
    if state != PipelineState.DONE:
        raise RunError(f"the pipeline ended as {state}; its runner's log says why")
    return {name: counted(result, name) for name in (EMBEDDED, INVALID)}


def counted(result, name: str) -> int:
    """The value of a counter of this pipeline."""
    wanted = MetricsFilter().with_namespace(NAMESPACE).with_name(name)
    return sum(counter.result for counter in result.metrics().query(wanted)["counters"])


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, 1 for a failed run, 2 for wrong input."""
    given, rest = parse(arguments)
    try:
        counts = embed_files(given, PipelineOptions(rest))
    except InputError as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return WRONG_INPUT
    except (RunError, OSError) as error:
        print(f"error: {one_line(error)}", file=sys.stderr)
        return FAILED
    say(f"{counts[EMBEDDED]} images embedded: {given.output}-*")
    say(f"{counts[INVALID]} images could not be decoded: {given.output}-invalid*.txt")
    return 0


if __name__ == "__main__":
    # Of the module under its own name, by which the workers find its classes.
    from dim_tf.export import beam as module

    sys.exit(module.main())
