"""What a representation is compared with: random weights, start weights, raw pixels, other models.

A measure knows nothing about references: `evaluate` runs the quick ones, `REFERENCE_MEASURES` of
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
    """The references of an evaluation, by name: those in `REFERENCE_TITLES`, then `named`.

    Args:
        max_features: Largest number of numbers in an endpoint; a larger one is averaged over its
            locations.
        random_encoder: The encoder with random weights; None if there is none.
        start_encoder: The encoder with the weights from which training started; None if these were
            random or are not known.
        named: The references of --reference, by name.
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
    """Loads the encoders of --reference and tries each on two black images.

    Args:
        experiment: Its settings.
        splits: The images that they are to encode.

    Returns:
        The encoders by name, in the same order; none with --noreferences.

    Raises:
        InputError: One cannot be loaded, or cannot encode such images.
    """
    encoders = {}
    for name, path in experiment.evaluation.reference_paths.items():
        encoder = saved_encoder.load(path, "--reference")
        height, width, channels = encoder.image_shape
        size = height or splits.image_shape[0], width or splits.image_shape[1]
        try:
            features = encoder.endpoints(tf.zeros([2, *size, channels]))
        except Exception as error:  # a model from elsewhere may fail in any way
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
