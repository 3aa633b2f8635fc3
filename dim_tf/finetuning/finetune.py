"""Fine-tuning: first a head on frozen features, then the whole encoder with it.

A head with random weights would change the features before it is any good. If the head is trained
first, accuracy on data unlike the training images is higher (Kumar et al. 2022,
https://arxiv.org/abs/2202.10054). Early layers learn more slowly than late ones (Howard & Ruder
2018, section 3.1, https://arxiv.org/abs/1801.06146; the factors are those of fastai's `fine_tune`).

After every round of training, the validation images are classified. Their loss is taken at its best
temperature, so that a network that only becomes more confident does not count as worse. The result
has the weights of the round with the smallest loss. Round 0 is the start of training: the head on
frozen features.
"""

import dataclasses
import hashlib
import json
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from dim_tf.data import pipeline
from dim_tf.data.splits import Split
from dim_tf.export.feature import Feature
from dim_tf.export.linear_head import LinearHead
from dim_tf.finetuning import class_weights
from dim_tf.finetuning.calibration import fit_temperature, negative_log_likelihood
from dim_tf.finetuning.image_classifier import ImageClassifier
from dim_tf.settings.finetuning import FineTuningSettings
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.files import atomic_write_text, make_folder
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.system.json_files import json_with_checksum, read_json
from dim_tf.system.signals import Stopped, StopSignal
from dim_tf.training import metrics_file
from dim_tf.training.callbacks import CheckpointCallback, MetricsLogger, StepCounter
from dim_tf.training.checkpoints import Checkpoints, restore_weights
from keras_models import optimizers
from keras_models.encoders import Encoder

ROUNDS_FILE = "rounds.json"
WARMUP_FRACTION = 0.1
# Settings that change only what is measured afterwards, not a step of training.
_OF_MEASUREMENTS = ("finetune_label_counts", "finetune_draws")
_NEVER = 2**62  # steps between checkpoints
_ADVICE = "make room and give the same command again, which continues from the last round"


@dataclass(frozen=True)
class Round:
    """The result on the validation images after some training.

    Attributes:
        step: Training steps before it.
        loss: Mean negative log-likelihood at `temperature`, each image weighted as in training.
        temperature: Temperature of the smallest unweighted loss.
        accuracy: Fraction of correct answers.
    """

    step: int
    loss: float
    temperature: float
    accuracy: float


@dataclass(frozen=True)
class FineTuned:
    """A trained classifier.

    Attributes:
        classifier: The classifier, with the weights of the best round.
        rounds: All rounds, from round 0.
        best: Number of the round with the smallest loss.
    """

    classifier: ImageClassifier
    rounds: tuple[Round, ...]
    best: int


def finetune(
    encoder: Encoder,
    feature: Feature,
    head: LinearHead,
    train: Split,
    validation: Split,
    settings: FineTuningSettings,
    *,
    seed: int,
    augmentation: str,
    folder: Path,
) -> FineTuned:
    """Trains an encoder and its head on labels until the validation loss stops falling.

    A step is a function of the weights, the seed and its number (`ObjectiveModel`), and so is its
    batch (`pipeline`). A run that was stopped or killed therefore continues to the same weights.
    Training uses one device.

    Args:
        encoder: Built, in float32; it is trained in place.
        feature: The feature that the head takes.
        head: A head trained on the features of the training images.
        train: The training images, all with labels.
        validation: Other images with labels; none of them is a test image.
        settings: How it is trained.
        seed: Seed of the order of the images, augmentation and dropout.
        augmentation: One of `registry.AUGMENTATIONS`.
        folder: Holds checkpoints, the best weights, metrics.jsonl and rounds.json. If it holds a
            run of the same data and settings, that run continues.

    Raises:
        InputError: The folder holds a run of other data or settings, or cannot be written.
        NonFiniteError: A loss or a weight is not finite.
        RunError: A file cannot be written.
        Stopped: SIGTERM or SIGINT arrived; a checkpoint was saved.
    """
    batch_size = min(settings.batch_size, len(train))
    per_round = max(pipeline.steps_per_epoch(len(train), batch_size), settings.round_steps)
    classifier = _compiled(encoder, feature, head, train, settings, seed, per_round)
    make_folder(folder, "--run_dir")
    identity = _identity(head, train, validation, settings, [seed, augmentation])
    run = _Run(classifier, validation, folder, identity, settings)
    step = run.restore()
    with translate_write_errors("metrics.jsonl", folder, _ADVICE):
        metrics_file.truncate_after(folder / "metrics.jsonl", step)
    counter = StepCounter(step, per_round)
    logger = MetricsLogger(counter, folder, batch_size, log_every=1)
    try:
        with StopSignal() as stop_signal:
            # Saves only when a signal asks to stop; rounds are saved here.
            saver = CheckpointCallback(counter, run.checkpoints, _NEVER, stop_signal)
            while not run.is_done:
                steps = per_round * len(run.rounds) - counter.step
                if steps > 0:  # else it was stopped after the last step of a round
                    classifier.stop_training = False
                    classifier.fit(
                        pipeline.training_batches(
                            train,
                            batch_size,
                            classifier.image_shape[-1],
                            seed,
                            counter.step,
                            augmentation,
                            with_labels=True,
                        ),
                        shuffle=False,
                        epochs=1,
                        steps_per_epoch=steps,
                        callbacks=[logger, saver],
                        verbose=0,
                    )
                if stop_signal.received:
                    saver.save()
                    raise Stopped(f"stopped at step {counter.step}, which is saved in {folder}")
                run.end_round(counter.step)
    finally:
        logger.close()
    run.restore_best()
    return FineTuned(classifier, tuple(run.rounds), run.best)


def _compiled(encoder, feature, head, train, settings, seed, per_round) -> ImageClassifier:
    """The classifier before its first step, with the learning rates of its layers."""
    weights = class_weights.of_kind(settings.class_weights, train.labels, len(head.label_names))
    classifier = ImageClassifier(
        encoder,
        len(head.label_names),
        head.multi_label,
        feature.name,
        feature.max_features,
        weights,
        seed,
        name="classifier",  # checkpoints hold the names of variables
    )
    steps = settings.rounds * per_round
    rate = optimizers.cosine(settings.learning_rate, steps, int(WARMUP_FRACTION * steps))
    classifier.compile(learning_rate=rate, jit_compile=False)
    classifier.build()
    classifier.set_head(head)
    early, late = classifier.rate_groups()
    optimizer = optimizers.inner(classifier.optimizer)
    optimizer.set_rate(early, settings.early_rate)
    optimizer.set_rate(late, settings.late_rate)
    return classifier


def _identity(head, train, validation, settings, more) -> str:
    """16 hex digits: a hash of what determines the run; the head stands for the features."""
    values = {n: v for n, v in settings.values().items() if n not in _OF_MEASUREMENTS}
    digest = hashlib.sha256(json.dumps([values, *more]).encode())
    for array in (head.kernel, head.bias, train.labels, validation.labels):
        digest.update(np.ascontiguousarray(array).tobytes())
    return digest.hexdigest()[:16]


class _Run:
    """The rounds of a run, with its checkpoints and its best weights.

    At the end of a round, rounds.json is written first, then the checkpoint, then the best weights.
    So after a checkpoint the round is recorded. Only the weights of the checkpoint's own round can
    be missing from the best weights, and `restore` then has them.
    """

    def __init__(
        self,
        classifier: ImageClassifier,
        validation: Split,
        folder: Path,
        identity: str,
        settings: FineTuningSettings,
    ):
        self.rounds: list[Round] = []
        self.checkpoints = Checkpoints(classifier, folder / "checkpoints", keep=2)
        self._best_weights = Checkpoints(classifier, folder / "best", keep=1)
        self._classifier = classifier
        self._validation = validation
        self._folder = folder
        self._identity = identity
        self._settings = settings

    @property
    def best(self) -> int:
        """Number of the round with the smallest loss; the first of several."""
        return min(range(len(self.rounds)), key=lambda n: self.rounds[n].loss)

    @property
    def is_done(self) -> bool:
        last = len(self.rounds) - 1
        return last >= self._settings.rounds or last - self.best >= self._settings.patience

    def restore(self) -> int:
        """Restores the newest checkpoint; returns its step. A new run measures round 0."""
        path = self._folder / ROUNDS_FILE
        if path.exists():
            content = read_json(path, "remove the folder to train anew")
            if content.get("identity") != self._identity:
                raise InputError(
                    f"{self._folder} holds a classifier of other data or settings; remove it to "
                    "train anew, or give another --run_dir"
                )
        step = self.checkpoints.restore()
        if path.exists():
            rounds = (Round(**entry) for entry in content["rounds"])
            self.rounds = [entry for entry in rounds if entry.step <= step]
        if not self.rounds:
            self.end_round(0)
        elif self.rounds[self.best].step == step:
            self._best_weights.save(step)
        return step

    def end_round(self, step: int) -> None:
        """Classifies the validation images and saves."""
        self.rounds.append(self._measure(step))
        content = {
            "identity": self._identity,
            "rounds": [dataclasses.asdict(entry) for entry in self.rounds],
        }
        with translate_write_errors(ROUNDS_FILE, self._folder, _ADVICE):
            atomic_write_text(self._folder / ROUNDS_FILE, json_with_checksum(content))
        self.checkpoints.save(step)
        if self.best == len(self.rounds) - 1:
            self._best_weights.save(step)

    def _measure(self, step) -> Round:
        labels = self._validation.labels
        assert labels is not None
        logits = self._classifier.logits_of(self._validation.images)
        temperature = fit_temperature(logits, labels).value
        weights = self._classifier.class_weights
        loss = negative_log_likelihood(
            logits,
            labels,
            1 / temperature,
            None if weights is None else class_weights.of_images(weights, labels),
        )
        entry = Round(step, loss, temperature, float(_is_right(logits, labels).mean()))
        say(
            f"finetune: round {len(self.rounds)}, step {step}: validation loss {entry.loss:.4f}, "
            f"accuracy {entry.accuracy:.4f}"
        )
        return entry

    def restore_best(self) -> None:
        """Gives the classifier the weights of the best round."""
        step = restore_weights(self._classifier, self._folder / "best")
        if step != self.rounds[self.best].step:
            raise RunError(
                f"{self._folder / 'best'} has the weights of step {step}, not of step "
                f"{self.rounds[self.best].step}, the best; remove {self._folder} to train anew"
            )


def _is_right(logits, labels):
    return (logits > 0) == (labels == 1) if labels.ndim == 2 else logits.argmax(axis=1) == labels
