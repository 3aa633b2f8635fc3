"""What every term of the objective returns."""

from typing import NamedTuple

import tensorflow as tf


class TermOutput(NamedTuple):
    """What a term says of a batch.

    Attributes:
        encoder_loss: float32 scalar, to be minimised by the encoder (and by the term's variables
            that are not the adversary's).
        adversary_loss: float32 scalar, to be minimised by the term's `adversary_variables`; None
            where there are none. Its gradient does not reach the encoder.
        metrics: float32 scalars to be logged.
    """

    encoder_loss: tf.Tensor
    adversary_loss: tf.Tensor | None
    metrics: dict[str, tf.Tensor]
