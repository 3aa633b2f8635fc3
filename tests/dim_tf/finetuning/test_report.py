"""What metadata.json says of a classifier is JSON, and the card reads it."""

import json

import numpy as np

from dim_tf.finetuning import comparison, quality
from dim_tf.finetuning.calibration import Temperature
from dim_tf.finetuning.comparison import FeaturePair
from dim_tf.finetuning.finetune import FineTuned, Round
from dim_tf.finetuning.report import report

NAMES = ("cat", "dog")


def test_a_report_of_everything():
    rng = np.random.default_rng(0)
    labels, test_labels = np.arange(40) % 2, np.arange(30) % 2
    pair = FeaturePair(*(rng.normal(size=(n, 3)).astype(np.float32) for n in (40, 30)))
    probabilities = np.eye(2)[test_labels] * 0.8 + 0.1
    correct = quality.correctness(probabilities, test_labels)
    content = report(
        train_images=32,
        c=1.0,
        class_weights="balanced",
        temperature=Temperature(1.2, 0.5, 0.4, 8, False),
        quality=quality.measure(probabilities, test_labels, NAMES, None),
        tuned=FineTuned(None, (Round(0, 0.6, 1.0, 0.5), Round(20, 0.5, 1.1, 0.6)), 1),
        comparison=comparison.compare(
            correct, {"pixels": pair}, labels, test_labels, NAMES, groups=None
        ),
        labels_curve=comparison.labels_curve(
            pair, labels, test_labels, NAMES, groups=None, counts=(2,)
        ),
    )
    read = json.loads(json.dumps(content, allow_nan=False))
    assert read["quality"]["accuracy"] == 1
    assert read["training"]["rounds"][1] == {
        "step": 20,
        "loss": 0.5,
        "temperature": 1.1,
        "accuracy": 0.6,
    }
    assert [point["labels"] for point in read["labels_curve"]] == [2, 20]
    assert read["comparison"][0]["name"] == "pixels"


def test_a_head_without_test_images():
    temperature = Temperature(1.2, 0.5, 0.4, 8, False)
    content = report(
        train_images=32, c=1.0, class_weights="none", temperature=temperature, quality=None
    )
    assert set(content) == {"training", "temperature"}
    assert content["training"]["rounds"] == []
