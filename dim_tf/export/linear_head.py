"""The linear head of a classifier: maps an encoder's feature to probabilities of labels."""

import dataclasses
from dataclasses import dataclass

import numpy as np
import scipy.special


@dataclass(frozen=True)
class LinearHead:
    """A linear classifier on a feature, without any standardisation before it.

    Attributes:
        kernel: float32 [F, C].
        bias: float32 [C].
        label_names: Names of the C classes or attributes.
        multi_label: Whether the labels are attributes, of which an image can have several.

    Raises:
        ValueError: The shapes do not fit together.
    """

    kernel: np.ndarray
    bias: np.ndarray
    label_names: tuple[str, ...]
    multi_label: bool = False

    def __post_init__(self):
        labels = len(self.label_names)
        if self.kernel.ndim != 2 or self.kernel.shape[1] != labels or self.bias.shape != (labels,):
            raise ValueError(
                f"a kernel {self.kernel.shape} and a bias {self.bias.shape} for {labels} labels"
            )

    def logits(self, features: np.ndarray) -> np.ndarray:
        """Features, float32 [N, F], to logits, float32 [N, C]."""
        return features @ self.kernel + self.bias

    def probabilities(self, features: np.ndarray) -> np.ndarray:
        """Features, float32 [N, F], to probabilities, float32 [N, C]."""
        return probabilities(self.logits(features), self.multi_label)

    def at_temperature(self, temperature: float) -> "LinearHead":
        """The head whose logits are those of this head, divided by a temperature."""
        kernel, bias = (x.astype(np.float64) / temperature for x in (self.kernel, self.bias))
        return dataclasses.replace(
            self, kernel=kernel.astype(np.float32), bias=bias.astype(np.float32)
        )


def probabilities(logits: np.ndarray, multi_label: bool) -> np.ndarray:
    """The probabilities for logits, both float [N, C].

    Args:
        logits: Logits of classes, or of attributes.
        multi_label: Whether they are attributes, each with its own probability. The probabilities
            of classes sum to 1.
    """
    return scipy.special.expit(logits) if multi_label else scipy.special.softmax(logits, axis=1)
