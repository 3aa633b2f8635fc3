"""Target distributions of the global feature (Hjelm et al. 2019, section 3.3).

Each is sampled by inversion of uniform noise [N, D] in [0, 1), so the noise determines the samples
on any number of replicas.
"""

import math
from collections.abc import Callable

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers


def distributions():
    """The module `tfp.distributions`."""
    # Its import takes most of a second, which runs without a prior need not spend.
    import tensorflow_probability as tfp

    return tfp.distributions


class _Prior:
    """Saves and restores the number of dimensions."""

    def __init__(self, dim: int):
        self.dim = dim

    def get_config(self):
        return {"dim": self.dim}

    @classmethod
    def from_config(cls, config):
        return cls(**config)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class UniformPrior(_Prior):
    """Uniform on [0, 1]^D, the paper's default.

    Args:
        dim: D.
    """

    def __init__(self, dim: int):
        super().__init__(dim)
        self.distribution = distributions().Uniform(0.0, 1.0)  # of each dimension

    @property
    def mean_squared_distance(self) -> float:
        """E‖x - y‖² of two samples: the variance of each dimension is 1/12."""
        return self.dim / 6

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Uniform noise [N, D] -> samples [N, D]."""
        return self.distribution.quantile(noise)

    def to_support(self, features: tf.Tensor) -> tf.Tensor:
        """Maps global features [N, D] into the prior's support, for the discriminator: sigmoid."""
        return tf.sigmoid(features)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class GaussianPrior(_Prior):
    """Standard normal in D dimensions.

    Args:
        dim: D.
    """

    def __init__(self, dim: int):
        super().__init__(dim)
        self.distribution = distributions().Normal(0.0, 1.0)  # of each dimension

    @property
    def mean_squared_distance(self) -> float:
        """E‖x - y‖² of two samples: the variance of each dimension is 1."""
        return 2.0 * self.dim

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Uniform noise [N, D] -> samples [N, D]."""
        # Excludes 0 and 1, where the inverse is infinite: 2^-23 to 1 - 3·2^-24.
        inside = noise * (1 - 2.0**-22) + 2.0**-23
        return self.distribution.quantile(inside)

    def to_support(self, features: tf.Tensor) -> tf.Tensor:
        """The features themselves: the support is everything."""
        return features


@keras.saving.register_keras_serializable(layers.PACKAGE)
class SpherePrior(_Prior):
    """Uniform on the unit sphere in D dimensions: a normalised Gaussian sample.

    Args:
        dim: D, at least 2.
    """

    def __init__(self, dim: int):
        super().__init__(dim)
        self._normal = GaussianPrior(dim)

    @property
    def mean_squared_distance(self) -> float:
        """E‖x - y‖² of two samples: both have length 1."""
        return 2.0

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Uniform noise [N, D] -> samples [N, D]."""
        return tf.math.l2_normalize(self._normal.sample(noise), axis=-1)

    def to_support(self, features: tf.Tensor) -> tf.Tensor:
        """The normalised features."""
        return tf.math.l2_normalize(features, axis=-1)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class BallPrior(_Prior):
    """Uniform in the unit ball in D dimensions.

    A sample is a point on the sphere times a radius whose D-th power is uniform. The point is a
    normalised Gaussian sample; the squared length of that sample, a gamma variable of shape D/2, is
    independent of the point and determines the radius, so D uniform numbers are enough.

    Args:
        dim: D, at least 2.
    """

    def __init__(self, dim: int):
        super().__init__(dim)
        self.radius = distributions().Kumaraswamy(float(dim), 1.0)
        self._normal = GaussianPrior(dim)

    @property
    def mean_squared_distance(self) -> float:
        """E‖x - y‖² of two samples: E‖x‖² = D / (D + 2)."""
        return 2.0 * self.dim / (self.dim + 2)

    def sample(self, noise: tf.Tensor) -> tf.Tensor:
        """Uniform noise [N, D] -> samples [N, D]."""
        normal = self._normal.sample(noise)
        squared = tf.reduce_sum(normal**2, axis=-1, keepdims=True)
        uniform = tf.math.igamma(self.dim / 2.0, squared / 2.0)
        return tf.math.l2_normalize(normal, axis=-1) * self.radius.quantile(uniform)

    def to_support(self, features: tf.Tensor) -> tf.Tensor:
        """The features with their length squashed into [0, 1) by tanh."""
        length = tf.sqrt(tf.reduce_sum(features**2, axis=-1, keepdims=True) + 1e-12)
        return features * (tf.tanh(length) / length)


Prior = UniformPrior | GaussianPrior | BallPrior | SpherePrior
_PRIORS: dict[str, Callable[[int], Prior]] = {
    "uniform": UniformPrior,
    "gaussian": GaussianPrior,
    "ball": BallPrior,
    "sphere": SpherePrior,
}
NAMES = tuple(_PRIORS)


def get(name: str, dim: int) -> Prior:
    """The prior of that name in `dim` dimensions.

    Raises:
        ValueError: Unknown name.
    """
    if name not in _PRIORS:
        raise ValueError(f"unknown prior {name!r}; expected one of {', '.join(_PRIORS)}")
    return _PRIORS[name](dim)


def check_dim(prior: Prior, dim: int) -> None:
    """Raises ValueError if the prior does not have `dim` dimensions."""
    if dim != prior.dim:
        raise ValueError(
            f"the prior has {prior.dim} dimensions, the global feature {dim}; make it with "
            f"priors.get(name, {dim})"
        )


def samples_and_features(
    prior: Prior, global_features: tf.Tensor, random: StepRandom
) -> tuple[tf.Tensor, tf.Tensor]:
    """Samples of the prior, and as many global features mapped into the prior's support.

    Args:
        prior: Target distribution, of D dimensions.
        global_features: [N, D], or [N, g, g, D] for G = g·g globals per image.
        random: Random numbers of the step, which determine the samples.

    Returns:
        float32 [N·G, D] twice.
    """
    features = tf.cast(global_features, tf.float32)
    globals_ = math.prod(features.shape[1:-1])
    noise = random.uniform("prior", tf.shape(features)[0], (globals_, prior.dim))
    samples = prior.sample(tf.reshape(noise, [-1, prior.dim]))
    return samples, prior.to_support(tf.reshape(features, [-1, prior.dim]))
