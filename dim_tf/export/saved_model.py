"""The encoder as a reusable SavedModel: callable, with signatures for serving."""

import functools
import hashlib
import json
import tempfile
from collections import Counter
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dim_tf.data import encoded_images, image_bounds, image_ops
from dim_tf.data.pixel_range import ALL_16_BITS, PixelRange
from dim_tf.export import verify
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.io_errors import reason

TOLERANCE = 1e-4  # of the largest feature; a graph may add up in another order than eager code

Signatures = dict[str, tf.types.experimental.GenericFunction]


@dataclass(frozen=True)
class Quantization:
    """How features become bytes: global ≈ offset + scale · byte, for each feature by itself.

    Attributes:
        offset: float32 [D], the feature of byte 0.
        scale: float32 [D], of one step.
    """

    offset: np.ndarray
    scale: np.ndarray

    @classmethod
    def of(cls, features: np.ndarray) -> "Quantization":
        """The one whose 256 steps reach from the least to the largest of features [N, D]."""
        low, high = features.min(axis=0), features.max(axis=0)
        # A feature that never changes is byte 0, whatever the step.
        return cls(low, np.where(high > low, (high - low) / 255, 1).astype(np.float32))


@dataclass(frozen=True)
class Reference:
    """A set of embeddings among which neighbours are looked for.

    Attributes:
        ids: one for each.
        features: float32 [R, D].
        count: neighbours that are returned, at most R.

    Raises:
        InputError: two have one id, or an embedding is zero, which has no direction.
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
            twice = next(one for one, count in Counter(self.ids).items() if count > 1)
            raise InputError(
                f"--neighbours_index: {twice!r} is the id of several embeddings; give each its own"
            )


@dataclass(frozen=True)
class Extent:
    """What a SavedModel has beside the encoder.

    Attributes:
        metadata: what assets/metadata.json tells; its values go into JSON.
        label_names: lines of assets/labels.txt.
        max_pixels: larger encoded images are refused, or of a JPEG decoded at a reduced scale.
        quantization: for the signature `quantized`; None: without.
        reference: for the signature `neighbours`; None: without.
        pixel_range: the values of encoded images of 16 bits that become 0 and 255.
    """

    metadata: dict[str, Any]
    label_names: tuple[str, ...] = ()
    max_pixels: int = image_bounds.MAX_PIXELS
    quantization: Quantization | None = None
    reference: Reference | None = None
    pixel_range: PixelRange = ALL_16_BITS


def global_features(endpoints: Mapping[str, tf.Tensor | np.ndarray]) -> tf.Tensor:
    """The global feature [N, D]; several globals [N, g, g, D] are averaged."""
    found = tf.convert_to_tensor(endpoints["global"])
    return tf.reduce_mean(found, [1, 2]) if len(found.shape) == 4 else found


# Nothing here has Python's control flow over tensors, and AutoGraph takes seconds to find out.
traced = functools.partial(tf.function, autograph=False)


def root_object(encoder: keras.Model) -> tf.train.Checkpoint:
    """The object that is saved.

    Its call takes images, float32 [N, H, W, 3] in [0, 1], and gives the global feature [N, D].
    It has `variables`, `trainable_variables` and `regularization_losses`, as TF Hub asks for.

    Args:
        encoder: built, in float32.
    """
    height, width, channels = encoder.image_shape

    def endpoints(pixels, training=False):
        return encoder.encode_unit(image_ops.with_channels(pixels, channels), training)

    def call(images, training=False):
        return global_features(endpoints(images, training))

    spec = tf.TensorSpec([None, height, width, 3], tf.float32, name="images")
    root = tf.train.Checkpoint()
    root.__call__ = traced(call)
    for arguments in ({}, {"training": True}, {"training": False}):
        root.__call__.get_concrete_function(spec, **arguments)
    root.endpoints = traced(endpoints, input_signature=[spec])
    root.variables = [v.value for v in encoder.variables]
    root.trainable_variables = [v.value for v in encoder.trainable_variables]
    root.regularization_losses = []
    return root


def signatures(root: tf.train.Checkpoint, size: int, extent: Extent) -> Signatures:
    """The signatures of an exported encoder for images of size x size pixels.

    serving_default: images -> global; endpoints: images -> all endpoints; serving_bytes:
    image_bytes, encoded images of any size -> global; serving_bytes_valid: likewise, and whether
    each image could be decoded (features of one that could not are 0). On request, quantized:
    images -> global_bytes, uint8 [N, D]; neighbours: images -> id and cosine similarity [N, k].
    """
    spec = tf.TensorSpec([None, size, size, 3], tf.float32, name="images")
    bytes_spec = tf.TensorSpec([None], tf.string, name="image_bytes")

    @traced(input_signature=[spec])
    def serving_default(images):
        return {"global": root.__call__(images)}

    @traced(input_signature=[spec])
    def endpoints(images):
        return root.endpoints(images)

    @traced(input_signature=[bytes_spec])
    def serving_bytes(image_bytes):
        pixels = encoded_images.decode_all(image_bytes, size, extent.max_pixels, extent.pixel_range)
        return {"global": root.__call__(image_ops.to_unit(pixels))}

    @traced(input_signature=[bytes_spec])
    def serving_bytes_valid(image_bytes):
        pixels, valid = encoded_images.decode_valid(
            image_bytes, size, extent.max_pixels, extent.pixel_range
        )
        features = root.__call__(image_ops.to_unit(pixels))
        return {"global": tf.where(valid[:, tf.newaxis], features, 0.0), "valid": valid}

    made: Signatures = {
        "serving_default": serving_default,
        "endpoints": endpoints,
        "serving_bytes": serving_bytes,
        "serving_bytes_valid": serving_bytes_valid,
    }
    if extent.quantization is not None:
        made["quantized"] = _quantized(root, spec, extent.quantization)
    if extent.reference is not None:
        made["neighbours"] = _neighbours(root, spec, extent.reference)
    return made


def _quantized(root, spec, quantization):
    @traced(input_signature=[spec])
    def quantized(images):
        steps = (root.__call__(images) - quantization.offset) / quantization.scale
        return {"global_bytes": image_ops.to_bytes(steps)}

    return quantized


def _neighbours(root, spec, reference):
    # Variables of the root, not of its `variables`: fine-tuning must not touch them.
    root.reference_features = tf.Variable(_normalized(reference.features), trainable=False)
    root.reference_ids = tf.Variable(list(reference.ids), trainable=False)

    @traced(input_signature=[spec])
    def neighbours(images):
        features = tf.math.l2_normalize(root.__call__(images), axis=-1)
        similarities = tf.matmul(features, root.reference_features, transpose_b=True)
        similarity, places = tf.math.top_k(similarities, k=reference.count)
        return {"id": tf.gather(root.reference_ids, places), "similarity": similarity}

    return neighbours


def _normalized(features):
    wide = features.astype(np.float64)  # in which the square of any float32 is finite
    lengths = np.linalg.norm(wide, axis=-1, keepdims=True)
    return (wide / np.maximum(lengths, 1e-12)).astype(np.float32)


def load(path: str, signature: str) -> Any:
    """A SavedModel with a signature; whoever calls the signature must keep the whole.

    Raises:
        InputError: there is none at `path`, its files are not those of its SHA256SUMS, or it lacks
            the signature.
    """
    verify.check(path, "--saved_model")
    try:
        loaded = tf.saved_model.load(path)
    except Exception as error:  # a file from elsewhere makes its parser fail in every way
        raise InputError(
            f"--saved_model={path} cannot be loaded ({reason(error)}); give one version of an "
            "exported encoder, as exported/cifar10/1"
        ) from error
    if signature not in loaded.signatures:
        raise InputError(
            f"the SavedModel in {path} has the signatures {', '.join(loaded.signatures)} and not "
            f"{signature}; export the encoder again, with --mode=export"
        )
    return loaded


def weights_fingerprint(variables: Iterable[Any]) -> str:
    """A hash of the values of `variables`: the same for an encoder and for what is made of it."""
    found = hashlib.sha256()
    for variable in variables:
        found.update(variable.numpy().tobytes())
    return found.hexdigest()


def save(encoder: keras.Model, path: Path, extent: Extent) -> dict[str, Any]:
    """Writes the SavedModel of a built float32 encoder to `path`.

    Assets: metadata.json and labels.txt (one a line; empty where labels have no names).

    Returns:
        What metadata.json tells: the extent's metadata, and each signature's inputs and outputs.
    """
    root = root_object(encoder)
    made = signatures(root, encoder.image_shape[0], extent)
    told = extent.metadata | {"signatures": {n: described(f) for n, f in made.items()}}
    with tempfile.TemporaryDirectory() as folder:
        metadata, labels = Path(folder, "metadata.json"), Path(folder, "labels.txt")
        metadata.write_text(json.dumps(told, indent=2) + "\n", encoding="utf-8")
        labels.write_text(label_lines(extent.label_names), encoding="utf-8")
        root.metadata, root.labels = tf.saved_model.Asset(metadata), tf.saved_model.Asset(labels)
        tf.saved_model.save(root, str(path), signatures=made)
    return told


def label_lines(names: Iterable[str]) -> str:
    """A name a line; one that has line ends, as a folder's may, stays one."""
    return "".join(" ".join(name.splitlines()) + "\n" for name in names)


def described(signature: tf.types.experimental.GenericFunction) -> dict[str, dict[str, str]]:
    """{"inputs": {"images": "float32 [N, 32, 32, 3]"}, "outputs": {...}} of a signature."""
    concrete = signature.get_concrete_function()

    def tensor(spec):
        shape = ", ".join("N" if size is None else str(size) for size in spec.shape)
        return f"{spec.dtype.name} [{shape}]"

    inputs = {spec.name: tensor(spec) for spec in concrete.structured_input_signature[0]}
    outputs = {name: tensor(x) for name, x in concrete.structured_outputs.items()}
    return {"inputs": inputs, "outputs": outputs}


def expected_endpoints(encoder: keras.Model, pixels: np.ndarray) -> dict[str, np.ndarray]:
    """What the signature endpoints must answer: the Keras model's, of images in [0, 1]."""
    channels = encoder.image_shape[-1]
    x = image_ops.encoder_input(tf.constant(pixels), channels)
    return {name: found.numpy() for name, found in encoder(x, training=False).items()}


def expected(encoder: keras.Model, pixels: np.ndarray) -> np.ndarray:
    """What an export must answer: the Keras model's global features of images in [0, 1]."""
    return global_features(expected_endpoints(encoder, pixels)).numpy()


def check(path: Path, encoder: keras.Model, pixels: np.ndarray, extent: Extent) -> float:
    """Loads the SavedModel and compares every way to call it with the Keras model.

    Args:
        path: of the SavedModel.
        encoder: that it was made from.
        pixels: float32 [N, H, W, 3] in [0, 1], multiples of 1/255: real images.
        extent: what it was saved with.

    Returns:
        The largest difference, as a share of the largest feature.

    Raises:
        RunError: it exceeds `TOLERANCE`.
    """
    loaded = tf.saved_model.load(str(path))
    called: dict[str, Callable] = dict(loaded.signatures)
    wanted_endpoints = expected_endpoints(encoder, pixels)
    wanted = global_features(wanted_endpoints).numpy()
    images = tf.constant(pixels)
    encoded = tf.constant(png_images(pixels))
    endpoints = called["endpoints"](images=images)
    worst = max(
        difference(f"endpoint {name}", endpoints[name].numpy(), x)
        for name, x in wanted_endpoints.items()
    )
    answers = {
        "call": loaded(images),
        "serving_default": called["serving_default"](images=images)["global"],
        "serving_bytes": called["serving_bytes"](image_bytes=encoded)["global"],
        "serving_bytes_valid": called["serving_bytes_valid"](image_bytes=encoded)["global"],
    }
    for name, x in answers.items():
        worst = max(worst, difference(name, x.numpy(), wanted))
    if extent.quantization is not None:
        steps = called["quantized"](images=images)["global_bytes"].numpy()
        scale, offset = extent.quantization.scale, extent.quantization.offset
        inside = np.clip(wanted, offset, offset + 255 * scale)
        largest = np.abs((offset + scale * steps - inside) / scale).max()
        if not largest <= 0.51:
            raise RunError(f"quantized differs by {largest:.2f} steps, more than half a step")
    if extent.reference is not None:
        found = called["neighbours"](images=images)
        cosines = _normalized(wanted) @ _normalized(extent.reference.features).T
        best = np.sort(cosines, axis=1)[:, ::-1][:, : extent.reference.count]
        worst = max(worst, difference("neighbours", found["similarity"].numpy(), best))
        # Neighbours that are equally near may be named in any order; each must be as near as told.
        rows = {one.encode(): row for row, one in enumerate(extent.reference.ids)}
        places = np.vectorize(rows.__getitem__)(found["id"].numpy())
        named = np.take_along_axis(cosines, places, axis=1)
        worst = max(worst, difference("neighbours' ids", named, best))
    return worst


def png_images(pixels: np.ndarray) -> list[bytes]:
    """Images, float [N, H, W, 3] in [0, 1], as PNG files."""
    return [tf.io.encode_png((p * 255.0).round().astype(np.uint8)).numpy() for p in pixels]


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
