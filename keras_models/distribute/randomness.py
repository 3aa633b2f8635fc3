"""Stateless random numbers of one training step.

Noise belongs to the example: the global batch's is drawn from (seed, purpose, step) and each
replica takes its own rows, so that a step is the same on any number of replicas.
"""

import hashlib
from dataclasses import dataclass

import tensorflow as tf

from keras_models.distribute import replicas


def derive_seed(seed: int, purpose: str) -> int:
    """A 31-bit seed for one purpose: different purposes and seeds give unrelated numbers."""
    digest = hashlib.sha256(f"{seed}/{purpose}".encode()).digest()
    return int.from_bytes(digest[:4], "big") & 0x7FFFFFFF


@dataclass(frozen=True)
class StepRandom:
    """The random numbers of one step.

    Attributes:
        seed: the experiment's.
        step: int scalar (tensor), the number of the step.
    """

    seed: int
    step: tf.Tensor

    def uniform(self, purpose: str, examples, shape: tuple[int, ...]) -> tf.Tensor:
        """Uniform numbers in [0, 1) for this replica's examples.

        Args:
            purpose: what they are for; equal purposes in one step give equal numbers.
            examples: int or int scalar tensor, how many examples this replica has.
            shape: of one example's numbers.

        Returns:
            float32 [examples, *shape].
        """
        numbers = self._numbers(purpose, [examples * replicas.count(), *shape])
        first = replicas.index() * examples
        return numbers[first : first + examples]

    def choice(self, purpose: str, total: int, size: int) -> tf.Tensor:
        """`size` different numbers of 0 ... total - 1, the same on every replica: int32 [size].

        Raises:
            ValueError: more are asked for than there are.
        """
        if not 1 <= size <= total:
            raise ValueError(f"cannot choose {size} of {total}; give a number from 1 to {total}")
        return tf.math.top_k(self._numbers(purpose, [total]), size).indices

    def another(self, purpose: str) -> "StepRandom":
        """Other numbers for everything that is drawn a second time in the step."""
        return StepRandom(derive_seed(self.seed, purpose), self.step)

    def _numbers(self, purpose, shape):
        # XLA and the other kernels draw the same bits by Philox, but make other floats of them.
        bits = tf.random.stateless_uniform(
            shape,
            seed=[derive_seed(self.seed, purpose), tf.cast(self.step, tf.int32)],
            minval=None,
            maxval=None,
            dtype=tf.uint32,
            alg="philox",
        )
        return tf.cast(tf.bitwise.right_shift(bits, 8), tf.float32) * 2.0**-24
