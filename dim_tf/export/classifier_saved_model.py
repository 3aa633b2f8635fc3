"""A classifier as a reusable SavedModel: an encoder, a linear head, names of classes."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.image_frame import ImageFrame
from dim_tf.export import encoded_input, reusable_saved_model
from dim_tf.export.linear_head import LinearHead
from dim_tf.export.reusable_saved_model import Signatures, graph_function
from dim_tf.export.saved_model import CLASSES, VALID, SavedModelOptions, keras_features
from dim_tf.system.errors import RunError

PROBABILITIES = "probabilities"  # an output, and a signature
FEATURES = "features"  # a signature
TOLERANCE = 1e-4  # of probabilities; a graph may add in another order than eager code


def root_object(
    encoder: keras.Model, head: LinearHead, options: SavedModelOptions
) -> tf.train.Checkpoint:
    """The object that is saved.

    Its call maps images, float32 [N, H, W, C], to probabilities, float32 [N, labels]; `features`
    maps them to the feature that the head takes. The kernel and the bias are its last two
    variables.

    Args:
        encoder: Built, in float32.
        head: The head on `options.feature`.
        options: Options of the SavedModel.
    """
    channels = encoder.image_shape[-1]
    kernel = tf.Variable(head.kernel, name="head/kernel")
    bias = tf.Variable(head.bias, name="head/bias")
    activation = tf.nn.sigmoid if head.multi_label else tf.nn.softmax

    def features(images, training=False):
        pixels = image_ops.scale_to_unit(images, options.scaling)
        pixels = image_ops.with_channels(pixels, channels)
        return options.feature(encoder.encode_unit_range(pixels, training))

    def call(images, training=False):
        return activation(tf.matmul(features(images, training), kernel) + bias)

    spec = _images_spec(options.frame(encoder))
    root = reusable_saved_model.root(
        call,
        spec,
        [*(v.value for v in encoder.variables), kernel, bias],
        [*(v.value for v in encoder.trainable_variables), kernel, bias],
    )
    root.features = graph_function(features, input_signature=[spec])
    return root


def _images_spec(frame):
    return tf.TensorSpec([None, *frame.shape], tf.float32, name="images")


def signatures(
    root: tf.train.Checkpoint, frame: ImageFrame, options: SavedModelOptions
) -> Signatures:
    """The signatures of a classifier for images of a frame.

    serving_default: images -> probabilities, float32 [N, labels], and classes, string [N], the
        likeliest label. serving_bytes: the same for image_bytes, encoded images of any size.
        serving_bytes_valid: the same, and whether each image could be decoded (if not, its
        probabilities are 0 and its class is empty). probabilities: images -> only the
        probabilities, for formats without text. features: images -> the feature that the head
        takes.
    """
    spec = _images_spec(frame)
    bytes_spec = tf.TensorSpec([None], tf.string, name="image_bytes")
    names = tf.constant(options.label_names)

    def outputs(images):
        probabilities = root.__call__(images)
        classes = tf.gather(names, tf.argmax(probabilities, axis=1))
        return {PROBABILITIES: probabilities, CLASSES: classes}

    @graph_function(input_signature=[spec])
    def serving_default(images):
        return outputs(images)

    @graph_function(input_signature=[spec])
    def probabilities(images):
        return {PROBABILITIES: root.__call__(images)}

    @graph_function(input_signature=[spec])
    def features(images):
        return {options.feature.name: root.features(images)}

    @graph_function(input_signature=[bytes_spec])
    def serving_bytes(image_bytes):
        return outputs(encoded_input.decode_all(image_bytes, frame, options))

    @graph_function(input_signature=[bytes_spec])
    def serving_bytes_valid(image_bytes):
        images, valid = encoded_input.decode_valid(image_bytes, frame, options)
        of_all = outputs(images)
        return {
            PROBABILITIES: tf.where(valid[:, tf.newaxis], of_all[PROBABILITIES], 0.0),
            CLASSES: tf.where(valid, of_all[CLASSES], ""),
            VALID: valid,
        }

    return {
        "serving_default": serving_default,
        PROBABILITIES: probabilities,
        FEATURES: features,
        "serving_bytes": serving_bytes,
        "serving_bytes_valid": serving_bytes_valid,
    }


def save(
    encoder: keras.Model, head: LinearHead, path: Path, options: SavedModelOptions
) -> dict[str, Any]:
    """Writes the SavedModel of a classifier to `path`.

    Args:
        encoder: Built, in float32.
        head: The head on `options.feature`.
        path: Folder of the SavedModel.
        options: Options of the SavedModel. `quantization` and `neighbours` do not apply; the names
            of the labels are the head's.

    Returns:
        The content of metadata.json: `options.metadata`, and the inputs and outputs of each
        signature.
    """
    options = dataclasses.replace(options, label_names=head.label_names)
    root = root_object(encoder, head, options)
    functions = signatures(root, options.frame(encoder), options)
    return reusable_saved_model.write(root, functions, path, options.metadata, head.label_names)


def keras_probabilities(
    encoder: keras.Model, head: LinearHead, pixels: np.ndarray, options: SavedModelOptions
) -> np.ndarray:
    """The expected output for images in the form that the SavedModel takes, float32 [N, labels]."""
    unit = image_ops.scale_to_unit(pixels, options.scaling)
    return head.probabilities(keras_features(encoder, unit, options.feature))


def check(
    path: Path,
    encoder: keras.Model,
    head: LinearHead,
    pixels: np.ndarray,
    options: SavedModelOptions,
) -> float:
    """Loads the SavedModel and compares every way to call it with the Keras model.

    Args:
        path: Path of the SavedModel.
        encoder: The encoder that was saved.
        head: The head that was saved.
        pixels: float32 [N, H, W, C], real images; multiples of 1/255 unless they are arrays.
        options: The options with which it was saved.

    Returns:
        The largest difference of a probability.

    Raises:
        RunError: The difference exceeds `TOLERANCE`, or a class is not the likeliest label.
    """
    loaded = tf.saved_model.load(str(path))
    call = loaded.signatures
    expected = keras_probabilities(encoder, head, pixels, options)
    images = tf.constant(pixels)
    encoded = tf.constant(encoded_input.files_of(pixels, options.scaling is not None))
    outputs = {
        "call": {PROBABILITIES: loaded(images)},
        PROBABILITIES: call[PROBABILITIES](images=images),
        "serving_default": call["serving_default"](images=images),
        "serving_bytes": call["serving_bytes"](image_bytes=encoded),
        "serving_bytes_valid": call["serving_bytes_valid"](image_bytes=encoded),
    }
    names = np.array([name.encode() for name in head.label_names])
    differences = []
    for name, output in outputs.items():
        probabilities = output[PROBABILITIES].numpy()
        differences.append(check_difference(name, probabilities, expected))
        likeliest = names[probabilities.argmax(axis=1)]
        if CLASSES in output and (output[CLASSES].numpy() != likeliest).any():
            raise RunError(f"{name} gives another class than the likeliest; nothing was published")
    return max(differences)


def check_difference(name: str, probabilities: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference between probabilities, both [N, labels].

    Raises:
        RunError: It exceeds `TOLERANCE`.
    """
    difference = float(np.abs(probabilities - expected).max())
    if not difference <= TOLERANCE:
        raise RunError(
            f"the exported {name} differs from the Keras model by {difference:.1e} in a "
            f"probability, more than {TOLERANCE}; nothing was published"
        )
    return difference
