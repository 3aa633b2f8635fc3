"""The encoder is trained with its head, stopped early, and resumed exactly."""

import dataclasses
import json
import os
import signal

import keras
import numpy as np
import pytest
from small_export import SIZE

from dim_tf.data.splits import Split
from dim_tf.export.feature import Feature
from dim_tf.export.linear_head import LinearHead
from dim_tf.finetuning import finetune as module
from dim_tf.finetuning.finetune import finetune
from dim_tf.finetuning.image_classifier import ImageClassifier
from dim_tf.settings.finetuning import FineTuningSettings
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.signals import Stopped
from keras_models import encoders

NAMES = ("dark", "bright")
FEATURE = Feature("global")
SETTINGS = FineTuningSettings(
    batch_size=8, rounds=3, round_steps=8, patience=10, learning_rate=0.02, early_rate=0.1
)


def split(count, seed, multi_label=False):
    """Dark and bright images, in noise that hides which they are from an untrained head."""
    rng = np.random.default_rng(seed)
    labels = np.arange(count) % 2
    brightness = 60 * labels[:, np.newaxis, np.newaxis, np.newaxis] + 40
    images = (brightness + rng.integers(0, 80, (count, SIZE, SIZE, 3))).astype(np.uint8)
    return Split(images, np.stack([labels, 1 - labels], axis=1) if multi_label else labels)


def small_encoder():
    keras.utils.set_random_seed(0)
    shape = (SIZE, SIZE, 3)
    encoder = encoders.ConvNet(shape, ((4, 4, 2, 1),), (8,), 0, 5, name="encoder")
    encoder.build()
    return encoder


TRAIN, VALIDATION = split(24, 0), split(16, 1)


def zero_head(labels=2, multi_label=False):
    names = ("dark", "bright", "third")[:labels]
    return LinearHead(
        np.zeros((5, labels), np.float32), np.zeros(labels, np.float32), names, multi_label
    )


def train(folder, settings=SETTINGS, train=TRAIN, validation=VALIDATION, head=None, seed=0):
    return finetune(
        small_encoder(),
        FEATURE,
        head or zero_head(),
        train,
        validation,
        settings,
        seed=seed,
        augmentation="natural",
        folder=folder,
    )


@pytest.fixture(scope="module")
def trained(tmp_path_factory):
    folder = tmp_path_factory.mktemp("run") / "finetune"
    return folder, train(folder)


def test_rounds_lower_the_validation_loss_and_the_best_weights_are_restored(trained):
    _, tuned = trained
    assert [r.step for r in tuned.rounds] == [0, 8, 16, 24]
    assert tuned.rounds[0].loss == pytest.approx(np.log(2))
    assert tuned.rounds[tuned.best].loss < 0.5
    assert tuned.rounds[tuned.best].loss == min(r.loss for r in tuned.rounds)
    logits = tuned.classifier.logits_of(VALIDATION.images)
    accuracy = (logits.argmax(axis=1) == VALIDATION.labels).mean()
    assert accuracy == tuned.rounds[tuned.best].accuracy >= 0.75


def test_the_whole_encoder_is_trained(trained):
    after = trained[1].classifier.encoder.trainable_variables
    for variable, before in zip(after, small_encoder().trainable_variables, strict=True):
        assert (variable.numpy() != before.numpy()).any()


def test_a_run_that_was_stopped_ends_with_the_same_weights(trained, tmp_path, monkeypatch):
    """By a signal in the middle of a round, and by a kill while the round is being saved."""

    class StopAt(module.CheckpointCallback):
        def on_train_batch_end(self, batch, logs=None):
            if self._counter.step == 12:
                os.kill(os.getpid(), signal.SIGTERM)
            super().on_train_batch_end(batch, logs)

    with monkeypatch.context() as patch:
        patch.setattr(module, "CheckpointCallback", StopAt)
        with pytest.raises(Stopped, match="stopped at step 12, which is saved"):
            train(tmp_path)

    class Killed(BaseException):
        pass

    def killed(self, step):
        raise Killed

    with monkeypatch.context() as patch:
        patch.setattr(module.Checkpoints, "save", killed)
        with pytest.raises(Killed):
            train(tmp_path)
    assert len(json.loads((tmp_path / "rounds.json").read_text())["rounds"]) == 3
    tuned = train(tmp_path)
    assert tuned.rounds == trained[1].rounds
    weights = zip(tuned.classifier.weights, trained[1].classifier.weights, strict=True)
    for ours, theirs in weights:
        np.testing.assert_array_equal(ours.numpy(), theirs.numpy())


@pytest.mark.parametrize("measured", [{}, {"label_counts": (3,)}, {"draws": 2}])
def test_a_run_that_is_done_is_not_trained_again(trained, monkeypatch, measured):
    monkeypatch.setattr(ImageClassifier, "fit", None)
    again = train(trained[0], dataclasses.replace(SETTINGS, **measured))
    assert again.rounds == trained[1].rounds
    np.testing.assert_array_equal(
        again.classifier.logits_of(VALIDATION.images),
        trained[1].classifier.logits_of(VALIDATION.images),
    )


def test_a_folder_of_other_settings_or_labels_is_refused(trained):
    other = dataclasses.replace(SETTINGS, learning_rate=0.5)
    for arguments in ({"settings": other}, {"validation": split(18, 1)}, {"seed": 1}):
        with pytest.raises(
            InputError,
            match="of other data or settings; remove it to train anew, or give another --run_dir",
        ):
            train(trained[0], **arguments)


def test_best_weights_of_another_round_are_found(trained, tmp_path, monkeypatch):
    monkeypatch.setattr(module, "restore_weights", lambda *_: 7)
    with pytest.raises(RunError, match="has the weights of step 7, not of step"):
        train(trained[0])


def test_without_a_lower_loss_the_head_on_frozen_features_is_kept(tmp_path):
    """Labels that the images say nothing of, and rates that wreck the encoder."""
    settings = dataclasses.replace(SETTINGS, learning_rate=5.0, late_rate=1.0, patience=2)
    wrong = dataclasses.replace(VALIDATION, labels=1 - VALIDATION.labels)
    tuned = train(tmp_path, settings, validation=wrong)
    assert tuned.best == 0
    assert len(tuned.rounds) == 3
    np.testing.assert_array_equal(tuned.classifier.head.kernel.numpy(), 0)
    for variable, start in zip(
        tuned.classifier.encoder.weights, small_encoder().weights, strict=True
    ):
        np.testing.assert_array_equal(variable.numpy(), start.numpy())


def test_layers_take_their_own_rates(tmp_path):
    """With a rate of 0 the early layers keep their weights."""
    settings = dataclasses.replace(SETTINGS, early_rate=0.0, rounds=1)
    tuned = train(tmp_path, settings)
    early, late = tuned.classifier.rate_groups()
    start = [v.numpy() for v in small_encoder().trainable_variables]
    assert len(early) + len(late) == len(start)
    assert tuned.best == 1
    for number, variable in enumerate(early + late):
        assert np.array_equal(variable.numpy(), start[number]) == (number < len(early))


def test_attributes_and_weights_of_classes(tmp_path):
    settings = dataclasses.replace(SETTINGS, rounds=1, class_weights="balanced")
    tuned = train(
        tmp_path,
        settings,
        split(24, 0, multi_label=True),
        split(16, 1, multi_label=True),
        zero_head(multi_label=True),
    )
    assert tuned.classifier.class_weights.shape == (2, 2)
    assert tuned.rounds[tuned.best].loss < tuned.rounds[0].loss == pytest.approx(np.log(2))
    assert tuned.classifier.linear_head(NAMES).multi_label


@pytest.mark.parametrize("multi_label", [False, True])
def test_a_class_weight_multiplies_the_loss_of_its_images(multi_label):
    weights = np.array([[1.0, 2.0], [3.0, 4.0]]) if multi_label else np.array([1.0, 3.0])
    data = split(8, 0, multi_label)
    losses = []
    for factor in (None, weights):
        classifier = ImageClassifier(small_encoder(), 2, multi_label, class_weights=factor)
        classifier.compile()
        classifier.build()
        classifier.set_head(zero_head(multi_label=multi_label))
        images = data.images.astype(np.float32) / 127.5 - 1
        losses.append(classifier.test_on_batch(images, data.labels, return_dict=True)["loss"])
    assert losses[0] == pytest.approx(np.log(2))
    assert losses[1] == pytest.approx(np.log(2) * weights.mean())


def test_a_keras_file_holds_the_classifier(tmp_path, trained):
    path = tmp_path / "classifier.keras"
    trained[1].classifier.save(path)
    loaded = keras.models.load_model(path, safe_mode=True)
    images = VALIDATION.images.astype(np.float32) / 127.5 - 1
    np.testing.assert_array_equal(
        loaded.predict_on_batch(images), trained[1].classifier.predict_on_batch(images)
    )
