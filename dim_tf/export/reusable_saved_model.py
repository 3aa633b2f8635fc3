"""Reusable SavedModels as defined by TF Hub: a callable object, with signatures for serving.

https://www.tensorflow.org/hub/reusable_saved_models
"""

import functools
import hashlib
import json
import tempfile
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import tensorflow as tf
from tensorflow.core.protobuf import fingerprint_pb2

from dim_tf.export.saved_model_assets import describe_signature, label_lines

Signatures = dict[str, tf.types.experimental.GenericFunction]

# AutoGraph takes seconds, and nothing here has Python's control flow over tensors.
graph_function = functools.partial(tf.function, autograph=False)


def root(
    call: Callable,
    spec: tf.TensorSpec,
    variables: Sequence[tf.Variable],
    trainable_variables: Sequence[tf.Variable],
) -> tf.train.Checkpoint:
    """The object that is saved, with `variables`, `trainable_variables`, `regularization_losses`.

    Args:
        call: (images, training=False) -> output.
        spec: Spec of the images.
        variables: Variables that the call uses.
        trainable_variables: Those of them that are trained.
    """
    saved = tf.train.Checkpoint()
    saved.__call__ = graph_function(call)
    for arguments in ({}, {"training": True}, {"training": False}):
        saved.__call__.get_concrete_function(spec, **arguments)
    saved.variables = list(variables)
    saved.trainable_variables = list(trainable_variables)
    saved.regularization_losses = []
    return saved


def write(
    saved: tf.train.Checkpoint,
    functions: Signatures,
    path: Path,
    metadata: dict[str, Any],
    label_names: Sequence[str],
) -> dict[str, Any]:
    """Writes a SavedModel.

    Its assets are metadata.json and labels.txt (one name per line; empty if labels have no names).

    Args:
        saved: Result of `root`.
        functions: Its signatures.
        path: Its folder.
        metadata: Content of metadata.json; its values go into JSON.
        label_names: Content of labels.txt.

    Returns:
        The content of metadata.json: `metadata`, and the inputs and outputs of each signature.
    """
    # Traced here, because TensorFlow would trace each signature once more to save it.
    traced = {name: function.get_concrete_function() for name, function in functions.items()}
    described = {name: describe_signature(function) for name, function in traced.items()}
    content = metadata | {"signatures": described}
    with tempfile.TemporaryDirectory() as folder:
        metadata_file, labels_file = Path(folder, "metadata.json"), Path(folder, "labels.txt")
        metadata_file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        labels_file.write_text(label_lines(label_names), encoding="utf-8")
        saved.metadata = tf.saved_model.Asset(metadata_file)
        saved.labels = tf.saved_model.Asset(labels_file)
        save(saved, path, traced)
    return content


def save(saved: tf.Module | tf.train.Checkpoint, path: Path, traced: Mapping[str, Any]) -> None:
    """Writes a SavedModel; the same model gives the same bytes.

    TensorFlow gives each fingerprint.pb a random UUID; here it is derived from the hashes beside
    it.

    Args:
        saved: The object.
        path: Its folder.
        traced: The concrete function of each signature.
    """
    tf.saved_model.save(saved, str(path), signatures=dict(traced))
    file = path / "fingerprint.pb"
    fingerprint = fingerprint_pb2.FingerprintDef.FromString(file.read_bytes())
    fingerprint.ClearField("uuid")
    digest = hashlib.sha256(fingerprint.SerializeToString(deterministic=True)).digest()
    fingerprint.uuid = str(int.from_bytes(digest[:16], "big"))  # decimal, as TensorFlow's
    file.write_bytes(fingerprint.SerializeToString(deterministic=True))
