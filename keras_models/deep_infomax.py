"""Deep InfoMax: an encoder, the terms of its objective, and the training step."""

import keras
import tensorflow as tf

from keras_models import layers, replicas
from keras_models.randomness import StepRandom


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DeepInfoMax(keras.Model):
    """An encoder trained by a weighted sum of terms (Hjelm et al. 2019, eq. 8).

    Args:
        encoder: images -> endpoints.
        terms: of `keras_models.terms`.
        seed: of the random numbers drawn in training.
    """

    def __init__(self, encoder, terms, seed: int = 0, **kwargs):
        super().__init__(**kwargs)
        self.encoder = encoder
        self.terms = list(terms)
        self.seed = seed

    def compile(self, learning_rate: float = 1e-4, optimizer=None, adversary_optimizer=None, **kw):
        """Sets the two optimizers: of the encoder with its critics, and of the adversaries.

        Args:
            learning_rate: of the default, Adam with the authors' betas (0.5, 0.999).
            optimizer: another one for the encoder and the critics.
            adversary_optimizer: another one for the adversaries (the prior discriminator).
            **kw: for `keras.Model.compile`, such as `jit_compile`.
        """
        super().compile(optimizer=optimizer or adam(learning_rate, "adam"), **kw)
        self.adversary_optimizer = adversary_optimizer or adam(learning_rate, "adversary_adam")
        if self.built:
            self._build_optimizers()

    def build(self, input_shape=None):
        """Makes all variables, those of the optimizers too: needed before `fit`."""
        if not self.encoder.built:
            self.encoder.build()
        shapes = self.endpoint_shapes()
        for term in self.terms:
            if not term.built:
                term.build(shapes, shapes)
        self.built = True
        if hasattr(self, "adversary_optimizer"):
            self._build_optimizers()

    def _build_optimizers(self):
        self.optimizer.build(self.encoder_variables)
        self.adversary_optimizer.build(self.adversary_variables)

    def endpoint_shapes(self) -> dict[str, tuple]:
        """The shapes of the encoder's endpoints, without running it."""
        images = keras.KerasTensor((None, *self.encoder.image_shape))
        return {name: x.shape for name, x in self.encoder(images).items()}

    @property
    def adversary_variables(self):
        return [v for term in self.terms for v in term.adversary_variables]

    @property
    def encoder_variables(self):
        """Of the encoder and of the terms' critics: all that the main optimizer owns."""
        adversary = {id(v) for v in self.adversary_variables}
        return [v for v in self.trainable_variables if id(v) not in adversary]

    def call(self, images, training=False):
        return self.encoder(images, training=training)

    def train_step(self, images):
        """One step of both optimizers on float32 images [N, H, W, C] in [-1, 1].

        A pure function of the weights, the optimizers' state, the step number, the seed and the
        images. Returns this step's loss and metrics, averaged over replicas.
        """
        random = StepRandom(self.seed, self.optimizer.iterations)
        with tf.GradientTape(persistent=True) as tape:
            endpoints = self.encoder(images, training=True)
            outputs = [(term, term(endpoints, endpoints, random=random)) for term in self.terms]
            loss = tf.add_n([term.weight * out.encoder_loss for term, out in outputs])
            adversary_losses = [
                out.adversary_loss for _, out in outputs if out.adversary_loss is not None
            ]
            # Optimizers add up the replicas' gradients; the objective is the replicas' mean.
            encoder_objective = loss / replicas.count()
            adversary_objective = tf.add_n(adversary_losses or [0.0]) / replicas.count()

        variables = self.encoder_variables
        self.optimizer.apply(tape.gradient(encoder_objective, variables), variables)
        if adversary_losses:
            variables = self.adversary_variables
            gradients = tape.gradient(adversary_objective, variables)
            self.adversary_optimizer.apply(gradients, variables)

        metrics = {"loss": loss}
        for _, out in outputs:
            metrics |= out.metrics
        return replicas.mean(metrics)

    def get_config(self):
        return {
            "name": self.name,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "terms": [keras.saving.serialize_keras_object(term) for term in self.terms],
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        encoder = keras.saving.deserialize_keras_object(config["encoder"])
        terms = [keras.saving.deserialize_keras_object(term) for term in config["terms"]]
        return cls(**{**config, "encoder": encoder, "terms": terms})


def adam(learning_rate: float, name: str) -> keras.optimizers.Adam:
    """The authors' optimizer: betas (0.5, 0.999), epsilon 1e-8 (Keras' default is 1e-7)."""
    return keras.optimizers.Adam(learning_rate, beta_1=0.5, beta_2=0.999, epsilon=1e-8, name=name)
