"""The deep variational information bottleneck: supervision through a noisy, compressed feature."""

import keras
import tensorflow as tf

from keras_models import classification, priors
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel, one_global
from keras_models.encoders.blocks import DenseHead
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses

STDDEV_OFFSET = 5.0  # σ = softplus(s - 5), as in the authors' code


@keras.saving.register_keras_serializable(layers.PACKAGE)
class VIB(EncoderModel):
    """Minimises E[-log q(y|z)] + β·KL(p(z|x) ‖ r(z)), in nats (Alemi et al. 2017, eq. 17).

    https://arxiv.org/abs/1612.00410. p(z|x) = N(Y, diag σ²), from which one z is drawn in each
    step, and r = N(0, I). The mean Y is the global feature, which is evaluated and exported;
    σ = softplus(s - 5), as in the authors' code, where s is a linear map of the endpoint fc, or of
    Y if there is no fc. q(y|z) is a linear classifier of z (section 4.1). Both terms bound mutual
    information: I(Z, Y) ≥ H(Y) - E[-log q(y|z)] and I(Z, X) ≤ E KL (eq. 11 and 14).

    Args:
        encoder: Images -> endpoints.
        labels: Number of classes or attributes.
        multi_label: Whether the labels are attributes, of which an image can have several;
            -log q(y|z) is then the mean over the A attributes, not their sum, so β acts A-fold and
            the bound on I(Z, Y) does not hold.
        kl_weight: β.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: When built, the encoder has several globals.
    """

    needs_labels = True

    def __init__(
        self,
        encoder,
        labels: int,
        multi_label: bool = False,
        kl_weight: float = 1e-3,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.labels = labels
        self.multi_label = multi_label
        self.kl_weight = kl_weight
        self.stddev = DenseHead(encoder.global_dim, name="stddev")
        self.classifier = DenseHead(labels, name="classifier")
        self._normal = priors.GaussianPrior(encoder.global_dim)

    def build_heads(self, shapes):
        self.classifier.build(one_global(shapes))
        self.stddev.build(shapes[self._input_of_stddev(shapes)])

    @staticmethod
    def _input_of_stddev(endpoints):
        return "fc" if "fc" in endpoints else "global"

    def bottleneck(self, endpoints: dict):
        """p(z|x) of each image: a TFP distribution over [N, D]."""
        tfd = priors.distributions()
        mean = tf.cast(endpoints["global"], tf.float32)
        raw = tf.cast(self.stddev(endpoints[self._input_of_stddev(endpoints)]), tf.float32)
        return tfd.Independent(tfd.Normal(mean, tf.nn.softplus(raw - STDDEV_OFFSET)), 1)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        tfd = priors.distributions()
        endpoints = self.encoder(batch.images, training=training, random=random)
        bottleneck = self.bottleneck(endpoints)
        dim = self.encoder.global_dim
        noise = self._normal.sample(random.uniform("bottleneck", tf.shape(batch.images)[0], (dim,)))
        codes = bottleneck.distribution.loc + bottleneck.distribution.scale * noise  # [N, D]

        logits = tf.cast(self.classifier(codes), tf.float32)
        losses, correct = classification.losses_and_correct(logits, batch.labels, self.multi_label)
        prior = tfd.Independent(tfd.Normal(tf.zeros(dim), 1.0), 1)
        metrics = {
            "cross_entropy": tf.reduce_mean(losses),
            "kl_divergence": tf.reduce_mean(tfd.kl_divergence(bottleneck, prior)),
            "accuracy": tf.reduce_mean(tf.cast(correct, tf.float32)),
        }
        loss = metrics["cross_entropy"] + self.kl_weight * metrics["kl_divergence"]
        return Losses(loss, None, metrics, endpoints["global"])

    def config(self):
        return {
            "labels": self.labels,
            "multi_label": self.multi_label,
            "kl_weight": self.kl_weight,
        }
