"""From labelled images to a classifier that is measured and can be exported."""

from dataclasses import replace

import keras
import numpy as np
import pytest
from small_export import SIZE

from dim_tf.data.splits import Split
from dim_tf.export.feature import Feature
from dim_tf.finetuning.comparison import FeaturePair
from dim_tf.finetuning.train_classifier import features_of, train_classifier
from dim_tf.settings.finetuning import FineTuningSettings
from dim_tf.system.errors import InputError
from keras_models import encoders

NAMES = ("dark", "bright")
FEATURE = Feature("global")


def encoder():
    keras.utils.set_random_seed(0)
    built = encoders.ConvNet((SIZE, SIZE, 3), ((4, 4, 2, 1),), (8,), 0, 5, name="encoder")
    built.build()
    return built


def split(count, seed, unlabelled=0):
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    brightness = 40 * labels[:, np.newaxis, np.newaxis, np.newaxis] + 40
    images = (brightness + rng.integers(0, 150, (count, SIZE, SIZE, 3))).astype(np.uint8)
    labels[:unlabelled] = -1
    images[:unlabelled] = 255 * (np.arange(unlabelled) % 2)[:, np.newaxis, np.newaxis, np.newaxis]
    return Split(images, labels)


TRAIN, TEST = split(46, 0, unlabelled=6), split(36, 1, unlabelled=4)
PIXELS = FeaturePair(*(x.images.reshape(len(x), -1).astype(np.float32) for x in (TRAIN, TEST)))


def train(folder, test=TEST, **settings):
    settings = FineTuningSettings(label_counts=(2, 10), draws=2, **settings)
    references = {"pixels": PIXELS} if test else None
    return train_classifier(
        encoder(),
        FEATURE,
        TRAIN,
        test,
        NAMES,
        settings,
        seed=0,
        augmentation="none",
        folder=folder,
        references=references,
    )


def test_a_head_alone_leaves_no_file_and_its_probabilities_are_those_of_the_export(tmp_path):
    trained = train(tmp_path / "run", layers="head")
    assert not (tmp_path / "run").exists()
    is_tested = TEST.labels >= 0
    features = features_of(encoder(), FEATURE, TEST.images[is_tested])
    exported = trained.head.probabilities(features)
    np.testing.assert_allclose(exported, trained.probabilities, atol=1e-5)
    assert trained.report["quality"]["images"] == 32
    assert trained.report["training"]["train_images"] == 32
    assert trained.temperature.images == 8
    assert [r["name"] for r in trained.report["comparison"]] == ["pixels"]
    assert [p["labels"] for p in trained.report["labels_curve"]] == [2, 10, 20]


def test_the_encoder_is_trained_and_compared_with_its_frozen_features(tmp_path):
    trained = train(tmp_path, layers="all", rounds=1, round_steps=4, batch_size=8)
    assert trained.tuned is not None
    is_tested = TEST.labels >= 0
    features = features_of(trained.tuned.classifier.encoder, FEATURE, TEST.images[is_tested])
    exported = trained.head.probabilities(features)
    np.testing.assert_allclose(exported, trained.probabilities, atol=1e-5)
    names = [r["name"] for r in trained.report["comparison"]]
    assert names == ["frozen_features", "pixels"]


def test_intervals_are_of_groups_of_test_images(tmp_path):
    grouped = replace(TEST, groups=np.arange(36) // 9)
    alone, together = (train(tmp_path, test=test, layers="head").report for test in (TEST, grouped))
    assert together["quality"]["accuracy"] == alone["quality"]["accuracy"]
    for part in (lambda r: [r["quality"]], lambda r: r["comparison"], lambda r: r["labels_curve"]):
        for of_groups, of_images in zip(part(together), part(alone), strict=True):
            assert of_groups["interval"] != of_images["interval"]


def test_without_test_images_nothing_is_measured(tmp_path):
    trained = train(tmp_path, test=None, layers="head")
    assert trained.probabilities is None
    assert set(trained.report) == {"training", "temperature"}


def test_images_without_labels_are_refused(tmp_path):
    settings = FineTuningSettings()
    with pytest.raises(InputError, match="these images have no labels, from which a classifier"):
        train_classifier(
            encoder(),
            FEATURE,
            Split(TRAIN.images, None),
            None,
            NAMES,
            settings,
            seed=0,
            augmentation="none",
            folder=tmp_path,
        )
