"""Stateless random numbers of one training step.

The noise of the global batch is drawn from (seed, purpose, step), and each replica takes the rows
of its examples, so a step is the same on any number of replicas. The purpose is part of the seed:
renaming it changes the numbers.
"""

import hashlib
from dataclasses import dataclass

import tensorflow as tf

from keras_models.distribute import replicas


def derive_seed(seed: int, purpose: str) -> int:
    """A 31-bit seed for one purpose; other purposes and seeds give unrelated numbers."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


@dataclass(frozen=True)
class StepRandom:
    """The random numbers of one step.

    Attributes:
        seed: Seed of the experiment.
        step: Number of the step, an int scalar tensor.
    """

    seed: int
    step: tf.Tensor

    def uniform(self, purpose: str, examples, shape: tuple[int, ...]) -> tf.Tensor:
        """Uniform numbers in [0, 1) for this replica's examples.

        Args:
            purpose: What the numbers are for; equal purposes in one step give equal numbers.
            examples: Number of this replica's examples, an int or an int scalar tensor.
            shape: Shape of one example's numbers.

        Returns:
            float32 [examples, *shape].
        """
        numbers = self._uniform(purpose, [examples * replicas.count(), *shape])
        first = replicas.index() * examples
        return numbers[first : first + examples]

    def choice(self, purpose: str, total: int, size: int) -> tf.Tensor:
        """`size` distinct numbers from 0 ... total - 1, the same on every replica: int32 [size].

        Raises:
            ValueError: `size` is less than 1 or more than `total`.
        """
        if not 1 <= size <= total:
            raise ValueError(f"cannot choose {size} of {total}; give a number from 1 to {total}")
        return tf.math.top_k(self._uniform(purpose, [total]), size).indices

    def fold_in(self, purpose: str) -> "StepRandom":
        """Independent random numbers of the same step, for what is drawn more than once."""
        return StepRandom(derive_seed(self.seed, purpose), self.step)

    def _uniform(self, purpose, shape):
        # XLA's Philox draws the same bits as other kernels, but converts them to other floats.
        bits = tf.random.stateless_uniform(
            shape,
            seed=[derive_seed(self.seed, purpose), tf.cast(self.step, tf.int32)],
            minval=None,
            maxval=None,
            dtype=tf.uint32,
            alg="philox",
        )
        return tf.cast(tf.bitwise.right_shift(bits, 8), tf.float32) * 2.0**-24
