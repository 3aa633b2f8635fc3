"""A classifier's training and quality, for metadata.json and the card (`classifier_card`)."""

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
        train_images: that the classifier was trained on.
        c: of the head's logistic regression.
        class_weights: of `settings.finetuning.CLASS_WEIGHTS`.
        temperature: that is folded into the head.
        quality: on the test images; None: there are none.
        tuned: the training of the whole encoder; None: the head alone was trained.
        comparison: with other features.
        labels_curve: of the head.
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
