"""Prior matching without an adversary, by the maximum mean discrepancy."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.terms.base import Term, TermOutput
from keras_models.terms.projected import of_all_replicas

BANDWIDTHS = (0.25, 0.5, 1.0, 2.0, 4.0)


@keras.saving.register_keras_serializable(layers.PACKAGE)
class MaximumMeanDiscrepancy(Term):
    """Maximum mean discrepancy of the global feature from a prior (Gretton et al. 2012, eq. 3).

    https://jmlr.org/papers/v13/gretton12a.html

    Minimises the unbiased estimate of MMD² between features, mapped into the prior's support, and
    as many samples of the prior, over the images of all replicas. It is 0 in expectation where both
    distributions are equal, and may be negative. No discriminator is trained, so there is
    no game whose players must keep pace; a discriminator sees finer differences than the kernel.

    >>> from keras_models import DeepInfoMax, encoders, priors, terms
    >>> mutual_information = terms.local_mutual_information("dot", "jsd", units=64)
    >>> matching = MaximumMeanDiscrepancy(priors.get("uniform", 64), weight=0.1)
    >>> model = DeepInfoMax(encoders.get("basic32x32"), [mutual_information, matching])

    The kernel is the mean of Gaussian ones, k(x, y) = exp(-‖x - y‖² / (s·d)), where d is the mean
    of ‖x - y‖² over pairs of the step's prior samples and s runs over `bandwidths`.

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
        name: str = "prior_matching",
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
        mmd = squared_mmd(of_all_replicas(encoded), of_all_replicas(real), self.bandwidths)
        return TermOutput(mmd, None, {"prior_mmd": mmd})

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


def squared_mmd(x: tf.Tensor, y: tf.Tensor, bandwidths: Sequence[float]) -> tf.Tensor:
    """The unbiased estimate of MMD² (Gretton et al. 2012, eq. 3).

    Args:
        x: float32 [B, D], B at least 2.
        y: float32 [B, D]; the kernel's width is that of its distances.
        bandwidths: Factors s of the kernels exp(-‖x - y‖² / (s·d)).

    Returns:
        float32 scalar.
    """
    count = tf.cast(tf.shape(x)[0], tf.float32)
    pairs = count * (count - 1)
    of_x, of_y, of_both = squared_distances(x, x), squared_distances(y, y), squared_distances(x, y)
    width = tf.stop_gradient(tf.reduce_sum(of_y) / pairs)  # the diagonal is 0

    def kernel(distances):
        return tf.add_n([tf.exp(-distances / (s * width)) for s in bandwidths]) / len(bandwidths)

    # The diagonal's kernel is 1, count times.
    within = [(tf.reduce_sum(kernel(distances)) - count) / pairs for distances in (of_x, of_y)]
    return tf.add_n(within) - 2 * tf.reduce_mean(kernel(of_both))


def squared_distances(x: tf.Tensor, y: tf.Tensor) -> tf.Tensor:
    """‖x_i - y_j‖² of all rows: [M, D], [N, D] -> [M, N]; from the differences, so exact at 0."""
    return tf.reduce_sum((x[:, tf.newaxis] - y[tf.newaxis]) ** 2, axis=2)
