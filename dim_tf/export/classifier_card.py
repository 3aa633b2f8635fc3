"""The card of a classifier: README.md of its export, for people who have only the folder."""

import json
import string
from typing import Any

from dim_tf import markdown
from dim_tf.export import card, card_sections
from dim_tf.export import classifier_tables as tables
from dim_tf.export.card_sections import TFLiteFile
from dim_tf.export.classifier_saved_model import PROBABILITIES

MAX_LABELS = 100  # in the table of labels
MAX_CONFUSION = 20  # classes of a full confusion matrix; with more, the most frequent confusions

_CARD = string.Template("""\
# $name

An image classifier with dim_tf: $labels, on an encoder learned $method.

- **Labels**: $label_names
- **Labelled data**: $labelled_data
- **Training**: $training
- **Encoder**: $encoder, $parameters parameters, trained on: $training_data
$initial_weights- **Licence**: $license
$note
${input_section}$output

$quality## Usage

VERSION is the number of the folder that this file is in.

```python
import tensorflow as tf

classifier = tf.saved_model.load($quoted)  # or tensorflow_hub.load
probabilities = classifier(images)  # [N, $count]
answer = classifier.signatures["serving_default"](images=images)
answer["classes"]  # names, string [N]
$tflite_code```

$mediapipe$serving_section$tflite_section$integrity_section""")

_OUTPUT = {
    False: """\
`probabilities` sum to 1, in the order of `assets/labels.txt`; `classes` has the likeliest
class.""",
    True: """\
`probabilities` has one for each attribute, in the order of `assets/labels.txt`: above 1/2 the
attribute is present. `classes` has the likeliest attribute.""",
}
_INVALID = (
    "With `serving_bytes_valid` an image that cannot be decoded has probabilities of 0 and an\n"
    "empty class."
)
_MEDIAPIPE = string.Template("""\
MediaPipe, with the labels that are in the file:

```python
from mediapipe.tasks.python import BaseOptions, vision

options = vision.ImageClassifierOptions(base_options=BaseOptions(model_asset_path=$file))
classifier = vision.ImageClassifier.create_from_options(options)
```

""")
_NOT_MEASURED = "## Evaluation\n\nNot measured.\n\n"


def render(metadata: dict[str, Any], files: list[TFLiteFile], checked: int, calibrated: int) -> str:
    """The card as Markdown.

    Args:
        metadata: The content of assets/metadata.json.
        files: The TFLite files.
        checked: Number of images on which they were compared.
        calibrated: Number of images that gave int8 its ranges.
    """
    name, labels, report = metadata["name"], metadata["labels"], metadata["classifier"]
    kind = "attributes" if metadata["multi_label"] else "classes"
    return _CARD.substitute(
        name=markdown.escape(name),
        labels=f"{len(labels):,} {kind}",
        method=markdown.escape(metadata["method"]),
        label_names=_label_names(labels),
        labelled_data=markdown.escape(metadata["labelled_data"]) or "not stated",
        training=_training(report),
        encoder=metadata["encoder"],
        parameters=f"{metadata['parameters']:,}",
        training_data=markdown.escape(metadata["training_data"]) or "not stated",
        initial_weights=card.initial_weights(metadata),
        license=markdown.escape(metadata["license"])
        or "not stated; ask whoever gave you this folder",
        note=f"- **Note**: {markdown.escape(metadata['note'])}\n" if metadata["note"] else "",
        input_section=card_sections.input_section(metadata),
        output=f"{_OUTPUT[metadata['multi_label']]}\n{_INVALID}",
        quality=_quality(report, kind),
        quoted=json.dumps(f"{name}/VERSION", ensure_ascii=False),
        count=len(labels),
        tflite_code=card_sections.tflite_code(metadata, files, PROBABILITIES),
        mediapipe=_mediapipe(metadata, files),
        serving_section=card_sections.serving_section(name),
        tflite_section=card_sections.tflite_section(
            files,
            checked,
            calibrated,
            metadata["channels"],
            "The distance is that of the probabilities from the Keras model's, half the sum of the "
            "absolute\ndifferences (of attributes their mean)",
            "ImageClassifier",
        ),
        integrity_section=card_sections.integrity_section(name),
    )


def _label_names(labels):
    shown = ", ".join(markdown.escape(label) for label in labels[:MAX_CONFUSION])
    more = len(labels) - MAX_CONFUSION
    return f"{shown} and {more:,} more (`assets/labels.txt`)" if more > 0 else shown


def _mediapipe(metadata, files):
    """How to load one of the files in MediaPipe; empty if it can load none of them."""
    loaded = [f.variant.file for f in files if f.variant.for_mediapipe]
    if not loaded or metadata["channels"] != 3:
        return ""
    path = f"{metadata['name']}/VERSION/{loaded[0]}"
    return _MEDIAPIPE.substitute(file=json.dumps(path, ensure_ascii=False))


def _training(report):
    training = report.get("training")
    if not training:
        return "not stated"
    head = (
        f"a linear head on {training['train_images']:,} images (logistic regression, "
        f"C = {training['c']:g}, class weights {training['class_weights']})"
    )
    if training["rounds"]:
        step = training["rounds"][training["best_round"]]["step"]
        head += (
            f"; then the whole encoder with it, {step:,} steps of "
            f"{training['rounds'][-1]['step']:,} that were tried"
            if training["best_round"]
            else "; training the whole encoder with it did not lower the validation loss"
        )
    temperature = report["temperature"]
    at_limit = ", a limit: there are too few of them" if temperature["at_limit"] else ""
    return (
        f"{head}. The logits are divided by the temperature {temperature['value']:.3g}, fitted on "
        f"{temperature['images']:,} validation images{at_limit}."
    )


def _quality(report, kind):
    """Everything that was measured on test images."""
    quality = report.get("quality")
    if not quality:
        return _NOT_MEASURED
    calibration = quality["calibration"]
    of_kind = "mean over attributes" if kind == "attributes" else "fraction of the images"
    sentences = [
        f"On {quality['images']:,} test images, of which none was used in training, stopping or "
        f"calibration: accuracy **{tables.percent(quality['accuracy'])} "
        f"({tables.interval(quality['interval'])})** ({of_kind}), mean recall "
        f"{tables.percent(quality['balanced_accuracy'])}.",
        f"Expected calibration error {tables.percent(calibration['error'])} "
        f"({len(calibration['bins'])} bins of equal width): the mean distance of "
        "confidence and accuracy.",
        "95 % intervals: by Wilson's score for fractions, else by the bootstrap over test images; "
        "where these are in groups, such as frames of a video, by the bootstrap over groups.",
    ]
    sections = ["## Evaluation\n\n" + "\n".join(sentences)]
    sections += [_labels(quality), _confusion(quality)]
    sections += [_table(tables.comparison(report)), _table(tables.labels_curve(report))]
    return "\n\n".join(section for section in sections if section) + "\n\n"


def _labels(quality):
    labels = tables.labels(quality)
    more = len(labels.rows) - MAX_LABELS
    text = _table(labels._replace(rows=labels.rows[:MAX_LABELS]))
    return text + f" {more:,} more: `assets/metadata.json`." * (more > 0)


def _confusion(quality):
    matrix = quality["confusion"]
    if not matrix:
        return ""
    names = [markdown.escape(label["name"]) for label in quality["labels"]]
    if len(matrix) <= MAX_CONFUSION:
        rows = [[name, *map(str, row)] for name, row in zip(names, matrix, strict=True)]
        return "Images by class (rows) and answer (columns):\n\n" + markdown.table(
            ["", *names], rows
        )
    pairs = [
        (count, row, column)
        for row, counts in enumerate(matrix)
        for column, count in enumerate(counts)
        if count and row != column
    ]
    rows = [
        [names[row], names[column], str(count)]
        for count, row, column in sorted(pairs, key=lambda pair: -pair[0])[:MAX_CONFUSION]
    ]
    return "The most frequent confusions:\n\n" + markdown.table(["class", "answer", "images"], rows)


def _table(table):
    """The table in Markdown, with its note; empty if there is none."""
    if table is None:
        return ""
    rows = [[markdown.escape(cell) for cell in row] for row in table.rows]
    return f"{markdown.table(table.columns, rows)}\n\n{table.note}"
