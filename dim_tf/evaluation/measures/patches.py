"""Local maps as figures: the first three principal components of their patches as colours."""

from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.evaluation import pca_maps
from dim_tf.evaluation.figures import PatchMaps
from dim_tf.evaluation.measure import MetricInfo, Result
from dim_tf.evaluation.measure_spec import MeasureContext, MeasureSpec, needs_trainable_encoder
from dim_tf.evaluation.measures.projection import thumbnails
from dim_tf.evaluation.representation import BATCH_PIXELS

ENDPOINT = "local"
FITTED_IMAGES = 256
SHOWN_IMAGES = 24
THUMBNAIL = 64  # pixels a side, at most


@dataclass(frozen=True)
class LocalComponents:
    """The principal components of local features, and test images' local maps in their colours.

    The value says how much of the features the colours show, not how good the features are.

    Attributes:
        context: Its encoder has the endpoint "local". The components are fitted on training images,
            and test images are shown; both are evenly spaced in the data.
    """

    context: MeasureContext
    _figures: list[PatchMaps] = field(default_factory=list, init=False, compare=False)

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        title = "variance of local features in three components"
        return {"local_components": MetricInfo("fraction", None, title)}

    @property
    def protocol(self) -> dict[str, str]:
        count = min(FITTED_IMAGES, len(self.context.representation.data.train))
        return {
            "local_components": (
                "fraction of the variance of the patches of local maps that their first three "
                f"principal components have; of at most {pca_maps.SAMPLE:,} patches of {count:,} "
                "training images"
            )
        }

    def run(self) -> Iterator[Result]:
        data = self.context.representation.data
        components = pca_maps.fit(self._local_maps(_spaced(data.train.images, FITTED_IMAGES)))
        shown = _spaced(data.test.images, SHOWN_IMAGES)
        red, green, blue = map(float, components.explained)
        self._figures[:] = [
            PatchMaps(
                "local map",
                thumbnails(shown, THUMBNAIL),
                components.colours(self._local_maps(shown)),
                (red, green, blue),
            )
        ]
        yield Result("local_components", ENDPOINT, float(components.explained.sum()))

    def figures(self) -> list[PatchMaps]:
        return self._figures

    def _local_maps(self, images) -> np.ndarray:
        assert self.context.encoders is not None  # needs_trainable_encoder
        encoder = self.context.encoders.trained
        step = max(BATCH_PIXELS // int(np.prod(images.shape[1:3])), 1)
        maps = []
        for first in range(0, len(images), step):
            pixels = image_ops.to_unit(tf.constant(images[first : first + step]))
            x = image_ops.encoder_input(pixels, encoder.image_shape[-1])
            maps.append(tf.cast(encoder(x, training=False)[ENDPOINT], tf.float32).numpy())
        return np.concatenate(maps)


SPEC = MeasureSpec(LocalComponents, requires=(needs_trainable_encoder,))


def _spaced(images, limit) -> np.ndarray:
    indices = np.linspace(0, len(images) - 1, min(limit, len(images))).astype(np.int64)
    return np.ascontiguousarray(images[indices])
