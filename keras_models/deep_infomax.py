"""Deep InfoMax: an encoder and the terms of its objective."""

import keras
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses, ObjectiveModel
from keras_models.views import Views


@keras.saving.register_keras_serializable(layers.PACKAGE)
class DeepInfoMax(ObjectiveModel):
    """An encoder trained by a weighted sum of terms (Hjelm et al. 2019, eq. 8).

    Args:
        encoder: images -> endpoints.
        terms: of `keras_models.terms`.
        views: which images the local map and the global feature are taken from.
        seed: of the random numbers drawn in training.
    """

    def __init__(self, encoder, terms, views: Views | None = None, seed: int = 0, **kwargs):
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self.terms = list(terms)
        self.views = views or Views()

    def build_parts(self):
        if not self.encoder.built:
            self.encoder.build()
        shapes = self.encoder.endpoint_shapes()
        for term in self.terms:
            if not term.built:
                term.build(shapes, shapes)

    @property
    def image_shape(self):
        return self.encoder.image_shape

    @property
    def adversary_variables(self):
        return [v for term in self.terms for v in term.adversary_variables]

    def call(self, images, training=False):
        return self.encoder(images, training=training)

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        """The weighted sum of the terms, of features taken from the views of the images."""
        local_images, global_images = self.views(batch.images, random)
        local_endpoints = self.encoder(local_images, training=training, random=random)
        if global_images is local_images:
            global_endpoints = local_endpoints
        else:
            of_global = random.another("global view")
            global_endpoints = self.encoder(global_images, training=training, random=of_global)

        outputs = [
            term(local_endpoints, global_endpoints, random=random, training=training)
            for term in self.terms
        ]
        weighted = [t.weight * out.encoder_loss for t, out in zip(self.terms, outputs, strict=True)]
        adversary = [out.adversary_loss for out in outputs if out.adversary_loss is not None]
        metrics = {name: value for out in outputs for name, value in out.metrics.items()}
        adversary_loss = tf.add_n(adversary) if adversary else None
        return Losses(tf.add_n(weighted), adversary_loss, metrics, global_endpoints["global"])

    def get_config(self):
        return {
            "name": self.name,
            "encoder": keras.saving.serialize_keras_object(self.encoder),
            "terms": [keras.saving.serialize_keras_object(term) for term in self.terms],
            "views": keras.saving.serialize_keras_object(self.views),
            "seed": self.seed,
        }

    @classmethod
    def from_config(cls, config):
        terms = [keras.saving.deserialize_keras_object(term) for term in config["terms"]]
        parts = {
            key: keras.saving.deserialize_keras_object(config[key]) for key in ("encoder", "views")
        }
        return cls(**{**config, "terms": terms, **parts})
