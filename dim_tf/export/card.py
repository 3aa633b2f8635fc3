"""The model card: README.md of an export, for people who have only the folder."""

import json
import shlex
import string
from dataclasses import dataclass, field
from typing import Any

from dim_tf import markdown
from dim_tf.export import backbone_file, card_sections
from dim_tf.export.card_sections import TFLiteFile

_CARD = string.Template("""\
# $name

An image encoder, learned $method, with dim_tf.

- **Training data**: $training_data
- **Objective**: $objective
- **Encoder**: $encoder, $parameters parameters; $length.
$initial_weights- **Feature**: $feature
- **Licence**: $license
$note
${input_section}## Evaluation

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

$serving_section$tflite_section$integrity_section""")

_KNN_COMMAND = string.Template("""

To measure kNN again with this SavedModel and dim_tf, from the folder above $name (VERSION is the
number of the folder that this file is in; add `--data_dir` if the data set is elsewhere):

```
$command
```""")

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
_BACKBONE_CODE = """
# The trained Keras model alone; it takes pixels scaled by --input_scaling={scaling}, not in [0, 1]:
backbone = keras.models.load_model({file})
"""


@dataclass(frozen=True)
class ModelCardInfo:
    """What a model card and metadata.json say about an encoder.

    Attributes:
        training_data: One sentence on the training images.
        method: Completes "learned ...": from which kind of data, by which method.
        objective: One line on the objective.
        encoder: Name of the preset; empty: that of the class.
        initial_weights: One line on the weights before training; empty: random.
        steps: Number of training steps.
        batch_size: Images per step.
        fitted_images: Number of images on which an encoder without training steps was fitted; 0: it
            was trained.
        license: License of the encoder's weights; empty: not stated.
        note: One sentence for the card; empty: none.
        experiment: The settings of training.
        evaluation: The content of evaluation.json; empty: not measured.
        metrics: The metrics of the evaluation as Markdown, for the card; empty: not measured.
        feature_choice: Why the encoder returns its feature: the entry "feature" of evaluation.json;
            empty: the card says nothing about it.
    """

    training_data: str = ""
    method: str = "from unlabelled images by Deep InfoMax (Hjelm et al. 2019)"
    objective: str = ""
    encoder: str = ""
    initial_weights: str = ""
    steps: int = 0
    batch_size: int = 0
    fitted_images: int = 0
    license: str = ""
    note: str = ""
    experiment: dict[str, Any] = field(default_factory=dict)
    evaluation: dict[str, Any] = field(default_factory=dict)
    metrics: str = ""
    feature_choice: dict[str, Any] = field(default_factory=dict)


def render(
    metadata: dict[str, Any],
    metrics: str,
    files: list[TFLiteFile],
    checked: int,
    calibrated: int,
) -> str:
    """The card as Markdown.

    Args:
        metadata: The content of assets/metadata.json.
        metrics: The metrics of the evaluation as Markdown; empty: not measured.
        files: The TFLite files.
        checked: Number of images on which they were compared.
        calibrated: Number of images that gave int8 its ranges.
    """
    name = metadata["name"]
    return _CARD.substitute(
        name=markdown.escape(name),
        quoted=json.dumps(f"{name}/VERSION", ensure_ascii=False),
        backbone_code=_backbone_code(metadata),
        tflite_code=card_sections.tflite_code(metadata, files, metadata["feature"]["name"]),
        feature=_feature(metadata),
        feature_name=metadata["feature"]["name"],
        tflite_section=card_sections.tflite_section(
            files,
            checked,
            calibrated,
            metadata["channels"],
            "The cosine is that of the features with the Keras model's",
            "ImageEmbedder",
        ),
        training_data=markdown.escape(metadata["training_data"]) or "not stated",
        method=markdown.escape(metadata["method"]),
        objective=markdown.escape(metadata["objective"]) or "not stated",
        encoder=metadata["encoder"],
        parameters=f"{metadata['parameters']:,}",
        initial_weights=initial_weights(metadata),
        length=_length(metadata),
        license=markdown.escape(metadata["license"])
        or "not stated; ask whoever gave you this folder",
        note=f"- **Note**: {markdown.escape(metadata['note'])}\n" if metadata["note"] else "",
        input_section=card_sections.input_section(metadata),
        dimension=metadata["dimension"],
        metrics=(metrics or _NOT_MEASURED) + _knn_command(metadata),
        serving_section=card_sections.serving_section(name),
        integrity_section=card_sections.integrity_section(name),
    )


def _length(metadata):
    if metadata["fitted_images"]:
        return f"fitted on {metadata['fitted_images']:,} images"
    return f"{metadata['steps']:,} steps of {metadata['batch_size']} images"


def _knn_command(metadata):
    """The command that measures kNN with the SavedModel.

    Empty if kNN was not measured, or was measured on a folder, which readers of the card do not
    have.
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


def initial_weights(metadata: dict[str, Any]) -> str:
    """A line on the weights before training; empty if they were random.

    Args:
        metadata: The content of assets/metadata.json.
    """
    weights = metadata["initial_weights"]
    if not weights:
        return ""
    return (
        f"- **Initial weights**: {markdown.escape(weights)}. These weights may have been trained "
        "with labels, and have a licence of their own.\n"
    )


def _backbone_code(metadata):
    """How to load the Keras model; empty if the encoder is not a Keras model."""
    settings = metadata.get("backbone")
    if not settings:
        return ""
    return _BACKBONE_CODE.format(
        scaling=backbone_file.scaling_flag(settings["input_scaling"]),
        file=json.dumps(f"{metadata['name']}/VERSION/{backbone_file.FILE}", ensure_ascii=False),
    )


def _feature(metadata):
    """The encoder's feature, its size and why it was chosen; the values that decided it."""
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
