"""Settings of --mode=finetune: a classifier from an encoder and labels."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar

from dim_tf.settings.config_field import Settings, config_field
from dim_tf.system.errors import InputError

HEAD, ALL = "head", "all"
CLASS_WEIGHTS = ("none", "balanced")
ENCODER_EXPORT = ("quantized", "neighbours_index", "tflite_endpoints")  # not of a classifier


def check_classifier_export(settings: Mapping[str, Any]) -> None:
    """Checks that no setting is given that only an exported encoder has.

    Args:
        settings: By flag name; empty or false means not given.

    Raises:
        InputError: One is given.
    """
    asked = [name for name in ENCODER_EXPORT if settings.get(name)]
    if asked:
        raise InputError(
            f"--{asked[0]} is of an exported encoder, and a classifier gives probabilities; leave "
            "it out, or give it with --mode=export"
        )


@dataclass(frozen=True)
class FineTuningSettings(Settings):
    """What part of a classifier is trained, for how long, and what it is compared with."""

    PREFIX: ClassVar[str] = "finetune_"

    layers: str = config_field(
        ALL,
        "What is trained: head, a linear head on frozen features; all, the head first, then the "
        "whole encoder with it, if that lowers the validation loss.",
        choices=(HEAD, ALL),
        hyperparameter=False,
    )
    class_weights: str = config_field(
        "none",
        "Weights of classes in the loss: none; balanced, each class counts as much as every other.",
        choices=CLASS_WEIGHTS,
        hyperparameter=False,
    )
    validation_fraction: float = config_field(
        0.2,
        "Fraction of the labelled training images used for early stopping and the temperature, "
        "drawn class by class; no test image is used for these.",
        above=0,
        maximum=0.5,
        hyperparameter=False,
    )
    learning_rate: float = config_field(
        1e-3,
        "Highest learning rate of the head while the encoder is trained.",
        details="It rises over the first tenth of the steps and falls to 0 along a cosine.",
        above=0,
        maximum=10.0,
        hyperparameter=False,
    )
    late_rate: float = config_field(
        0.1,
        "Learning rate of the second half of the encoder's layers, relative to the head's.",
        minimum=0,
        maximum=1.0,
        hyperparameter=False,
    )
    early_rate: float = config_field(
        0.01,
        "Learning rate of the first half of the encoder's layers, relative to the head's.",
        minimum=0,
        maximum=1.0,
        hyperparameter=False,
    )
    batch_size: int = config_field(
        64,
        "Images per step; all training images if there are fewer.",
        minimum=2,
        maximum=2**20,
        hyperparameter=False,
    )
    rounds: int = config_field(
        30,
        "Largest number of rounds; after each one the validation images are classified.",
        details="A round is an epoch, or --finetune_round_steps if an epoch is shorter.",
        minimum=1,
        maximum=10**6,
        hyperparameter=False,
    )
    round_steps: int = config_field(
        20,
        "Least number of steps of a round.",
        minimum=1,
        hyperparameter=False,
    )
    patience: int = config_field(
        5,
        "Training ends after this many rounds without a lower validation loss.",
        minimum=1,
        maximum=10**6,
        hyperparameter=False,
    )
    label_counts: tuple[int, ...] = config_field(
        (1, 2, 5, 10, 20, 50, 100, 200, 500, 1000),
        "Labels of each class (of attributes: labelled images) for which the model card states the "
        "accuracy of the head; ascending.",
        minimum=1,
        hyperparameter=False,
    )
    draws: int = config_field(
        3,
        "Random draws of the labels for each of --finetune_label_counts.",
        minimum=1,
        maximum=1000,
        hyperparameter=False,
    )

    def check(self):
        """Checks that the label counts ascend, and that early layers have no higher rate."""
        if list(self.label_counts) != sorted(set(self.label_counts)):
            raise InputError(
                f"--finetune_label_counts={','.join(map(str, self.label_counts))}; expected "
                "ascending numbers"
            )
        if self.early_rate > self.late_rate:
            raise InputError(
                f"--finetune_early_rate={self.early_rate:g} is higher than "
                f"--finetune_late_rate={self.late_rate:g}; early layers are the more general ones: "
                "give at most as much"
            )
