"""An encoder as a reusable SavedModel: callable, with signatures for serving."""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data import image_bounds, image_ops
from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.data.image_frame import ImageFrame
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange
from dim_tf.export import encoded_input, reusable_saved_model, verify
from dim_tf.export.feature import GLOBAL, Feature
from dim_tf.export.reusable_saved_model import Signatures, graph_function
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.io_errors import reason

# Relative to the largest feature; a graph may add in another order than eager code.
TOLERANCE = 1e-4
VALID = "valid"  # the output that says which images could be decoded
HEAT_MAP = "heat_map"  # the output of a detector of anomalies that says where they are
CLASSES = "classes"  # the output of a classifier that names the likeliest label of each image


@dataclass(frozen=True)
class Quantization:
    """How features become bytes: feature ≈ offset + scale · byte, number by number.

    Attributes:
        offset: float32 [D], the value of byte 0.
        scale: float32 [D], the step between bytes.
    """

    offset: np.ndarray
    scale: np.ndarray

    @classmethod
    def fit(cls, features: np.ndarray) -> "Quantization":
        """The quantization whose 256 values span the range of each feature in [N, D]."""
        low, high = features.min(axis=0), features.max(axis=0)
        # A constant feature is byte 0 with any step.
        return cls(low, np.where(high > low, (high - low) / 255, 1).astype(np.float32))


@dataclass(frozen=True)
class NeighboursIndex:
    """The embeddings that the signature `neighbours` searches.

    Attributes:
        ids: Ids of the R embeddings.
        features: float32 [R, D].
        count: Number of neighbours that are returned, at most R.

    Raises:
        InputError: Two embeddings have the same id, or an embedding is zero, which has no
            direction.
    """

    ids: tuple[str, ...]
    features: np.ndarray
    count: int

    def __post_init__(self):
        zeros = np.flatnonzero(~np.any(self.features, axis=-1))
        if len(zeros):
            raise InputError(
                f"--neighbours_index: the embedding of {self.ids[zeros[0]]!r} is zero, as are "
                f"{len(zeros):,} of {len(self.ids):,}, so that no cosine similarity to it exists; "
                "give embeddings of an encoder that has learned"
            )
        if len(set(self.ids)) < len(self.ids):
            duplicate = next(x for x, count in Counter(self.ids).items() if count > 1)
            raise InputError(
                f"--neighbours_index: {duplicate!r} is the id of several embeddings; give each "
                "its own"
            )


@dataclass(frozen=True)
class SavedModelOptions:
    """The contents of a SavedModel in addition to the encoder.

    Attributes:
        metadata: Content of assets/metadata.json; its values go into JSON.
        label_names: Lines of assets/labels.txt.
        max_pixels: PNG files with more pixels are refused, JPEG files are decoded at a reduced
            scale.
        quantization: Quantization of the signature `quantized`; None: without the signature.
        neighbours: What the signature `neighbours` searches; None: without the signature.
        pixel_range: The values of encoded images of 16 bits that become 0 and 255.
        fit: How encoded images of another shape are fitted, one of `image_frame.FITS`.
        channels: C of the images that it takes: 1 or 3; they are converted to the encoder's.
        scaling: Scaling of images that are arrays; encoded ones are then .npy files.
        feature: What the call and all signatures except `endpoints` return for an image.
    """

    metadata: dict[str, Any]
    label_names: tuple[str, ...] = ()
    max_pixels: int = image_bounds.MAX_PIXELS
    quantization: Quantization | None = None
    neighbours: NeighboursIndex | None = None
    pixel_range: PixelRange = ALL_16_BITS
    fit: str = "crop"
    channels: int = 3
    scaling: ChannelScaling | None = None
    feature: Feature = GLOBAL

    def frame(self, encoder: keras.Model) -> ImageFrame:
        """What an encoded image becomes."""
        height, width, _ = encoder.image_shape
        return ImageFrame(height, width, self.channels, self.fit)


def feature_in(outputs: Mapping[str, Any]) -> str:
    """The name of the feature among the outputs (tensors or specs) of a signature that has it."""
    (name,) = (name for name in outputs if name != VALID)
    return name


def root_object(
    encoder: keras.Model,
    feature: Feature = GLOBAL,
    input_channels: int = 3,
    scaling: ChannelScaling | None = None,
) -> tf.train.Checkpoint:
    """The object that is saved.

    Its call maps images, float32 [N, H, W, C] in [0, 1], to the feature [N, D]. It has
    `variables`, `trainable_variables` and `regularization_losses`, as TF Hub requires.

    Args:
        encoder: Built, in float32.
        feature: What the call returns.
        input_channels: C.
        scaling: Scaling of images that are arrays of other values.
    """
    height, width, channels = encoder.image_shape

    def endpoints(images, training=False):
        pixels = image_ops.scale_to_unit(images, scaling)
        return encoder.encode_unit_range(image_ops.with_channels(pixels, channels), training)

    def call(images, training=False):
        return feature(endpoints(images, training))

    spec = tf.TensorSpec([None, height, width, input_channels], tf.float32, name="images")
    root = reusable_saved_model.root(
        call,
        spec,
        [v.value for v in encoder.variables],
        [v.value for v in encoder.trainable_variables],
    )
    root.endpoints = graph_function(endpoints, input_signature=[spec])
    return root


def signatures(
    root: tf.train.Checkpoint, frame: ImageFrame, options: SavedModelOptions
) -> Signatures:
    """The signatures of an exported encoder for images of a frame.

    serving_default: images -> the feature, under its name. endpoints: images -> all endpoints.
        serving_bytes: image_bytes, encoded images of any size -> the feature. serving_bytes_valid:
        the same, and whether each image could be decoded (if not, its features are 0). Two are
        optional: quantized: images -> the feature as NAME_bytes, uint8 [N, D]; neighbours: images
        -> id and cosine similarity [N, k].
    """
    name = options.feature.name
    spec = tf.TensorSpec([None, *frame.shape], tf.float32, name="images")
    bytes_spec = tf.TensorSpec([None], tf.string, name="image_bytes")

    @graph_function(input_signature=[spec])
    def serving_default(images):
        return {name: root.__call__(images)}

    @graph_function(input_signature=[spec])
    def endpoints(images):
        return root.endpoints(images)

    @graph_function(input_signature=[bytes_spec])
    def serving_bytes(image_bytes):
        return {name: root.__call__(encoded_input.decode_all(image_bytes, frame, options))}

    @graph_function(input_signature=[bytes_spec])
    def serving_bytes_valid(image_bytes):
        images, valid = encoded_input.decode_valid(image_bytes, frame, options)
        features = root.__call__(images)
        return {name: tf.where(valid[:, tf.newaxis], features, 0.0), VALID: valid}

    functions: Signatures = {
        "serving_default": serving_default,
        "endpoints": endpoints,
        "serving_bytes": serving_bytes,
        "serving_bytes_valid": serving_bytes_valid,
    }
    if options.quantization is not None:
        functions["quantized"] = _quantized(root, spec, name, options.quantization)
    if options.neighbours is not None:
        functions["neighbours"] = _neighbours(root, spec, options.neighbours)
    return functions


def _quantized(root, spec, name, quantization):
    @graph_function(input_signature=[spec])
    def quantized(images):
        steps = (root.__call__(images) - quantization.offset) / quantization.scale
        return {f"{name}_bytes": image_ops.to_uint8(steps)}

    return quantized


def _neighbours(root, spec, index):
    # Variables of the root, but not in its `variables`: fine-tuning must not touch them.
    root.index_features = tf.Variable(_normalized(index.features), trainable=False)
    root.index_ids = tf.Variable(list(index.ids), trainable=False)

    @graph_function(input_signature=[spec])
    def neighbours(images):
        features = tf.math.l2_normalize(root.__call__(images), axis=-1)
        similarities = tf.matmul(features, root.index_features, transpose_b=True)
        similarity, indices = tf.math.top_k(similarities, k=index.count)
        return {"id": tf.gather(root.index_ids, indices), "similarity": similarity}

    return neighbours


def _normalized(features):
    features = features.astype(np.float64)  # in which the square of any float32 is finite
    lengths = np.linalg.norm(features, axis=-1, keepdims=True)
    return (features / np.maximum(lengths, 1e-12)).astype(np.float32)


def load(path: str, signature: str) -> Any:
    """Loads an encoder and its signature, which is valid only as long as the encoder is kept.

    Raises:
        InputError: There is no SavedModel at `path`, its files differ from its SHA256SUMS, it lacks
            the signature, or it is a classifier or a detector.
    """
    verify.check(path, "--encoder_path")
    try:
        loaded = tf.saved_model.load(path)
    except Exception as error:  # a foreign file makes the parser fail in any way
        raise InputError(
            f"--encoder_path={path} cannot be loaded ({reason(error)}); give one version of an "
            "exported encoder, such as exported/cifar10/1"
        ) from error
    if signature not in loaded.signatures:
        raise InputError(
            f"the SavedModel in {path} has the signatures {', '.join(loaded.signatures)} and not "
            f"{signature}; export the encoder again, with --mode=export"
        )
    if HEAT_MAP in loaded.signatures[signature].structured_outputs:
        raise InputError(
            f"the SavedModel in {path} is a detector of anomalies, which gives scores and no "
            "feature; give a version of an exported encoder, such as exported/cifar10/1"
        )
    if CLASSES in loaded.signatures[signature].structured_outputs:
        raise InputError(
            f"the SavedModel in {path} is a classifier, which gives probabilities and no feature; "
            "give a version of an exported encoder, such as exported/cifar10/1"
        )
    return loaded


def weights_fingerprint(variables: Iterable[Any]) -> str:
    """A hash of the values of `variables`, the same for an encoder and for its exports."""
    digest = hashlib.sha256()
    for variable in variables:
        digest.update(variable.numpy().tobytes())
    return digest.hexdigest()


def save(encoder: keras.Model, path: Path, options: SavedModelOptions) -> dict[str, Any]:
    """Writes the SavedModel of a built float32 encoder to `path`.

    Its assets are metadata.json and labels.txt (one name per line; empty if labels have no names).

    Returns:
        The content of metadata.json: `options.metadata`, and the inputs and outputs of each
        signature.
    """
    root = root_object(encoder, options.feature, options.channels, options.scaling)
    functions = signatures(root, options.frame(encoder), options)
    return reusable_saved_model.write(root, functions, path, options.metadata, options.label_names)


def keras_endpoints(encoder: keras.Model, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """The Keras model's endpoints for images in [0, 1]: the expected output of `endpoints`."""
    x = image_ops.encoder_input(tf.constant(pixels), encoder.image_shape[-1])
    return {name: endpoint.numpy() for name, endpoint in encoder(x, training=False).items()}


def keras_features(
    encoder: keras.Model, pixels: np.ndarray, feature: Feature = GLOBAL
) -> np.ndarray:
    """The Keras model's features [N, D] for images in [0, 1]: the expected output of an export."""
    return feature(keras_endpoints(encoder, pixels)).numpy()


def check(
    path: Path, encoder: keras.Model, pixels: np.ndarray, options: SavedModelOptions
) -> float:
    """Loads the SavedModel and compares every way to call it with the Keras model.

    Args:
        path: Path of the SavedModel.
        encoder: The encoder that was saved.
        pixels: float32 [N, H, W, C], real images; multiples of 1/255 unless they are arrays.
        options: The options with which it was saved.

    Returns:
        The largest difference, relative to the largest feature.

    Raises:
        RunError: The difference exceeds `TOLERANCE`.
    """
    loaded = tf.saved_model.load(str(path))
    call: dict[str, Callable] = dict(loaded.signatures)
    expected_endpoints = keras_endpoints(encoder, image_ops.scale_to_unit(pixels, options.scaling))
    feature = options.feature
    expected = feature(expected_endpoints).numpy()
    images = tf.constant(pixels)
    encoded = tf.constant(encoded_input.files_of(pixels, options.scaling is not None))
    endpoints = call["endpoints"](images=images)
    differences = [
        check_difference(f"endpoint {name}", endpoints[name].numpy(), x)
        for name, x in expected_endpoints.items()
    ]
    outputs = {
        "call": loaded(images),
        "serving_default": call["serving_default"](images=images)[feature.name],
        "serving_bytes": call["serving_bytes"](image_bytes=encoded)[feature.name],
        "serving_bytes_valid": call["serving_bytes_valid"](image_bytes=encoded)[feature.name],
    }
    differences += [check_difference(name, x.numpy(), expected) for name, x in outputs.items()]
    if options.quantization is not None:
        quantized = call["quantized"](images=images)[f"{feature.name}_bytes"].numpy()
        _check_quantized(quantized, expected, options.quantization)
    if options.neighbours is not None:
        neighbours = call["neighbours"](images=images)
        differences += _check_neighbours(neighbours, expected, options.neighbours)
    return max(differences)


def _check_quantized(quantized, expected, quantization):
    scale, offset = quantization.scale, quantization.offset
    representable = np.clip(expected, offset, offset + 255 * scale)
    steps = np.abs((offset + scale * quantized - representable) / scale).max()
    if not steps <= 0.51:
        raise RunError(f"quantized differs by {steps:.2f} steps, more than half a step")


def _check_neighbours(neighbours, expected, index):
    cosines = _normalized(expected) @ _normalized(index.features).T
    best = np.sort(cosines, axis=1)[:, ::-1][:, : index.count]
    # Equally near neighbours may come in any order; each must be as near as the output says.
    rows = {image_id.encode(): row for row, image_id in enumerate(index.ids)}
    columns = np.vectorize(rows.__getitem__)(neighbours["id"].numpy())
    of_ids = np.take_along_axis(cosines, columns, axis=1)
    return [
        check_difference("neighbours", neighbours["similarity"].numpy(), best),
        check_difference("neighbours' ids", of_ids, best),
    ]


def check_difference(name: str, features: np.ndarray, expected: np.ndarray) -> float:
    """The largest difference between features, relative to the largest feature.

    Raises:
        RunError: It exceeds `TOLERANCE`.
    """
    relative = float(np.abs(features - expected).max() / np.abs(expected).max())
    if not relative <= TOLERANCE:
        raise RunError(
            f"the exported {name} differs from the Keras model by {relative:.1e} of its largest "
            f"feature, more than {TOLERANCE}; nothing was published"
        )
    return relative
