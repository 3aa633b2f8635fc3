"""Adversarial independence: joint samples of the global feature look like products of marginals."""

import keras
import tensorflow as tf

from keras_models import adversary
from keras_models.distribute import replicas
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.nn.discriminators import Discriminator
from keras_models.terms.base import TermOutput, global_samples
from keras_models.terms.feature_game import FeatureGame


@keras.saving.register_keras_serializable(layers.PACKAGE)
class AdversarialIndependence(FeatureGame):
    """A discriminator between features and features shuffled in each dimension.

    Brakel & Bengio 2017, https://arxiv.org/abs/1710.05050, algorithm 1. Each dimension of y =
    sigmoid(Y) is shuffled over the images of all replicas by its own permutation, which gives
    samples of the product of the marginals (their section 3); the authors' code resamples with
    replacement. The discriminator distinguishes these from the features by the divergence `gan`
    (their equation 2). The encoder makes the two alike: it minimises the loss with the sides
    exchanged, which does not saturate and reaches the encoder through both kinds of samples; theirs
    is minimax. The sigmoid of each dimension does not change dependence, and it bounds the
    discriminator's input; theirs has none. Several globals of an image count as separate samples.

    Args:
        discriminator: D.
        penalty: λ, the gradient penalty's weight in `adversary.losses`.
        weight: Weight of the term.
    """

    def __init__(self, discriminator, penalty: float = 1.0, weight: float = 1.0, **kwargs):
        kwargs.setdefault("name", "adversarial_independence")
        super().__init__(discriminator, penalty, weight, **kwargs)

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        del context, training
        joint = tf.sigmoid(global_samples(query["global"]))
        product = shuffled(joint, random)
        losses = adversary.losses(
            self.discriminator,
            product,
            joint,
            adversary.get("gan"),
            self.penalty,
            random,
            both_learn=True,
        )
        return self.output(losses, "independence")


def shuffled(samples: tf.Tensor, random: StepRandom) -> tf.Tensor:
    """Permutes each dimension independently over the samples of all replicas.

    Args:
        samples: float32 [N, D], those of this replica.
        random: Random numbers of the step, which determine the permutations.

    Returns:
        float32 [N, D], the rows of this replica.
    """
    count, dim = tf.shape(samples)[0], samples.shape[1]
    order = tf.argsort(replicas.concat(random.uniform("shuffle", count, (dim,))), axis=0)
    rows = order[replicas.index() * count :][:count]  # [N, D]
    columns = tf.transpose(replicas.concat(samples))  # [D, R·N]
    return tf.transpose(tf.gather(columns, tf.transpose(rows), batch_dims=1))


def adversarial_independence(weight: float = 1.0) -> AdversarialIndependence:
    """The term with the discriminator of prior matching."""
    return AdversarialIndependence(Discriminator(name="discriminator"), weight=weight)
