"""The training and quality of a classifier, for metadata.json and the card (`classifier_card`)."""

import dataclasses
from collections.abc import Sequence
from typing import Any

from dim_tf.finetuning.calibration import Temperature
from dim_tf.finetuning.comparison import LabelsPoint, ReferenceAccuracy
from dim_tf.finetuning.finetune import FineTuned
from dim_tf.finetuning.quality import Quality


def report(
    *,
    train_images: int,
    c: float,
    class_weights: str,
    temperature: Temperature,
    quality: Quality | None,
    tuned: FineTuned | None = None,
    comparison: Sequence[ReferenceAccuracy] = (),
    labels_curve: Sequence[LabelsPoint] = (),
) -> dict[str, Any]:
    """The entry "classifier" of metadata.json.

    Args:
        train_images: Number of images that the classifier was trained on.
        c: C of the head's logistic regression.
        class_weights: One of `settings.finetuning.CLASS_WEIGHTS`.
        temperature: The temperature that is folded into the head.
        quality: Quality on the test images; None: there are none.
        tuned: The training of the whole encoder; None: only the head was trained.
        comparison: The same head on other features.
        labels_curve: The accuracy of the head by number of labels.
    """
    content: dict[str, Any] = {
        "training": {
            "train_images": train_images,
            "c": c,
            "class_weights": class_weights,
            "rounds": [dataclasses.asdict(entry) for entry in tuned.rounds] if tuned else [],
            "best_round": tuned.best if tuned else 0,
        },
        "temperature": dataclasses.asdict(temperature),
    }
    if quality is not None:
        content["quality"] = dataclasses.asdict(quality)
    if comparison:
        content["comparison"] = [dataclasses.asdict(reference) for reference in comparison]
    if labels_curve:
        content["labels_curve"] = [dataclasses.asdict(point) for point in labels_curve]
    return content
