"""Deep InfoMax across views and scales, in the manner of AMDIM."""

import keras
import tensorflow as tf

from keras_models import critics, layers
from keras_models.baselines.encoder_model import EncoderModel
from keras_models.objective_model import Batch, Losses
from keras_models.randomness import StepRandom
from keras_models.terms import MutualInformation
from keras_models.views import Views

# Of the two features of a pair: the one that is told among others, and the places of the map.
SCALES = (("global", "local"), ("global", "conv"), ("conv", "conv"))


@keras.saving.register_keras_serializable(layers.PACKAGE)
class MultiScaleDIM(EncoderModel):
    """Mutual information of features of two views at several scales (Bachman et al. 2019).

    AMDIM's n-to-m tasks, 1-to-5, 1-to-7 and 5-to-5 in its network, are here global to local map,
    global to last convolution, and last convolution to itself (local to local, each place of one
    view with each of the other). Each is an infoNCE over the batch by a dot-product critic of its
    own, taken both ways round, and all have the same weight. Not AMDIM's: its encoder, the penalty
    on scores and their clipping (the critics' layer norm bounds them), the mixture of features.

    Args:
        encoder: images -> endpoints local, conv and global.
        units: U of the critics.
        chunk: of the critics.
        seed: of the random numbers drawn in training.

    Raises:
        ValueError: the encoder has no endpoint conv.
    """

    def __init__(self, encoder, units: int = 2048, chunk: int = 0, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        if "conv" not in encoder.endpoints:
            raise ValueError(f"{encoder.name} has no endpoint conv; take another --encoder")
        self.units = units
        self.chunk = chunk
        self.views = Views(augmented=True)
        self.terms = [
            MutualInformation(
                critics.get("dot", units=units, chunk=chunk, synchronized=encoder.synchronized),
                "infonce",
                name=f"{anchor}_{place}",
            )
            for anchor, place in SCALES
        ]

    def build_heads(self, shapes):
        for term, (anchor, place) in zip(self.terms, SCALES, strict=True):
            term.build({"local": shapes[place]}, {"global": shapes[anchor]})

    def objective(self, batch: Batch, random: StepRandom) -> Losses:
        first, second = (
            self.encoder(images, training=True, random=random.another(name))
            for name, images in zip(
                ("first view", "second view"), self.views(batch.images, random), strict=True
            )
        )
        total = tf.constant(0.0)
        metrics: dict[str, tf.Tensor] = {}
        for term, (anchor, place) in zip(self.terms, SCALES, strict=True):
            for mine, other in ((first, second), (second, first)):
                found = term({"local": mine[place]}, {"global": other[anchor]}, random=random)
                total += 0.5 * found.encoder_loss
                for name, value in found.metrics.items():
                    metrics[name] = metrics.get(name, 0.0) + 0.5 * value
        return Losses(total, None, metrics, first["global"])

    def config(self):
        return {"units": self.units, "chunk": self.chunk}
