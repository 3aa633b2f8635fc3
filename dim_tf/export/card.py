"""The model card: README.md of an export, for people who have only the folder."""

import json
import shlex
import string
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dim_tf import markdown
from dim_tf.data.image_frame import ImageFrame
from dim_tf.export import backbone_file

if TYPE_CHECKING:
    from dim_tf.export.tflite import Variant

_CARD = string.Template("""\
# $name

An image encoder, learned $method, with dim_tf.

- **Training data**: $training_data
- **Objective**: $objective
- **Encoder**: $encoder, $parameters parameters; $steps steps of $batch_size images.
$initial_weights- **Feature**: $feature
- **Licence**: $license
$note
## Input and output

Images, $colors, float32 [N, $height, $width, $channels]$values. $fitting

| signature | input | output |
|---|---|---|
$signatures

$encoded Other images are an error; with `serving_bytes_valid` they have
`valid` false.

## Evaluation

$metrics

## Usage

VERSION is the number of the folder that this file is in.

```python
import tensorflow as tf

encoder = tf.saved_model.load($quoted)  # or tensorflow_hub.load
features = encoder(images)  # [N, $dimension], $feature_name
endpoints = encoder.signatures["endpoints"](images=images)  # all endpoints

# In Keras 3, also to fine-tune:
from dim_tf.export import EncoderLayer

layer = EncoderLayer($quoted, trainable=True)

# In Keras 3 without dim_tf, not to fine-tune (its weights' names stop Keras' optimizers):
import keras

layer = keras.layers.TFSMLayer(
    $quoted, call_endpoint="serving_default", trainable=False
)
$backbone_code$tflite_code```

TensorFlow Serving, from the folder above $name (to serve all encoders of that folder, use its
`serving/compose.yaml`):

```
docker run --rm -p 8501:8501 -v "$$PWD":/models:ro -e $model_name tensorflow/serving
echo '{"signature_name": "serving_bytes", "instances": [{"b64": "'$$(base64 -w0 FILE)'"}]}' |
    curl $address -d @-
```

${tflite_section}## Integrity

To check that the files are as they were exported, in this folder without dim_tf, or from the folder
above $name with it, which also finds extra files:

```
sha256sum --check SHA256SUMS
python -m dim_tf.export.verify $word
```

All settings and metrics: `assets/metadata.json`.
""")

_KNN_COMMAND = string.Template("""

To measure kNN again with this SavedModel and dim_tf, from the folder above $name (VERSION is the
number of the folder that this file is in; add `--data_dir` if the data set is elsewhere):

```
$command
```""")

_TFLITE_SECTION = string.Template("""\
## TFLite files

The cosine is that of the features with the Keras model's, on $checked images of the test split; the
time is of one image on one thread of the machine that exported.

| file | size, MB | mean cosine | ms an image | batch | dtype | MediaPipe | TensorFlow Lite |
|---|---|---|---|---|---|---|---|
$files

Dtype: of input and output. MediaPipe: whether its ImageEmbedder loads the file. TensorFlow Lite:
the oldest version that loads it.$ranges

""")
_FITTING = {
    "crop": """\
Crop other images to the largest centred
part of that shape and resize it with antialiasing, as the signatures for encoded images do.""",
    "pad": """\
Resize other images with antialiasing so
that they fit into {frame} pixels, centre them, and repeat their edges outwards, as the signatures
for encoded images do.""",
    "stretch": """\
Resize other images to {frame} pixels with
antialiasing, whatever their shape, as the signatures for encoded images do.""",
}
_ENCODED_PICTURES = """\
Encoded images are JPEG (grayscale, RGB, CMYK; larger ones at a reduced scale) or PNG (any; alpha is
dropped; of 16 bits a channel, the values {low} to {high} become 0 to 255) of at most {max_pixels:,}
pixels, turned as EXIF or XMP says."""
_ENCODED_ARRAYS = """\
Encoded images are .npy files of uint8, uint16 or float32, [H, W, {channels}] in C order, of at most
{max_pixels:,} pixels."""
_FEATURES = {
    "global": "the endpoint global",
    "fc": "the endpoint fc, the last hidden layer",
    "conv": "the endpoint conv, the last convolution, flattened",
    "local_pooled": "the mean of the endpoint local over its locations",
}
_METRICS = {
    "knn_and_linear_probe": "Mean accuracy of k-NN and a linear probe",
    "knn_auc_and_linear_probe_auc": "Mean AUC of k-NN and a linear probe",
}
_NOT_MEASURED = "Not measured: there is no evaluation of the same training step."
_RANGES = """

Files of dtype int8 or uint8 compute in int8. The ranges come from {calibrated} images of the
training split; the scales of input and output are in the file."""
_BACKBONE_CODE = """
# The trained Keras model alone; it takes pixels scaled by --input_scaling={scaling}, not in [0, 1]:
backbone = keras.models.load_model({file})
"""
_TFLITE_CODE = """
# TFLite, without TensorFlow:
from ai_edge_litert.interpreter import Interpreter

run = Interpreter({file}).get_signature_runner()
features = run(images=images)["{feature}"]
"""
_TFLITE_CODE_SINGLE_IMAGE = """
# TFLite, image by image; input and output are float32, converted by the file's scales:
from dim_tf.export import tflite

features = tflite.runner({file})(images)["{feature}"]
"""


@dataclass(frozen=True)
class ModelCardInfo:
    """What a model card and metadata.json say about an encoder.

    Attributes:
        training_data: one sentence on the training images.
        method: completes "learned ...": from which kind of data, by which method.
        objective: one line on the objective.
        encoder: the preset's name; empty: that of the class.
        initial_weights: one line on the weights before training; empty: random.
        steps: of training.
        batch_size: images in a step.
        license: of the encoder's weights; empty: not stated.
        note: one sentence for the card; empty: none.
        experiment: the settings of training.
        evaluation: the content of evaluation.json; empty: not measured.
        metrics: Markdown of the evaluation's metrics, for the card; empty: not measured.
        feature_choice: why the encoder gives its feature: the entry "feature" of evaluation.json;
            empty: nothing is said of it.
    """

    training_data: str = ""
    method: str = "from unlabelled images by Deep InfoMax (Hjelm et al. 2019)"
    objective: str = ""
    encoder: str = ""
    initial_weights: str = ""
    steps: int = 0
    batch_size: int = 0
    license: str = ""
    note: str = ""
    experiment: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    metrics: str = ""
    feature_choice: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class TFLiteFile:
    """A row of the card's table of TFLite files.

    Attributes:
        variant: of the file.
        size: in bytes.
        cosine: the mean cosine of its features with the Keras model's.
        milliseconds: for one image.
        runtime: the oldest TensorFlow Lite that loads it; empty: not stated.
    """

    variant: "Variant"
    size: int
    cosine: float
    milliseconds: float
    runtime: str


def render(
    metadata: dict[str, Any],
    metrics: str,
    files: list[TFLiteFile],
    checked: int,
    calibrated: int,
) -> str:
    """The card, Markdown.

    Args:
        metadata: the content of assets/metadata.json.
        metrics: Markdown of the evaluation's metrics; empty: not measured.
        files: the TFLite files.
        checked: images that they were compared on.
        calibrated: images that gave int8 its ranges.
    """
    signatures = metadata["signatures"]
    name = metadata["name"]
    frame = ImageFrame.of(metadata["image_size"], metadata["channels"], metadata["fit"])
    return _CARD.substitute(
        name=markdown.escape(name),
        quoted=json.dumps(f"{name}/VERSION", ensure_ascii=False),
        word=shlex.quote(f"{name}/VERSION"),
        backbone_code=_backbone_code(metadata),
        tflite_code=_tflite_code(metadata, files),
        feature=_feature(metadata),
        feature_name=metadata["feature"]["name"],
        tflite_section=_tflite_section(files, checked, calibrated, frame.channels),
        model_name=shlex.quote(f"MODEL_NAME={name}"),
        address=shlex.quote(f"http://localhost:8501/v1/models/{quote(name)}:predict"),
        training_data=markdown.escape(metadata["training_data"]) or "not stated",
        method=markdown.escape(metadata["method"]),
        objective=markdown.escape(metadata["objective"]) or "not stated",
        encoder=metadata["encoder"],
        parameters=f"{metadata['parameters']:,}",
        initial_weights=_initial_weights(metadata),
        steps=f"{metadata['steps']:,}",
        batch_size=metadata["batch_size"],
        license=markdown.escape(metadata["license"])
        or "not stated; ask whoever gave you this folder",
        note=f"- **Note**: {markdown.escape(metadata['note'])}\n" if metadata["note"] else "",
        colors=_colors(metadata),
        values="" if "value_scaling" in metadata else " in [0, 1]",
        encoded=_encoded(metadata),
        channels=frame.channels,
        height=frame.height,
        width=frame.width,
        fitting=_FITTING[frame.fit].format(frame=frame),
        dimension=metadata["dimension"],
        signatures="\n".join(
            f"| `{name}` | {_tensors(s['inputs'])} | {_tensors(s['outputs'])} |"
            for name, s in signatures.items()
        ),
        metrics=(metrics or _NOT_MEASURED) + _knn_command(metadata),
    )


def _colors(metadata):
    if "value_scaling" not in metadata:
        return {1: "grey", 3: "RGB"}[metadata["channels"]]
    ranges = zip(*metadata["value_scaling"].values(), strict=True)
    shown = ", ".join(f"{low:g} to {high:g}" for low, high in ranges)
    return f"arrays of the values of training (by channel {shown} become 0 to 1 inside)"


def _encoded(metadata):
    template = _ENCODED_ARRAYS if "value_scaling" in metadata else _ENCODED_PICTURES
    low, high = metadata["pixel_range"]
    return template.format(
        low=low, high=high, max_pixels=metadata["max_pixels"], channels=metadata["channels"]
    )


def _knn_command(metadata):
    """How to measure kNN with the SavedModel.

    Empty where kNN was not measured, or on a folder, which readers of the card do not have.
    """
    dataset = metadata["experiment"].get("dataset", "folder")
    if dataset == "folder" or not {"knn", "knn_auc"} & metadata["evaluation"].keys():
        return ""
    flags = [
        f"--{setting}={_flag_value(metadata['experiment'][setting])}"
        for setting in ("dataset", "image_size", "fit", "validation_fraction")
        if metadata["experiment"].get(setting, "crop") not in (0, "crop")
    ]
    flags += [
        f"--encoder_path={metadata['name']}/VERSION",
        "--name=again",
        "--measures=knn",
        "--noreferences",
    ]
    command = shlex.join(["python", "-m", "dim_tf.main", "--mode=evaluate", *flags])
    return _KNN_COMMAND.substitute(command=command, name=markdown.escape(metadata["name"]))


def _flag_value(value):
    return ",".join(map(str, value)) if isinstance(value, tuple | list) else value


def _initial_weights(metadata):
    """A line on the weights before training; empty where they were random."""
    weights = metadata["initial_weights"]
    if not weights:
        return ""
    return (
        f"- **Initial weights**: {markdown.escape(weights)}. These weights may have been trained "
        "with labels, and have a licence of their own.\n"
    )


def _backbone_code(metadata):
    """How to load the Keras model; empty where the encoder is none."""
    settings = metadata.get("backbone")
    if not settings:
        return ""
    return _BACKBONE_CODE.format(
        scaling=backbone_file.scaling_flag(settings["input_scaling"]),
        file=json.dumps(f"{metadata['name']}/VERSION/{backbone_file.FILE}", ensure_ascii=False),
    )


def _feature(metadata):
    """What the encoder gives, how large it is and why; the values that it was chosen by."""
    choice = metadata["feature"]
    sentences = [
        f"`{choice['name']}`, {metadata['dimension']:,} numbers an image: "
        f"{_FEATURES[choice['name']]}."
    ]
    if choice.get("reason"):
        sentences.append(f"Why this one: {markdown.escape(choice['reason'])}.")
    if choice.get("validation"):
        values = ", ".join(
            f"{name} {value:.3f} ({choice['dimensions'][name]:,} numbers)"
            for name, value in choice["validation"].items()
        )
        sentences.append(
            f"{_METRICS[choice['metric']]}, of {choice['images']:,} training images that were left "
            f"out in turn: {values}."
        )
    return "\n  ".join(sentences)


def _tflite_code(metadata, files):
    """How to run one of the files, preferably one for any batch size."""
    if not files:
        return ""
    any_batch = [f.variant.file for f in files if not f.variant.single_image]
    file = (any_batch or [files[0].variant.file])[0]
    code = _TFLITE_CODE if any_batch else _TFLITE_CODE_SINGLE_IMAGE
    path = json.dumps(f"{metadata['name']}/VERSION/{file}", ensure_ascii=False)
    return code.format(file=path, feature=metadata["feature"]["name"])


def _tflite_section(files, checked, calibrated, channels):
    """The table of the TFLite files; empty without any."""
    if not files:
        return ""
    takes_rgb = channels == 3  # which alone MediaPipe feeds
    lines = (
        f"| `{f.variant.file}` | {f.size / 1e6:.2f} | {f.cosine:.5f} | {f.milliseconds:.2f} "
        f"| {'one' if f.variant.single_image else 'any'} | {f.variant.dtype} "
        f"| {'yes' if f.variant.for_mediapipe and takes_rgb else 'no'} "
        f"| {f.runtime or 'not stated'} |"
        for f in files
    )
    is_quantized = any(f.variant.precision == "int8" for f in files)
    return _TFLITE_SECTION.substitute(
        checked=checked,
        files="\n".join(lines),
        ranges=_RANGES.format(calibrated=calibrated) if is_quantized else "",
    )


def _tensors(specs: dict[str, str]) -> str:
    return ", ".join(f"`{name}` {spec}" for name, spec in specs.items())
