"""A classifier's card: what was measured, escaped names, only files of its folder."""

import pytest

from dim_tf.export import classifier, classifier_card
from dim_tf.export.card_sections import TFLiteFile

METADATA = {
    **{"name": "birds", "license": "", "encoder": "basic32x32", "method": "from images"},
    **{"parameters": 1234, "image_size": 32, "channels": 3, "fit": "crop", "note": "<b>"},
    **{"training_data": "photos", "initial_weights": "", "max_pixels": 99, "pixel_range": [0, 9]},
    **{"signatures": {}, "labels": ["owl", "a|b"], "multi_label": False},
    **{"labelled_data": "20 photos.", "classifier": {}},
}
LABEL = {"name": "owl", "images": 10, "accuracy": 0.9, "interval": (0.6, 0.98), "precision": None}
QUALITY = {
    "images": 20,
    "accuracy": 0.85,
    "interval": (0.64, 0.948),
    "balanced_accuracy": 0.8,
    "calibration": {"error": 0.031, "bins": [{}] * 15},
    "labels": [{**LABEL, "recall": 0.9}, {**LABEL, "name": "a|b", "recall": 0.8}],
    "confusion": [[9, 1], [2, 8]],
}
REPORT = {
    "training": {
        "train_images": 16,
        "c": 3.0,
        "class_weights": "none",
        "rounds": [{"step": 0}, {"step": 20}, {"step": 40}],
        "best_round": 1,
    },
    "temperature": {"value": 1.5, "images": 4, "at_limit": False},
    "quality": QUALITY,
    "comparison": [
        {
            "name": "random_weights",
            "accuracy": 0.5,
            "interval": (0.3, 0.7),
            "gain": 0.35,
            "gain_interval": (0.1, 0.6),
        }
    ],
    "labels_curve": [
        {
            **{"labels": 2, "images": 4, "accuracy": 0.6, "interval": (0.4, 0.8)},
            **{"lowest": 0.55, "highest": 0.65, "draws": 3},
        }
    ],
}


def render(files=(), **changes):
    return classifier_card.render(METADATA | {"classifier": REPORT} | changes, list(files), 32, 256)


def test_it_states_what_was_measured():
    card = render()
    for line in (
        "2 classes, on an encoder learned from images",
        r"- **Labels**: owl, a\|b",
        "a linear head on 16 images (logistic regression, C = 3, class weights none); then the "
        "whole encoder with it, 20 steps of 40 that were tried. The logits are divided by the "
        "temperature 1.5, fitted on 4 validation images.",
        "accuracy **85.0 % (64.0 to 94.8 %)** (fraction of the images), mean recall 80.0 %.",
        "Expected calibration error 3.1 % (15 bins of equal width)",
        "| owl | 10 | 90.0 % | 60.0 to 98.0 % | – |",
        r"|  | owl | a\|b |",
        "| owl | 9 | 1 |",
        "| random weights | 50.0 % | 30.0 to 70.0 % | +35.0 | +10.0 to +60.0 |",
        "| labels a class | images | accuracy |",
        "| 2 | 4 | 60.0 % | 40.0 to 80.0 % | 55.0 % to 65.0 % | 3 |",
        r"- **Note**: \<b\>",
        "All settings and metrics: `assets/metadata.json`.",
    ):
        assert line in card


def test_training_that_did_not_help_and_too_few_validation_images_are_said():
    training = REPORT["training"] | {"best_round": 0}
    temperature = {"value": 0.05, "images": 2, "at_limit": True}
    card = render(classifier=REPORT | {"training": training, "temperature": temperature})
    assert "; training the whole encoder with it did not lower the validation loss." in card
    assert "fitted on 2 validation images, a limit: there are too few of them." in card
    head_alone = REPORT["training"] | {"rounds": []}
    assert "encoder with it" not in render(classifier=REPORT | {"training": head_alone})


def test_an_unmeasured_classifier_has_a_card_too():
    card = render(classifier={})
    assert "## Evaluation\n\nNot measured.\n\n## Usage" in card
    assert "- **Training**: not stated" in card


def test_attributes_have_no_confusion_and_their_recall():
    card = render(multi_label=True, classifier=REPORT | {"quality": QUALITY | {"confusion": []}})
    assert "2 attributes" in card
    assert "by class (rows)" not in card
    assert "| labelled images | images | accuracy |" in card
    assert "| owl | 10 | 90.0 % | 60.0 to 98.0 % | – | 90.0 % |" in card


def test_of_many_classes_the_most_frequent_confusions_are_shown():
    count = classifier_card.MAX_LABELS + 5
    names = [f"class {n}" for n in range(count)]
    labels = [{**LABEL, "name": name, "recall": 0.9} for name in names]
    confusion = [[9 * (row == column) for column in range(count)] for row in range(count)]
    confusion[7][3] = 4
    quality = QUALITY | {"labels": labels, "confusion": confusion}
    card = render(labels=names, classifier=REPORT | {"quality": quality})
    assert "| class 7 | class 3 | 4 |" in card
    assert "class 104 |" not in card
    assert "5 more: `assets/metadata.json`" in card
    assert "and 85 more (`assets/labels.txt`)" in card


@pytest.mark.parametrize("variants", [(), classifier.VARIANTS[:1], classifier.VARIANTS])
def test_it_loads_only_files_that_are_there(variants):
    cells = {"mean distance": "0.00010", "same label": "100.0 %"}
    files = [TFLiteFile(variant, 10**6, cells, 1.0, "1.14.0") for variant in variants]
    card = render(files)
    for variant in classifier.VARIANTS:
        assert (variant.file in card) == (variant in variants)
    assert ("ImageClassifierOptions" in card) == bool(variants)
    assert ("| mean distance | same label |" in card) == bool(variants)
    assert ('probabilities = run(images=images)["probabilities"]' in card) == bool(variants)
