"""Target distributions of the global feature (Hjelm et al. 2019, section 3.3)."""

import keras
import tensorflow as tf
import tensorflow_probability as tfp

from keras_models import layers


@keras.saving.register_keras_serializable(layers.PACKAGE)
class UniformPrior:
    """Uniform on [0, 1]^D, the paper's default.

    Args:
        dim: D.
    """

    def __init__(self, dim: int):
        self.dim = dim
        self.distribution = tfp.distributions.Independent(
            tfp.distributions.Uniform(tf.zeros(dim), tf.ones(dim)), 1
        )

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Samples by inversion, so that the noise decides them: uniform [N, D] -> [N, D]."""
        return self.distribution.distribution.quantile(noise)

    def to_support(self, features: tf.Tensor) -> tf.Tensor:
        """Maps global features into the prior's support, for the discriminator alone: sigmoid."""
        return tf.sigmoid(features)

    def get_config(self):
        return {"dim": self.dim}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


def get(name: str, dim: int) -> UniformPrior:
    """The prior of that name in `dim` dimensions.

    Raises:
        ValueError: unknown name.
    """
    if name != "uniform":
        raise ValueError(f"unknown prior {name!r}; expected uniform")
    return UniformPrior(dim)
