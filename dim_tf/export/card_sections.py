"""Sections that the cards of exported encoders and classifiers share."""

import json
import shlex
import string
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any
from urllib.parse import quote

from dim_tf import markdown
from dim_tf.data.image_frame import ImageFrame
from dim_tf.registry import FEATURES

if TYPE_CHECKING:
    from dim_tf.export.tflite import Variant

_INPUT = string.Template("""\
## Input and output

Images, $colors, float32 [N, $height, $width, $channels]$values. $fitting

| signature | input | output |
|---|---|---|
$signatures

$encoded $invalid

""")
_INVALID = "Other images are an error; with `serving_bytes_valid` they have\n`valid` false."
_SERVING = string.Template("""\
TensorFlow Serving, from the folder above $name (to serve all models of that folder, use its
`serving/compose.yaml`):

```
docker run --rm -p 8501:8501 -v "$$PWD":/models:ro -e $model_name tensorflow/serving
echo '{"signature_name": "serving_bytes", "instances": [{"b64": "'$$(base64 -w0 FILE)'"}]}' |
    curl $address -d @-
```

""")
_INTEGRITY = string.Template("""\
## Integrity

To check that the files are as they were exported, in this folder without dim_tf, or from the folder
above $name with it, which also finds extra files:

```
sha256sum --check SHA256SUMS
python -m dim_tf.export.verify $word
```

All settings and metrics: `assets/metadata.json`.
""")
_TIME = "; the\ntime is of one image on one thread of the machine that exported"
_TFLITE_SECTION = string.Template("""\
## TFLite files

$fidelity, on $checked images of the test split$time.

$files

Dtype: of input and output. MediaPipe: whether its $task loads the file. TensorFlow Lite:
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
_RANGES = """

Files of dtype int8 or uint8 compute in int8. The ranges come from {calibrated} images of the
training split; the scales of input and output are in the file."""
_TFLITE_CODE = """
# TFLite, without TensorFlow:
from ai_edge_litert.interpreter import Interpreter

run = Interpreter({file}).get_signature_runner()
{variable} = run(images=images)["{output}"]
"""
_TFLITE_CODE_SINGLE_IMAGE = """
# TFLite, image by image; input and output are float32, converted by the file's scales:
from dim_tf.export import tflite

{variable} = tflite.runner({file})(images)["{output}"]
"""


@dataclass(frozen=True)
class TFLiteFile:
    """A row in the card's table of TFLite files.

    Attributes:
        variant: Which file it is.
        size: Its size in bytes.
        fidelity: How closely it reproduces the Keras model: values by name.
        milliseconds: Time for one image; None: not timed.
        runtime: The oldest TensorFlow Lite that loads it; empty: not stated.
    """

    variant: "Variant"
    size: int
    fidelity: dict[str, str]
    milliseconds: float | None
    runtime: str


def input_section(metadata: dict[str, Any], invalid: str = _INVALID) -> str:
    """The images that the model takes, and its signatures.

    Args:
        metadata: The content of assets/metadata.json.
        invalid: A sentence on encoded images that cannot be decoded.
    """
    frame = ImageFrame.of(metadata["image_size"], metadata["channels"], metadata["fit"])
    return _INPUT.substitute(
        colors=_colors(metadata),
        values="" if "value_scaling" in metadata else " in [0, 1]",
        encoded=_encoded(metadata),
        invalid=invalid,
        channels=frame.channels,
        height=frame.height,
        width=frame.width,
        fitting=_FITTING[frame.fit].format(frame=frame),
        signatures="\n".join(
            f"| `{name}` | {_tensors(s['inputs'])} | {_tensors(s['outputs'])} |"
            for name, s in metadata["signatures"].items()
        ),
    )


def serving_section(name: str) -> str:
    """How to serve the model of that name with TensorFlow Serving."""
    return _SERVING.substitute(
        name=markdown.escape(name),
        model_name=shlex.quote(f"MODEL_NAME={name}"),
        address=shlex.quote(f"http://localhost:8501/v1/models/{quote(name)}:predict"),
    )


def integrity_section(name: str) -> str:
    """How to check the files of the model of that name."""
    return _INTEGRITY.substitute(name=markdown.escape(name), word=shlex.quote(f"{name}/VERSION"))


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


def tflite_code(metadata: dict[str, Any], files: list[TFLiteFile], output: str) -> str:
    """Python code that runs one of the files, preferably one for any batch size; empty if none.

    Args:
        metadata: The content of assets/metadata.json.
        files: The TFLite files.
        output: The output that the code reads.
    """
    if not files:
        return ""
    any_batch = [f.variant.file for f in files if not f.variant.single_image]
    file = (any_batch or [files[0].variant.file])[0]
    code = _TFLITE_CODE if any_batch else _TFLITE_CODE_SINGLE_IMAGE
    path = json.dumps(f"{metadata['name']}/VERSION/{file}", ensure_ascii=False)
    variable = "features" if output in FEATURES else output
    return code.format(file=path, output=output, variable=variable)


def tflite_section(
    files: list[TFLiteFile],
    checked: int,
    calibrated: int,
    channels: int,
    fidelity: str,
    task: str,
) -> str:
    """The table of the TFLite files; empty if there are none.

    Args:
        files: The TFLite files.
        checked: Number of images on which they were compared.
        calibrated: Number of images that gave int8 its ranges.
        channels: Channels of the images.
        fidelity: A sentence on the values of `TFLiteFile.fidelity`, without the full stop.
        task: The MediaPipe task.
    """
    if not files:
        return ""
    takes_rgb = channels == 3  # MediaPipe feeds only RGB
    measures = list(files[0].fidelity)
    is_timed = all(f.milliseconds is not None for f in files)
    time = ["ms an image"] if is_timed else []
    header = ["file", "size, MB", *measures, *time, "batch", "dtype", "MediaPipe"]
    rows = [
        [
            f"`{f.variant.file}`",
            f"{f.size / 1e6:.2f}",
            *(f.fidelity[name] for name in measures),
            *([f"{f.milliseconds:.2f}"] if is_timed else []),
            "one" if f.variant.single_image else "any",
            f.variant.dtype,
            "yes" if f.variant.for_mediapipe and takes_rgb else "no",
            f.runtime or "not stated",
        ]
        for f in files
    ]
    is_quantized = any(f.variant.precision == "int8" for f in files)
    return _TFLITE_SECTION.substitute(
        fidelity=fidelity,
        task=task,
        checked=checked,
        time=_TIME if is_timed else "",
        files=markdown.table([*header, "TensorFlow Lite"], rows),
        ranges=_RANGES.format(calibrated=calibrated) if is_quantized else "",
    )


def _tensors(specs: dict[str, str]) -> str:
    return ", ".join(f"`{name}` {spec}" for name, spec in specs.items())
