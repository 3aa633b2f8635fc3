"""A detector of anomalous images as a SavedModel: encoder, memory bank and threshold in one.

    detector = tf.saved_model.load("exported/boards-detector/1")
    outputs = detector.signatures["serving_default"](images=images)  # float32 in [0, 1]
    outputs["score"], outputs["p_value"], outputs["is_anomalous"], outputs["heat_map"]

`serving_bytes` takes `image_bytes`, encoded images of any size, and also returns `valid`. A heat
map has the size of the images that the encoder takes.
"""

import json
import tempfile
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import tensorflow as tf

from dim_tf.export import encoded_input, reusable_saved_model
from dim_tf.export.local_maps import LOCAL, LocalMaps
from dim_tf.export.saved_model import HEAT_MAP, VALID, check_difference, graph_function
from dim_tf.export.saved_model_assets import describe_signature

CANDIDATES = 5  # patches of the bank whose distance is computed from differences


@dataclass(frozen=True)
class AnomalyModel:
    """What a detector adds to an encoder; its memory bank has M patches.

    Attributes:
        bank: float32 [M, D].
        supporting: int [M, k], for each patch the nearest rows of the bank, including itself; k =
            1: image scores are not weighted.
        neighbourhood: Locations per side that are averaged.
        threshold: A higher score is anomalous.
        normal_scores: float [n], ascending, for p-values.
        row_weights: float32 [h, H], weights that make rows of a heat map from rows of locations.
        column_weights: float32 [w, W], the same for columns.
    """

    bank: np.ndarray
    supporting: np.ndarray
    neighbourhood: int
    threshold: float
    normal_scores: np.ndarray
    row_weights: np.ndarray
    column_weights: np.ndarray


def save(
    local_maps: LocalMaps,
    path: Path,
    model: AnomalyModel,
    metadata: Mapping[str, Any] | None = None,
) -> dict[str, Any]:
    """Writes the SavedModel; its asset metadata.json is the encoder's, with these entries added.

    Memory of a call: M H W numbers, for one image after another.

    Args:
        local_maps: Local maps of an export; the bank is made of its maps.
        path: Path of the new SavedModel.
        model: What is added to the encoder.
        metadata: Entries that replace those of the encoder's metadata.json, such as its name; the
            entry "anomaly" is added to the description of the detector.

    Returns:
        The content of metadata.json.
    """
    endpoints = local_maps.model.signatures["endpoints"]
    options, frame = local_maps.options, local_maps.frame
    root = tf.train.Checkpoint()
    root.variables, root.scorer = list(local_maps.model.variables), _Scorer(model)
    spec = tf.TensorSpec([None, *frame.shape], tf.float32, name="images")

    @graph_function(input_signature=[spec])
    def serving_default(images):
        return root.scorer.outputs(endpoints(images=images)[LOCAL])

    @graph_function(input_signature=[tf.TensorSpec([None], tf.string, name="image_bytes")])
    def serving_bytes(image_bytes):
        images, valid = encoded_input.decode_valid(image_bytes, frame, options)
        return {**root.scorer.outputs(endpoints(images=images)[LOCAL]), VALID: valid}

    functions = {"serving_default": serving_default, "serving_bytes": serving_bytes}
    traced = {name: function.get_concrete_function() for name, function in functions.items()}
    content = {
        **options.metadata,
        **(metadata or {}),
        "anomaly": _description(model) | dict((metadata or {}).get("anomaly", {})),
        "signatures": {name: describe_signature(function) for name, function in traced.items()},
    }
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder, "metadata.json")
        file.write_text(json.dumps(content, indent=2) + "\n", encoding="utf-8")
        root.metadata = tf.saved_model.Asset(file)
        reusable_saved_model.save(root, path, traced)
    return content


def _description(model: AnomalyModel) -> dict[str, Any]:
    return {
        "method": "PatchCore, https://arxiv.org/abs/2106.08265",
        "bank": len(model.bank),
        "neighbourhood": model.neighbourhood,
        "support": model.supporting.shape[1],
        "threshold": model.threshold,
        "calibration_images": len(model.normal_scores),
    }


class _Scorer(tf.Module):
    """The graph of `collection.patches.anomaly.score`, image by image."""

    def __init__(self, model: AnomalyModel):
        super().__init__()
        center = model.bank.mean(axis=0, dtype=np.float64).astype(np.float32)
        self.center = _constant(center)
        self.bank = _constant(model.bank - center)
        self.half_squares = _constant(np.sum((model.bank - center) ** 2, axis=1) / 2)
        self.supporting = _constant(model.supporting.astype(np.int32))
        self.normal_scores = _constant(model.normal_scores.astype(np.float32))
        self.row_weights = _constant(model.row_weights.astype(np.float32))
        self.column_weights = _constant(model.column_weights.astype(np.float32))
        self.threshold, self.neighbourhood = float(model.threshold), model.neighbourhood

    def outputs(self, maps: tf.Tensor) -> dict[str, tf.Tensor]:
        """The outputs of the signatures for local maps, float32 [N, H, W, D]."""
        # An average pool does not count its padding.
        averaged = tf.nn.avg_pool2d(maps, self.neighbourhood, 1, "SAME")
        height, width, size = maps.shape[1:]
        scores, patches = tf.map_fn(
            self._score,
            tf.reshape(averaged, [-1, height * width, size]),
            fn_output_signature=(
                tf.TensorSpec([], tf.float32),
                tf.TensorSpec([height * width], tf.float32),
            ),
        )
        patch_scores = tf.reshape(patches, [-1, height, width])
        heat_maps = tf.einsum("hH,nHW,wW->nhw", self.row_weights, patch_scores, self.column_weights)
        below = tf.searchsorted(self.normal_scores, scores, side="left")
        count = tf.size(self.normal_scores)
        return {
            "score": scores,
            "p_value": tf.cast((1 + count - below) / (1 + count), tf.float32),
            "is_anomalous": scores > self.threshold,
            "patch_scores": patch_scores,
            HEAT_MAP: heat_maps,
        }

    def _score(self, patches):
        queries = patches - self.center
        # Half the negated squared distances, without the query's own square; they are rounded.
        likeness = tf.matmul(queries, self.bank, transpose_b=True) - self.half_squares
        candidates = tf.math.top_k(likeness, min(CANDIDATES, self.bank.shape[0])).indices
        exact = tf.norm(queries[:, tf.newaxis] - tf.gather(self.bank, candidates), axis=2)
        best = tf.argmin(exact, axis=1)[:, tf.newaxis]
        nearest = tf.gather(candidates, best, batch_dims=1)[:, 0]
        distances = tf.gather(exact, best, batch_dims=1)[:, 0]
        farthest = tf.argmax(distances, output_type=tf.int32)
        score = distances[farthest]
        if self.supporting.shape[1] > 1:
            support = tf.gather(self.bank, self.supporting[nearest[farthest]])
            to_support = tf.norm(queries[farthest] - support, axis=1)
            score *= -tf.math.expm1(score - tf.reduce_logsumexp(to_support))
        return score, distances


def _constant(values: np.ndarray) -> tf.Variable:
    """A variable, because the constants of a graph are limited to 2 GB."""
    return tf.Variable(values, trainable=False)


def check(
    path: Path,
    pixels: np.ndarray,
    files: list[bytes],
    scores: np.ndarray,
    patch_scores: np.ndarray,
) -> float:
    """Loads the SavedModel and compares its signatures with scores computed without it.

    Args:
        path: Path of the SavedModel.
        pixels: float32 [N, H, W, C], images in the form that the encoder takes.
        files: The same images, losslessly encoded.
        scores: float [N], image scores.
        patch_scores: float [N, H, W], scores of the locations.

    Returns:
        The largest difference, relative to the largest score.

    Raises:
        RunError: The difference exceeds the tolerance of an export.
    """
    signatures = tf.saved_model.load(str(path)).signatures
    differences = []
    for name, outputs in (
        ("serving_default", signatures["serving_default"](images=tf.constant(pixels))),
        ("serving_bytes", signatures["serving_bytes"](image_bytes=tf.constant(files))),
    ):
        for output, expected in (("score", scores), ("patch_scores", patch_scores)):
            actual = outputs[output].numpy()
            differences.append(check_difference(f"{name}'s {output}", actual, expected))
    return max(differences)
