"""Embeds many images with an exported encoder in an Apache Beam pipeline, on any runner.

python -m dim_tf.collection.beam --encoder_path=exported/digits/1 --input='images/**' --output=all
    [any pipeline options of Beam, such as --runner=DataflowRunner]

Every path may be on a file system that Beam (`--input`, `--output`) or TensorFlow
(`--encoder_path`) knows, such as gs://. If the runner uses several machines, all workers must see
the same files and have this package: install it there, or give Beam's --setup_file or
--sdk_container_image.

The output is one file per `--shard_size` images, or per file for TFRecord input, with a record
(.json) beside it. A file appears whole or not at all. If the pipeline stopped or lost workers, the
same command writes the missing files.
"""

import argparse
import os
import sys
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np

from dim_tf.system import programs
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError

if __name__ == "__main__":
    programs.import_tensorflow()

from dim_tf.collection.embed import SIGNATURE, encoder_fingerprint
from dim_tf.export import saved_model

try:
    import apache_beam as beam
    from apache_beam.io import tfrecordio
    from apache_beam.io.filesystems import FileSystems
    from apache_beam.metrics import Metrics
    from apache_beam.ml.inference.base import KeyedModelHandler, ModelHandler, RunInference
    from apache_beam.options.pipeline_options import PipelineOptions, StandardOptions
    from apache_beam.runners.runner import PipelineState

    from dim_tf.collection import beam_io, beam_shards
except ModuleNotFoundError as error:
    if (error.name or "").split(".")[0] != "apache_beam":
        raise
    missing = f"{error.name} is not installed; pip install 'dim_tf[beam]'"
    if __name__ != "__main__":
        raise ModuleNotFoundError(missing, name=error.name) from error
    sys.exit(programs.failed(InputError(missing)))

NAMESPACE = "dim_tf"  # of the counters
EMBEDDED, INVALID = "embedded", "invalid"  # the outputs of Embed, and their counters
# Beam does not know its short name.
DASK_RUNNER = "apache_beam.runners.dask.dask_runner.DaskRunner"


class Embedding(NamedTuple):
    """The encoder's output for one encoded image.

    Attributes:
        valid: Whether the image could be decoded.
        embedding: float32 [D]; zeros if the image could not be decoded.
    """

    valid: bool
    embedding: np.ndarray


class EncoderHandler(ModelHandler[bytes, Embedding, Any]):
    """Beam's RunInference for an exported encoder: encoded images to `Embedding`.

    For examples (id, encoded image), wrap it in Beam's KeyedModelHandler, as `Embed` does. The
    threads of a worker's process share one model, which is Beam's default.

    Args:
        saved_model: Path of a SavedModel that `dim_tf.export.publish` wrote.
        min_batch_size: Smallest number of images embedded at once; only the end of a bundle has
            fewer.
        max_batch_size: Largest number of images embedded at once.
    """

    def __init__(self, saved_model: str, min_batch_size: int = 1, max_batch_size: int = 64):
        super().__init__()
        self.saved_model = saved_model
        self.min_batch_size = min_batch_size
        self.max_batch_size = max_batch_size

    def load_model(self) -> Any:
        """The loaded SavedModel.

        Raises:
            InputError: There is no SavedModel at the path, or it lacks the signature.
        """
        return saved_model.load(self.saved_model, SIGNATURE)

    def run_inference(
        self,
        batch: Sequence[bytes],
        model: Any,
        inference_args: dict[str, Any] | None = None,
    ) -> Iterable[Embedding]:
        """One `Embedding` for each encoded image of the batch, in the same order."""
        import tensorflow as tf

        outputs = model.signatures[SIGNATURE](image_bytes=tf.constant(list(batch), tf.string))
        valid = outputs[saved_model.VALID].numpy()
        embeddings = outputs[saved_model.feature_in(outputs)].numpy()
        return [Embedding(bool(v), e) for v, e in zip(valid, embeddings, strict=True)]

    def get_num_bytes(self, batch: Sequence[bytes]) -> int:
        """The size of the encoded images, in bytes."""
        return sum(len(encoded) for encoded in batch)

    def get_metrics_namespace(self) -> str:
        """The namespace of RunInference's counters and timers."""
        return NAMESPACE

    def batch_elements_kwargs(self) -> Mapping[str, Any]:
        """The arguments of beam.BatchElements."""
        return {"min_batch_size": self.min_batch_size, "max_batch_size": self.max_batch_size}


class Embed(beam.PTransform):
    """(id, encoded image) to (id, embedding), and the ids of images that cannot be decoded.

    For use in your own pipelines. Their runner must execute batches and second outputs faithfully;
    DaskRunner does not, and loses rows silently.

    Ids are strings, embeddings are lists of D floats: `embedded, invalid = examples | Embed(path)`.
    The outputs are named `embedded` and `invalid`, like the counters in the namespace `dim_tf`.

    Args:
        saved_model: Path of an exported encoder.
        batch_size: Images embedded at once; the end of a bundle may have fewer.
    """

    def __init__(self, saved_model: str, batch_size: int = 64):
        super().__init__()
        self.handler = EncoderHandler(saved_model, batch_size, batch_size)

    def expand(self, examples):
        """Applies the transform to a PCollection."""
        return (
            examples
            | "Encode" >> RunInference(KeyedModelHandler(self.handler))
            | "Partition" >> beam.ParDo(_Partition()).with_outputs(INVALID, main=EMBEDDED)
        )


class _Partition(beam.DoFn):
    """(id, Embedding) to (id, embedding) or, if invalid, to the id on the other output."""

    def __init__(self):
        super().__init__()
        self.embedded = Metrics.counter(NAMESPACE, EMBEDDED)
        self.invalid = Metrics.counter(NAMESPACE, INVALID)

    def process(self, element):
        image_id, result = element
        if result.valid:
            self.embedded.inc()
            yield image_id, result.embedding.tolist()
        else:
            self.invalid.inc()
            yield beam.pvalue.TaggedOutput(INVALID, image_id)


def parse(arguments: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    """The pipeline's own flags, and the remaining ones, which are for Beam."""
    parser = argparse.ArgumentParser(
        prog="python -m dim_tf.collection.beam",
        description="Embeds many images with an exported encoder. Flags that are not listed are "
        "Beam's pipeline options.",
        allow_abbrev=False,
    )
    add = parser.add_argument
    add("--encoder_path", required=True, help="an exported encoder: exported/<name>/<version>")
    add("--input", required=True, help="glob: * within a folder, ** through folders")
    add("--input_format", choices=("images", "tfrecord"), default="images", help="of the files")
    add("--image_feature", default="image", help="in a TFRecord's tf.train.Example; default: image")
    add("--id_feature", default="", help="likewise; default: <file>:<number of the record>")
    add("--output", required=True, help="what the names of the written files start with")
    add("--output_format", choices=("parquet", "tfrecord"), default="parquet", help="of the output")
    add("--batch_size", type=int, default=64, help="images that are embedded at once; default: 64")
    add("--shard_size", type=int, default=4096, help="image files for one of output; default: 4096")
    flags, beam_flags = parser.parse_known_args(arguments)
    for name in ("batch_size", "shard_size"):
        if getattr(flags, name) < 1:
            parser.error(f"--{name}={getattr(flags, name)} is less than 1")
    for name in ("encoder_path", "input", "output"):
        if "://" not in getattr(flags, name):  # a worker may run in another folder
            setattr(flags, name, os.path.join(os.getcwd(), getattr(flags, name)))
    return flags, beam_flags


def runner_flags(beam_flags: Sequence[str]) -> list[str]:
    """Beam's flags plus what DaskRunner needs: its long name, and a task for each shard.

    By default DaskRunner makes one task of 128 shards, which a single worker would embed.
    """
    runner = PipelineOptions([*beam_flags]).view_as(StandardOptions).runner
    if runner not in ("DaskRunner", DASK_RUNNER):
        return [*beam_flags]
    divided = any(flag.startswith(("--dask_npartitions", "--dask_part")) for flag in beam_flags)
    size = [] if divided else ["--dask_partition_size=1"]
    return [*beam_flags, f"--runner={DASK_RUNNER}", *size]


def check(flags: argparse.Namespace) -> int:
    """Checks what can be checked before the pipeline runs; returns the embeddings' size D.

    Raises:
        InputError: No file matches, the first record is not as the flags say, the SavedModel lacks
            the signature or the size of its feature, or checksums of TFRecord files cannot be
            computed.
    """
    first = beam_io.first_match(flags.input)
    if "tfrecord" in (flags.input_format, flags.output_format):
        try:
            tfrecordio._TFRecordUtil._masked_crc32c(b"")
        except RuntimeError as error:
            raise InputError("TFRecord files need google-crc32c; pip install it") from error
    if flags.input_format == "tfrecord":
        with FileSystems.open(first) as stream:
            record = next(beam_io.read_records(stream, first), None)
        if record is not None:
            reader = beam_io.ExampleReader("", flags.image_feature, flags.id_feature)
            reader.parse(record, f"{first}:0")
    model = EncoderHandler(flags.encoder_path).load_model()
    outputs = model.signatures[SIGNATURE].structured_outputs
    size = outputs[saved_model.feature_in(outputs)].shape[-1]
    if size is None:
        raise InputError(
            f"--encoder_path={flags.encoder_path} does not say how many numbers its feature has; "
            "export the encoder again, with --mode=export"
        )
    return size


def embed_files(flags: argparse.Namespace, options: PipelineOptions) -> dict[str, int]:
    """Runs the pipeline.

    Returns:
        The number of images that were embedded, and the number that were invalid.

    Raises:
        InputError: As for `check`; or the runner does not exist, or the output holds embeddings of
            something else.
        RunError: The pipeline did not finish, or left out a file.
    """
    try:
        # Before the check, because file systems take options from the pipeline.
        pipeline = beam.Pipeline(options=options)
    except ImportError as error:
        raise InputError(
            f"a package of the runner is missing ({error}); for DaskRunner: pip install "
            "'dim_tf[dask]'"
        ) from error
    except ValueError as error:
        raise InputError(f"Beam's options cannot be used: {error}") from error
    size = check(flags)
    folder = beam_io.fixed_folder(flags.input)
    reader: beam_shards.Reader = beam_io.ImageReader(folder)
    shard_size = flags.shard_size
    if flags.input_format == "tfrecord":
        reader = beam_io.ExampleReader(folder, flags.image_feature, flags.id_feature)
        shard_size = 1
    origin = {
        "encoder": encoder_fingerprint(flags.encoder_path),
        "reader": repr(reader),
        "format": flags.output_format,
    }
    files = beam_shards.ShardFiles(flags.output, flags.output_format, size)
    shards = beam_shards.divide(beam_io.matched_files(flags.input), shard_size, folder, origin)
    files.check_same_origin(shards)
    missing = [shard for shard in shards if files.record(shard) is None]
    if missing and len(missing) < len(shards):
        say(f"{len(shards) - len(missing):,} of {len(shards):,} files are there; making the others")
    if missing:
        handler = EncoderHandler(flags.encoder_path)
        embed = beam_shards.EmbedShard(handler, reader, files, flags.batch_size)
        pipeline | beam.Create(missing) | beam.ParDo(embed)
        _run(pipeline)
    embedded, invalid = beam_shards.summarize(files, shards)
    files.remove_temporary_files()
    lines = "".join(image_id.replace("\n", "\\n") + "\n" for image_id in invalid)
    # Written even if there are none, because it replaces that of an earlier run.
    beam_shards.write_text(f"{flags.output}-invalid.txt", lines)
    return {EMBEDDED: embedded, INVALID: len(invalid)}


def _run(pipeline: beam.Pipeline) -> None:
    try:
        state = pipeline.run().wait_until_finish()
    except InputError:  # of a worker
        raise
    except Exception as error:  # each runner has its own classes for a worker's error
        lines = str(error).strip().splitlines()
        raise RunError(
            f"the pipeline failed: {lines[-1] if lines else type(error).__name__}"
        ) from error
    if state != PipelineState.DONE:
        raise RunError(f"the pipeline ended as {state}; its runner's log says why")


@programs.with_status
def main(arguments: Sequence[str] | None = None) -> int:
    """The command line; returns the exit status: 0, 1 for a failed run, 2 for wrong input."""
    flags, beam_flags = parse(arguments)
    counts = embed_files(flags, PipelineOptions(runner_flags(beam_flags)))
    say(f"{counts[EMBEDDED]} images embedded: {flags.output}-*")
    say(f"{counts[INVALID]} images could not be decoded: {flags.output}-invalid.txt")
    return 0


if __name__ == "__main__":
    # Run from the module under its own name, by which the workers find its classes.
    from dim_tf.collection import beam as module

    programs.run(module.main)
