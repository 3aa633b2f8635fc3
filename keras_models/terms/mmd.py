"""Prior matching without an adversary, by the maximum mean discrepancy."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models import priors
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.terms.base import Term, TermOutput

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class MaximumMeanDiscrepancy(Term):
    """Maximum mean discrepancy of the global feature from a prior (Gretton et al. 2012, eq. 3).

    https://jmlr.org/papers/v13/gretton12a.html

    Minimises the unbiased estimate of MMD² between features, mapped into the prior's support, and
    as many samples of the prior, over the images of all replicas. The estimate may be negative; its
    expectation is 0 if both distributions are equal. With several globals per image the features
    are dependent and the estimate is biased upwards. No discriminator is trained.

    >>> from keras_models import DeepInfoMax, encoders, priors, terms
    >>> mutual_information = terms.local_mutual_information("dot", "jsd", units=64)
    >>> matching = MaximumMeanDiscrepancy(priors.get("uniform", 64), weight=0.1)
    >>> model = DeepInfoMax(encoders.get("basic32x32"), [mutual_information, matching])

    The kernel is the mean of Gaussian ones, k(x, y) = exp(-‖x - y‖² / (s·d)), where d is the
    expectation of ‖x - y‖² for two samples of the prior and s runs over `bandwidths`.

    Args:
        prior: Target distribution.
        bandwidths: The factors s.
        weight: γ.

    Raises:
        ValueError: No bandwidth, or one that is not positive; when built, a prior of another
            dimension than the global feature.
    """

    def __init__(
        self,
        prior,
        bandwidths: Sequence[float] = BANDWIDTHS,
        weight: float = 1.0,
        name: str = "prior_mmd",
        **kwargs,
    ):
        super().__init__(weight, name=name, **kwargs)
        self.prior = prior
        self.bandwidths = tuple(bandwidths)
        if not self.bandwidths or not all(s > 0 for s in self.bandwidths):
            raise ValueError(f"bandwidths {self.bandwidths}; expected one or more positive numbers")

    @property
    def endpoints(self):
        return ("global",)

    def build(self, shapes):
        priors.check_dim(self.prior, shapes["global"][-1])
        self.built = True

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        del context, training
        real, encoded = priors.samples_and_features(self.prior, query["global"], random)
        widths = [s * self.prior.mean_squared_distance for s in self.bandwidths]
        mmd = squared_mmd(replicas.concat(encoded), replicas.concat(real), widths)
        return TermOutput(mmd, None, {self.name: mmd})

    def get_config(self):
        return {
            **super().get_config(),
            "prior": keras.saving.serialize_keras_object(self.prior),
            "bandwidths": self.bandwidths,
        }

    @classmethod
    def from_config(cls, config):
        prior = keras.saving.deserialize_keras_object(config["prior"])
        return cls(**{**config, "prior": prior})


def squared_mmd(x: tf.Tensor, y: tf.Tensor, widths: Sequence[float]) -> tf.Tensor:
    """The unbiased estimate of MMD² (Gretton et al. 2012, eq. 3).

    Args:
        x: float32 [B, D], B at least 2.
        y: float32 [B, D].
        widths: w of the kernels exp(-‖x - y‖² / w), which are averaged.

    Returns:
        float32 scalar.

    Raises:
        ValueError: Fewer than two rows.
    """
    if x.shape[0] is not None and x.shape[0] < 2:
        raise ValueError(f"MMD² needs at least 2 samples, got {x.shape[0]}")
    count = tf.cast(tf.shape(x)[0], tf.float32)

    def kernel(a, b):
        distances = squared_distances(a, b)
        return tf.add_n([tf.exp(-distances / width) for width in widths]) / len(widths)

    def within(a):  # the mean over pairs of different rows
        pairs = tf.linalg.set_diag(kernel(a, a), tf.zeros_like(a[:, 0]))
        return tf.reduce_sum(pairs) / (count * (count - 1))

    return within(x) + within(y) - 2 * tf.reduce_mean(kernel(x, y))


def squared_distances(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """‖x_i - y_j‖² of all rows, as ‖x‖² + ‖y‖² - 2⟨x, y⟩: [M, D], [N, D] -> [M, N]."""
    x_norms, y_norms = (tf.reduce_sum(z**2, axis=1) for z in (x, y))
    products = tf.matmul(x, y, transpose_b=True)
    return tf.nn.relu(x_norms[:, tf.newaxis] + y_norms - 2 * products)
