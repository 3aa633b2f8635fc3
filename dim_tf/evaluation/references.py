"""What a representation is compared with: random weights, start weights, raw pixels, other models.

A measure knows nothing of references: `evaluate` runs the quick ones, `REFERENCE_MEASURES` of
`dim_tf.registry`, on each of them.
"""

from collections.abc import Mapping
from functools import partial

import keras
import tensorflow as tf

from dim_tf.data.splits import Splits
from dim_tf.evaluation import representation, saved_encoder
from dim_tf.evaluation.measure_spec import Encode
from dim_tf.evaluation.saved_encoder import SavedEncoder
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError
from dim_tf.system.io_errors import reason


def references(
    max_features: int,
    random_encoder: keras.Model | None = None,
    start_encoder: keras.Model | None = None,
    named: Mapping[str, SavedEncoder] | None = None,
) -> Mapping[str, Encode]:
    """The references of an evaluation, by their names: of `REFERENCE_TITLES`, then `named`.

    Args:
        max_features: numbers of an endpoint; a larger one is averaged over its locations.
        random_encoder: the encoder with random weights; None where there is none.
        start_encoder: the encoder with the weights that training began with; None where these were
            random, or where they are not known.
        named: those of --reference, by their names.
    """
    encoders = {"random_weights": random_encoder, "start_weights": start_encoder}
    return {
        **{
            name: partial(representation.from_encoder, encoder, max_features=max_features)
            for name, encoder in encoders.items()
            if encoder is not None
        },
        "pixels": partial(representation.from_pixels, max_features=max_features),
        **{
            name: partial(representation.from_saved_encoder, encoder, max_features=max_features)
            for name, encoder in (named or {}).items()
        },
    }


def load_named(experiment: Experiment, splits: Splits) -> dict[str, SavedEncoder]:
    """Loads the encoders of --reference, each tried on two black images.

    Args:
        experiment: its settings.
        splits: the images that they are to encode.

    Returns:
        The encoders by name, in their order; none with --noreferences.

    Raises:
        InputError: one cannot be loaded, or cannot encode such images.
    """
    encoders = {}
    for name, path in experiment.evaluation.reference_paths.items():
        encoder = saved_encoder.load(path, "--reference")
        height, width, channels = encoder.image_shape
        size = height or splits.image_shape[0], width or splits.image_shape[1]
        try:
            features = encoder.endpoints(tf.zeros([2, *size, channels]))
        except Exception as error:  # a model from elsewhere fails in any way
            raise InputError(
                f"--reference={path} cannot encode images of {size[0]}x{size[1]} pixels "
                f"({reason(error)}); give another model, or another --image_size"
            ) from error
        if any(x.shape[0] != 2 for x in features.values()):
            raise InputError(
                f"--reference={path} does not give the features of each image; give a model that "
                "returns one row an image"
            )
        encoders[name] = encoder
    return encoders
