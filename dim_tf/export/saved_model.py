"""The encoder as a reusable SavedModel: callable, with signatures for serving."""

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.errors import RunError

TOLERANCE = 1e-4  # of the largest feature; a graph may add up in another order than eager code


def global_features(endpoints: dict[str, tf.Tensor]) -> tf.Tensor:
    """The global feature [N, D]; several globals [N, g, g, D] are averaged."""
    found = endpoints["global"]
    return tf.reduce_mean(found, [1, 2]) if len(found.shape) == 4 else found


def root_object(encoder: keras.Model) -> tf.train.Checkpoint:
    """The object that is saved.

    Its call takes images, float32 [N, H, W, 3] in [0, 1], and gives the global feature [N, D].
    It has `variables`, `trainable_variables` and `regularization_losses`, as TF Hub asks for.

    Args:
        encoder: built, in float32.
    """
    height, width, channels = encoder.image_shape

    def endpoints(pixels, training=False):
        return encoder(image_ops.encoder_input(pixels, channels), training=training)

    def call(images, training=False):
        return global_features(endpoints(images, training))

    spec = tf.TensorSpec([None, height, width, 3], tf.float32, name="images")
    root = tf.train.Checkpoint()
    root.__call__ = tf.function(call)
    for arguments in ({}, {"training": True}, {"training": False}):
        root.__call__.get_concrete_function(spec, **arguments)
    root.endpoints = tf.function(endpoints, input_signature=[spec])
    root.variables = [v.value for v in encoder.variables]
    root.trainable_variables = [v.value for v in encoder.trainable_variables]
    root.regularization_losses = []
    return root


def signatures(
    root: tf.train.Checkpoint, size: int
) -> dict[str, tf.types.experimental.GenericFunction]:
    """The three signatures of an exported encoder for images of size x size pixels.

    serving_default: images -> global; endpoints: images -> all endpoints; serving_bytes:
    image_bytes, encoded images of any size -> global.
    """
    spec = tf.TensorSpec([None, size, size, 3], tf.float32, name="images")

    @tf.function(input_signature=[spec])
    def serving_default(images):
        return {"global": root.__call__(images)}

    @tf.function(input_signature=[spec])
    def endpoints(images):
        return root.endpoints(images)

    def decode(encoded):
        image = tf.io.decode_image(encoded, channels=3, expand_animations=False)
        image = tf.ensure_shape(image, [None, None, 3])
        # Rounded to whole numbers, because the images in training were.
        return image_ops.to_unit(image_ops.to_bytes(image_ops.fit(image, size)))

    @tf.function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_bytes(image_bytes):
        pixels = tf.map_fn(decode, image_bytes, fn_output_signature=spec_of_one)
        return {"global": root.__call__(pixels)}

    spec_of_one = tf.TensorSpec([size, size, 3], tf.float32)
    return {
        "serving_default": serving_default,
        "endpoints": endpoints,
        "serving_bytes": serving_bytes,
    }


def save(encoder: keras.Model, path: str) -> None:
    """Writes the SavedModel of a built float32 encoder to `path`."""
    root = root_object(encoder)
    tf.saved_model.save(root, path, signatures=signatures(root, encoder.image_shape[0]))


def expected(encoder: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """What an export must answer: the Keras model's global features of images in [0, 1]."""
    channels = encoder.image_shape[-1]
    x = image_ops.encoder_input(tf.constant(pixels), channels)
    return global_features(encoder(x, training=False)).numpy()


def check(path: str, encoder: keras.Model, pixels: np.ndarray) -> float:
    """Loads the SavedModel and compares every way to call it with the Keras model.

    Args:
        path: of the SavedModel.
        encoder: that it was made from.
        pixels: float32 [N, H, W, 3] in [0, 1], multiples of 1/255: real images.

    Returns:
        The largest difference, as a share of the largest feature.

    Raises:
        RunError: it exceeds `TOLERANCE`.
    """
    loaded = tf.saved_model.load(path)
    wanted = expected(encoder, pixels)
    encoded = [tf.io.encode_png((p * 255.0).round().astype(np.uint8)).numpy() for p in pixels]
    answers = {
        "call": loaded(tf.constant(pixels)),
        "serving_default": loaded.signatures["serving_default"](images=tf.constant(pixels)),
        "endpoints": loaded.signatures["endpoints"](images=tf.constant(pixels)),
        "serving_bytes": loaded.signatures["serving_bytes"](image_bytes=tf.constant(encoded)),
    }
    worst = 0.0
    for name, answer in answers.items():
        features = global_features(answer) if isinstance(answer, dict) else answer
        worst = max(worst, difference(name, features.numpy(), wanted))
    return worst


def difference(name: str, features: np.ndarray, wanted: np.ndarray) -> float:
    """The largest difference of features, as a share of the largest feature.

    Raises:
        RunError: it exceeds `TOLERANCE`.
    """
    share = float(np.abs(features - wanted).max() / np.abs(wanted).max())
    if not share <= TOLERANCE:
        raise RunError(
            f"the exported {name} differs from the Keras model by {share:.1e} of its largest "
            f"feature, more than {TOLERANCE}; nothing was published"
        )
    return share
