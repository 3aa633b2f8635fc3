"""Deep InfoMax across views and scales, in the manner of AMDIM."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models import critics
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.nn import layers
from keras_models.objective_model import Batch, Losses
from keras_models.terms import MutualInformation, coordinate_tasks
from keras_models.views import Augmentation, Views

# "anchor-place": the feature that is told among others, and that whose places it is told by.
SCALES = ("global-local", "global-conv", "conv-conv")


@keras.saving.register_keras_serializable(layers.PACKAGE)
class MultiScaleDIM(EncoderModel):
    """Mutual information of features of two views at several scales (Bachman et al. 2019).

    AMDIM's n-to-m tasks, 1-to-5, 1-to-7 and 5-to-5 in its network, are here global to local map,
    global to last convolution, and last convolution to itself (local to local, each place of one
    view with each of the other); other scales pair other endpoints, a vector being a map of one
    place. Each is an infoNCE over the batch by a dot-product critic of its own, taken both ways
    round, and all have the same weight. Beside them the coordinate tasks of Deep InfoMax can be
    learned, both ways round: the place of a local feature in its own view's map, told from it and
    the other view's global feature. They take all places, whatever `locations` is. Not AMDIM's: its
    encoder, the penalty on scores and their clipping (the critics' layer norm or temperature bounds
    them), the mixture of features.

    Args:
        encoder: images -> endpoints.
        units: U of the critics.
        chunk: of the critics.
        scales: pairs of endpoints as "anchor-place", as in `SCALES`.
        locations: S, how many places of the local map are scored in a step; 0: all.
        augmentation: makes a view; None: with the default ranges.
        seed: of the random numbers drawn in training.
        temperature: of the critics; 0: none.
        coordinates: weight of the task to tell a local feature's row and column; 0: none.
        relative_coordinates: weight of the task to tell the offset of two; 0: none.

    Raises:
        ValueError: no scale, or one that is no pair; the encoder lacks an endpoint of one, or of a
            task; when built, more locations than the local map has.
    """

    def __init__(
        self,
        encoder,
        units: int = 2048,
        chunk: int = 0,
        scales: Sequence[str] = SCALES,
        locations: int = 0,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        temperature: float = 0.0,
        coordinates: float = 0.0,
        relative_coordinates: float = 0.0,
        **kwargs,
    ):
        super().__init__(encoder, seed, **kwargs)
        self.units = units
        self.chunk = chunk
        self.scales = tuple(scales)
        self.locations = locations
        self.temperature = temperature
        self.coordinates = coordinates
        self.relative_coordinates = relative_coordinates
        self.pairs = [tuple(scale.split("-")) for scale in self.scales]
        if not self.pairs or any(len(pair) != 2 for pair in self.pairs):
            raise ValueError(
                f"scales {self.scales}; expected pairs of endpoints such as {SCALES[0]!r}"
            )
        self.views = Views(augmentation or Augmentation())
        self.terms = [
            MutualInformation(
                critics.get(
                    "dot",
                    units=units,
                    temperature=temperature,
                    chunk=chunk,
                    synchronized=encoder.synchronized,
                ),
                "infonce",
                locations=locations if place == "local" else 0,
                name=f"{anchor}_{place}",
            )
            for anchor, place in self.pairs
        ]
        for task in coordinate_tasks(coordinates, relative_coordinates):
            self.terms.append(task)
            self.pairs.append(("global", "local"))
        for name in (name for pair in self.pairs for name in pair):
            if name not in encoder.endpoint_names:
                raise ValueError(
                    f"{encoder.name} has no endpoint {name}; take another --encoder, or leave "
                    "out the --scales or coordinate tasks that need it"
                )

    def build_heads(self, shapes):
        for term, (anchor, place) in zip(self.terms, self.pairs, strict=True):
            shape = shapes[place]
            as_map = shape if len(shape) == 4 else (shape[0], 1, 1, shape[1])
            term.build({"local": as_map}, {"global": shapes[anchor]})

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        first, second = (
            self.encoder(images, training=training, random=random.another(name))
            for name, images in zip(
                ("first view", "second view"), self.views(batch.images, random), strict=True
            )
        )
        total = tf.constant(0.0)
        metrics: dict[str, tf.Tensor] = {}
        for term, (anchor, place) in zip(self.terms, self.pairs, strict=True):
            for mine, other in ((first, second), (second, first)):
                features = mine[place]
                if features.shape.rank == 2:
                    features = features[:, tf.newaxis, tf.newaxis]
                found = term(
                    {"local": features}, {"global": other[anchor]}, random=random, training=training
                )
                total += 0.5 * term.weight * found.encoder_loss
                for name, value in found.metrics.items():
                    metrics[name] = metrics.get(name, 0.0) + 0.5 * value
        return Losses(total, None, metrics, first["global"])

    def config(self):
        return {
            "units": self.units,
            "chunk": self.chunk,
            "scales": self.scales,
            "locations": self.locations,
            "temperature": self.temperature,
            "coordinates": self.coordinates,
            "relative_coordinates": self.relative_coordinates,
            "augmentation": self.views.augmentation,
        }
