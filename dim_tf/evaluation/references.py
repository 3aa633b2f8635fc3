"""What a representation is compared with: random weights, start weights, raw pixels.

A measure knows nothing of references: `evaluate` runs the quick ones, `REFERENCE_MEASURES` of
`dim_tf.registry`, on each of them.
"""

from collections.abc import Mapping
from functools import partial

import keras

from dim_tf.evaluation import representation
from dim_tf.evaluation.measure_spec import Encode

DESCRIPTIONS = {
    "random_encoder": "the encoder with random weights",
    "start_weights": "the encoder with the weights that training began with",
    "pixels": "the raw pixels",
}


def references(
    max_features: int,
    random_encoder: keras.Model | None = None,
    start_encoder: keras.Model | None = None,
) -> Mapping[str, Encode]:
    """The references of an evaluation, by their names in `DESCRIPTIONS`.

    Args:
        max_features: numbers of an endpoint; a larger one is averaged over its locations.
        random_encoder: the encoder with random weights; None where there is none.
        start_encoder: the encoder with the weights that training began with; None where these were
            random, or where they are not known.
    """
    encoders = {"random_encoder": random_encoder, "start_weights": start_encoder}
    return {
        name: partial(representation.from_encoder, encoder, max_features=max_features)
        for name, encoder in encoders.items()
        if encoder is not None
    } | {"pixels": partial(representation.from_pixels, max_features=max_features)}
