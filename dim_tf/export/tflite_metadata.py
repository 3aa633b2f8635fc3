"""TFLite Metadata, which tells MediaPipe's ImageEmbedder and ImageClassifier how to feed a model.

The metadata is a separate flatbuffer (schema: metadata_schema.fbs of TFLite Support, root table
ModelMetadata,
https://github.com/tensorflow/tflite-support/blob/master/tensorflow_lite_support/metadata/metadata_schema.fbs),
stored in the model as the buffer "TFLITE_METADATA". The numbers below are the schema's: the index
of a field in its table, or of a member in its union or enumeration. Files that the metadata names,
such as the file of the labels, are in a ZIP archive after the model, which readers look for from
the end.
"""

import io
import zipfile
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import flatbuffers
from tensorflow.lite.python import schema_py_generated as schema

from dim_tf.export.saved_model_assets import label_lines

BUFFER = "TFLITE_METADATA"
MIN_RUNTIME = "min_runtime_version"
IDENTIFIER = b"M001"
MIN_PARSER_VERSION = "1.0.0"
RGB = 1
CHANNELS = 3  # MediaPipe feeds only RGB
IMAGE_PROPERTIES = 2  # of the union ContentProperties
FEATURE_PROPERTIES = 1
NORMALIZATION = 1  # of the union ProcessUnitOptions
TENSOR_AXIS_LABELS = 2  # of the enumeration AssociatedFileType
LABELS_FILE = "labels.txt"
_EARLIEST = (1980, 1, 1, 0, 0, 0)  # time of a file in a ZIP archive: the same bytes at each export


@dataclass(frozen=True)
class Task:
    """What a model does with an image.

    Attributes:
        description: Description of the model.
        output: Name of its only output.
        output_description: Description of the output.
        labels: Names of the output's numbers, which are probabilities; empty: the output is a
            feature.
    """

    description: str
    output: str
    output_description: str
    labels: tuple[str, ...] = ()


def embedding(feature: str) -> Task:
    """The task of an encoder for MediaPipe's ImageEmbedder; the output is this feature."""
    return Task(
        f"Image encoder: an image to its feature {feature}",
        "embedding",
        f"feature {feature} of the image",
    )


def classification(labels: Sequence[str]) -> Task:
    """The task of a classifier with these labels for MediaPipe's ImageClassifier."""
    return Task(
        "Image classifier: an image to the probabilities of its labels",
        "probability",
        "probabilities of the labels",
        tuple(labels),
    )


def with_image_metadata(
    model: bytes,
    task: Task,
    *,
    name: str,
    license: str,
    mean: float,
    std: float,
    size: tuple[int, int],
) -> bytes:
    """A TFLite model with metadata: an RGB image in, a feature or probabilities out.

    The labels are added after the model. Changing the model's entries again would remove them.

    Args:
        model: A model with one input [N, H, W, 3] and one output.
        task: The task of the model.
        name: Name of the model.
        license: License of the model.
        mean: The model takes (pixel - mean) / std, for pixels from 0 to 255.
        std: See `mean`.
        size: (H, W).

    Returns:
        The model, otherwise unchanged.
    """
    model = _with_entry(model, BUFFER, _metadata(task, name, license, mean, std, size))
    return _with_file(model, LABELS_FILE, label_lines(task.labels)) if task.labels else model


def labels_in(model: bytes) -> tuple[str, ...]:
    """The labels that a TFLite model contains; empty: none."""
    try:
        with zipfile.ZipFile(io.BytesIO(model)) as archive:
            return tuple(archive.read(LABELS_FILE).decode("utf-8").splitlines())
    except (zipfile.BadZipFile, KeyError):
        return ()


def with_min_runtime(model: bytes, version: str) -> bytes:
    """A TFLite model that states the oldest TensorFlow Lite that can load it.

    Args:
        model: The model, which is otherwise unchanged.
        version: Version such as "2.20.0"; at most 15 characters, as in the converter.
    """
    return _with_entry(model, MIN_RUNTIME, version.encode().ljust(16, b"\0"))


def min_runtime(model: bytes) -> str:
    """The oldest TensorFlow Lite that can load a model, as the model states; empty: not stated.

    https://github.com/tensorflow/tensorflow/blob/master/tensorflow/compiler/mlir/lite/tools/versioning/runtime_version.cc
    """
    root = schema.Model.GetRootAs(model, 0)
    for entry in map(root.Metadata, range(root.MetadataLength())):
        if entry.Name() == MIN_RUNTIME.encode():
            stored = root.Buffers(entry.Buffer()).DataAsNumpy()
            return stored.tobytes().rstrip(b"\0").decode()
    return ""


def _with_entry(model, name, data):
    """The model with a metadata entry, which replaces an entry of the same name."""
    model_t = schema.ModelT.InitFromObj(schema.Model.GetRootAs(model, 0))
    buffer = schema.BufferT()
    buffer.data = list(data)
    model_t.buffers.append(buffer)
    entry = schema.MetadataT()
    entry.name, entry.buffer = name.encode(), len(model_t.buffers) - 1
    kept = [metadata for metadata in model_t.metadata or [] if metadata.name != entry.name]
    model_t.metadata = [*kept, entry]
    builder = flatbuffers.Builder(len(model) + 4096)
    builder.Finish(model_t.Pack(builder), file_identifier=b"TFL3")
    return bytes(builder.Output())


def _with_file(model, name, text) -> bytes:
    """The model with a file after it, uncompressed, because MediaPipe reads it in place."""
    content = io.BytesIO(model)
    with zipfile.ZipFile(content, "a", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo(name, _EARLIEST), text.encode("utf-8"))
    return content.getvalue()


def _metadata(task, name, license, mean, std, size) -> bytes:
    builder = flatbuffers.Builder(1024)
    low, high = (0.0 - mean) / std, (255.0 - mean) / std
    height, width = size
    image_size = _table(builder, {0: ("Uint32", width), 1: ("Uint32", height)})
    image = _table(builder, {0: ("Int8", RGB), 1: image_size})
    normalization = _table(builder, {0: _floats(builder, mean), 1: _floats(builder, std)})
    unit = _table(builder, {0: ("Uint8", NORMALIZATION), 1: normalization})
    statistics = _table(builder, {0: _floats(builder, high), 1: _floats(builder, low)})
    model_input = _table(
        builder,
        {
            0: builder.CreateString("image"),
            1: builder.CreateString("RGB image"),
            3: _table(builder, {0: ("Uint8", IMAGE_PROPERTIES), 1: image}),
            4: _tables(builder, unit),
            5: statistics,
        },
    )
    output: dict[int, int | tuple[str, int]] = {
        0: builder.CreateString(task.output),
        1: builder.CreateString(task.output_description),
        3: _table(builder, {0: ("Uint8", FEATURE_PROPERTIES), 1: _table(builder, {})}),
    }
    if task.labels:
        output[5] = _table(builder, {0: _floats(builder, 1.0), 1: _floats(builder, 0.0)})
        file: dict[int, int | tuple[str, int]] = {
            0: builder.CreateString(LABELS_FILE),
            1: builder.CreateString("a label of each number of the output"),
            2: ("Int8", TENSOR_AXIS_LABELS),
        }
        output[6] = _tables(builder, _table(builder, file))
    model_output = _table(builder, output)
    subgraph = _table(
        builder, {2: _tables(builder, model_input), 3: _tables(builder, model_output)}
    )
    root = _table(
        builder,
        {
            0: builder.CreateString(name),
            1: builder.CreateString(task.description),
            3: _tables(builder, subgraph),
            5: builder.CreateString(license),
            7: builder.CreateString(MIN_PARSER_VERSION),
        },
    )
    builder.Finish(root, file_identifier=IDENTIFIER)
    return bytes(builder.Output())


def _table(builder: flatbuffers.Builder, fields: dict[int, int | tuple[str, int]]) -> int:
    """A table of fields by index: (type, number), or the offset of an object."""
    builder.StartObject(max(fields, default=-1) + 1)
    for index, value in fields.items():
        if isinstance(value, tuple):
            type_name, number = value
            prepend: Callable = getattr(builder, f"Prepend{type_name}Slot")
            prepend(index, number, 0)
        else:
            builder.PrependUOffsetTRelativeSlot(index, value, 0)
    return builder.EndObject()


def _tables(builder: flatbuffers.Builder, table: int) -> int:
    """A vector of one table."""
    builder.StartVector(4, 1, 4)
    builder.PrependUOffsetTRelative(table)
    return builder.EndVector()


def _floats(builder: flatbuffers.Builder, number: float) -> int:
    """A vector of one float32."""
    builder.StartVector(4, 1, 4)
    builder.PrependFloat32(number)
    return builder.EndVector()
