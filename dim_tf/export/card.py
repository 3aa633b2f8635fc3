"""The model card: README.md of an export, for people who were sent the folder and nothing else."""

import json
import re
import shlex
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dim_tf.evaluation.measure import Kind
from dim_tf.evaluation.report import values
from dim_tf.export import backbone_file

if TYPE_CHECKING:
    from dim_tf.export.lite import Variant

_CARD = string.Template("""\
# $name

An image encoder, learned $learned, with dim_tf.

- **Learned from**: $data
- **Objective**: $objective
- **Encoder**: $encoder, $parameters parameters; $steps steps of $batch_size images.
$began_with- **Licence**: $licence
$note
## Input and output

Images, RGB, float32 [N, $size, $size, 3] in [0, 1]. To fit another image: its largest centred
square, resized with antialiasing (what the signatures that take encoded images do).

| signature | takes | gives |
|---|---|---|
$signatures

Encoded images are JPEG (grayscale, RGB, CMYK; larger ones at a reduced scale) or PNG (any; alpha is
dropped; of 16 bits a channel, the values $low to $high become 0 to 255) of at most $max_pixels
pixels, turned as EXIF or XMP says. Others are refused with an error; by `serving_bytes_valid`, with
`valid` false.

## What it reached

$evaluation

## How to load it

VERSION is the number of the folder that this file is in.

```python
import tensorflow as tf

encoder = tf.saved_model.load($quoted)  # or tensorflow_hub.load
features = encoder(images)  # [N, $dimension]
named = encoder.signatures["endpoints"](images=images)  # all endpoints

# In Keras 3, also to fine-tune:
from dim_tf.export import EncoderLayer

layer = EncoderLayer($quoted, trainable=True)

# In Keras 3 without dim_tf, not to fine-tune (its weights' names stop Keras' optimizers):
import keras

layer = keras.layers.TFSMLayer(
    $quoted, call_endpoint="serving_default", trainable=False
)
$backbone_code$lite_code```

TensorFlow Serving, from the folder above $name (`serving/compose.yaml`, which each export writes
there, is for all encoders of the folder):

```
docker run --rm -p 8501:8501 -v "$$PWD":/models:ro -e $model_name tensorflow/serving
echo '{"signature_name": "serving_bytes", "instances": [{"b64": "'$$(base64 -w0 FILE)'"}]}' |
    curl $address -d @-
```

${lite_files}## Whether it is whole

As it was exported, to the last byte? In the folder itself without dim_tf, or with it, which also
sees files that do not belong there:

```
sha256sum --check SHA256SUMS
python -m dim_tf.export.verify $word
```

Other settings and all figures: `assets/metadata.json`.
""")

_AGAIN = string.Template("""

The kNN figures again, by this SavedModel, with dim_tf and from the folder above $name (VERSION is
the number of the folder that this file is in; `--data_dir`: where the data set is):

```
$command
```""")

_LITE_FILES = string.Template("""\
## TFLite files

Compared with the Keras model on $checked images of the test split; time of one image on one thread
of the machine that exported.

| file | size, MB | mean cosine | ms an image | images | numbers | MediaPipe | TensorFlow Lite |
|---|---|---|---|---|---|---|---|
$files

Images: how many at once. Numbers: of input and output. MediaPipe: whether its ImageEmbedder loads
the file. TensorFlow Lite: the oldest that does.$ranges

""")
_RANGES = """

Files of int8 or uint8 numbers compute in int8. Its ranges come from {calibrated} images of the
training split; the scales of input and output are in the file."""
_FLOORS = {
    "random_encoder": "random weights",
    "start_weights": "start weights",
    "pixels": "raw pixels",
}
_BACKBONE_CODE = """
# The trained Keras model alone; it takes pixels as --input_scaling={scaling} says, not in [0, 1]:
backbone = keras.models.load_model({file})
"""
_LITE_CODE = """
# TFLite, without TensorFlow:
from ai_edge_litert.interpreter import Interpreter

run = Interpreter({file}).get_signature_runner()
features = run(images=images)["global"]
"""
_LITE_CODE_OF_ONE_IMAGE = """
# TFLite, image by image, from and to float32 by the file's scales:
from dim_tf.export import lite

features = lite.runner({file})(images)["global"]
"""


@dataclass(frozen=True)
class LiteFile:
    """What is said of a TFLite file.

    Attributes:
        variant: what it is.
        size: in bytes.
        cosine: the mean one of its features and the Keras model's.
        milliseconds: an image.
        runtime: the oldest TensorFlow Lite that loads it; empty: it does not say.
    """

    variant: "Variant"
    size: int
    cosine: float
    milliseconds: float
    runtime: str


def render(metadata: dict[str, Any], files: list[LiteFile], checked: int, calibrated: int) -> str:
    """The card, Markdown.

    Args:
        metadata: what assets/metadata.json tells.
        files: the TFLite files.
        checked: images that they were compared on.
        calibrated: images that gave int8 its ranges.
    """
    signatures = metadata["signatures"]
    name = metadata["name"]
    return _CARD.substitute(
        name=text(name),
        quoted=json.dumps(f"{name}/VERSION", ensure_ascii=False),
        word=shlex.quote(f"{name}/VERSION"),
        backbone_code=_backbone_code(metadata),
        lite_code=_lite_code(name, files),
        lite_files=_lite_files(files, checked, calibrated),
        model_name=shlex.quote(f"MODEL_NAME={name}"),
        address=shlex.quote(f"http://localhost:8501/v1/models/{quote(name)}:predict"),
        data=text(metadata["data"]) or "not stated",
        learned=text(metadata["learned"]),
        objective=text(metadata["objective"]) or "not stated",
        encoder=metadata["encoder"],
        parameters=f"{metadata['parameters']:,}",
        began_with=_began_with(metadata),
        steps=f"{metadata['steps']:,}",
        batch_size=metadata["batch_size"],
        licence=text(metadata["licence"]) or "not stated; ask whoever gave you this folder",
        note=f"- **Note**: {text(metadata['note'])}\n" if metadata["note"] else "",
        size=metadata["image_size"],
        dimension=metadata["dimension"],
        max_pixels=f"{metadata['max_pixels']:,}",
        low=metadata["pixel_range"][0],
        high=metadata["pixel_range"][1],
        signatures="\n".join(
            f"| `{name}` | {_tensors(s['inputs'])} | {_tensors(s['outputs'])} |"
            for name, s in signatures.items()
        ),
        evaluation=evaluation_table(metadata["evaluation"]) + _again(metadata),
    )


def _again(metadata):
    """The command that measures kNN by the SavedModel.

    Nothing where it was not measured, and of a folder, which those who read the card have not.
    """
    dataset = metadata["experiment"].get("dataset", "folder")
    if dataset == "folder" or not {"knn", "knn_auc"} & metadata["evaluation"].keys():
        return ""
    flags = [
        f"--{setting}={metadata['experiment'][setting]}"
        for setting in ("dataset", "image_size", "validation_fraction")
        if metadata["experiment"].get(setting)
    ]
    flags += [
        f"--encoder_path={metadata['name']}/VERSION",
        "--name=again",
        "--measures=knn",
        "--noreferences",
    ]
    command = shlex.join(["python", "-m", "dim_tf.main", "--mode=evaluate", *flags])
    return _AGAIN.substitute(command=command, name=text(metadata["name"]))


def _began_with(metadata):
    """A line of the weights that training began with; nothing where they were random."""
    weights = metadata.get("began_with")
    if not weights:
        return ""
    return (
        f"- **Began with**: {text(weights)}. These weights may have been learned with labels, and "
        "have a licence of their own.\n"
    )


def _backbone_code(metadata):
    """How to load the Keras model, where the encoder has one."""
    settings = metadata.get("backbone")
    if not settings:
        return ""
    return _BACKBONE_CODE.format(
        scaling=backbone_file.scaling_flag(settings["input_scaling"]),
        file=json.dumps(f"{metadata['name']}/VERSION/{backbone_file.FILE}", ensure_ascii=False),
    )


def _lite_code(name, files):
    """How to run one of the files, of those that take any batch if there is one."""
    if not files:
        return ""
    any_batch = [f.variant.file for f in files if not f.variant.fixed]
    file = (any_batch or [files[0].variant.file])[0]
    code = _LITE_CODE if any_batch else _LITE_CODE_OF_ONE_IMAGE
    return code.format(file=json.dumps(f"{name}/VERSION/{file}", ensure_ascii=False))


def _lite_files(files, checked, calibrated):
    """Their table; nothing without any."""
    if not files:
        return ""
    lines = (
        f"| `{f.variant.file}` | {f.size / 1e6:.2f} | {f.cosine:.5f} | {f.milliseconds:.2f} "
        f"| {'one' if f.variant.fixed else 'any'} | {f.variant.type} "
        f"| {'yes' if f.variant.for_mediapipe else 'no'} | {f.runtime or 'not stated'} |"
        for f in files
    )
    is_quantized = any(f.variant.precision == "int8" for f in files)
    return _LITE_FILES.substitute(
        checked=checked,
        files="\n".join(lines),
        ranges=_RANGES.format(calibrated=calibrated) if is_quantized else "",
    )


def text(told: str) -> str:
    """A name or a sentence from elsewhere as Markdown shows it: no tag, link or code of its own."""
    return re.sub(r"([\\`*\[\]<>|#])", r"\\\1", " ".join(told.split()))


def _tensors(described: dict[str, str]) -> str:
    return ", ".join(f"`{name}` {what}" for name, what in described.items())


def evaluation_table(evaluation: dict[str, Any]) -> str:
    """The measures of an evaluation.json, Markdown; where it is empty, a sentence that says so."""
    if not evaluation:
        return "Not measured: the export was made without an evaluation of the same training step."
    floors = {title: evaluation.get("floors", {}).get(name) for name, title in _FLOORS.items()}
    floors = {title: floor for title, floor in floors.items() if floor}
    uncertainty = evaluation.get("uncertainty", {})
    titles = ["measure", "endpoint", "this encoder", "95 % interval", *floors]
    lines = [_row(titles), "|---" * len(titles) + "|"]
    for measure, described in evaluation.get("measures", {}).items():
        kind = Kind(**described)
        for endpoint, value in evaluation.get(measure, {}).items():
            spread = (uncertainty.get(measure) or {}).get(endpoint) or {}
            beside = [_of_floor(floor.get(measure, {}), endpoint) for floor in floors.values()]
            figures = [_figure(kind, one) for one in (value, *beside)]
            figures.insert(1, _interval(kind, spread))
            lines.append(_row([text(measure), text(endpoint), *figures]))
    lines += ["", _notes(evaluation, floors)]
    return "\n".join(lines)


def _notes(evaluation, floors):
    protocol = evaluation.get("protocol", {})
    sentences = []
    if count := protocol.get("test_images"):
        sentences.append(f"Measured on {text(str(count))} test images.")
    if any(evaluation.get("uncertainty", {}).values()):
        sentences.append("Interval: how far another test set of this size might move the figure.")
    if _FLOORS["start_weights"] in floors:
        weights = text(str(protocol.get("start_weights") or "weights from elsewhere"))
        sentences.append(f"Start weights: training began with {weights}.")
    if pooled := protocol.get("pooled"):
        sentences.append(f"Large endpoints were averaged: {text(str(pooled))}.")
    return "\n".join([*sentences, "Protocol: `assets/metadata.json`."])


def _of_floor(values_, endpoint):
    """Raw pixels are one endpoint, which stands beside all of an encoder's."""
    return values_.get(endpoint, values_.get("pixels"))


def _row(cells: list[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _figure(kind: Kind, value: float | None) -> str:
    return "" if value is None else values.amount(kind, value, " %")


def _interval(kind: Kind, uncertainty: dict[str, Any]) -> str:
    ends = values.interval(uncertainty)
    return f"{values.amount(kind, ends[0], '')} to {_figure(kind, ends[1])}" if ends else ""
