"""Exports the trained encoder."""

import dataclasses
from pathlib import Path
from typing import Any

import keras
import numpy as np

from dim_tf.collection import embeddings
from dim_tf.data import image_ops
from dim_tf.data.splits import Splits
from dim_tf.evaluation import (
    card_metrics,
    feature_choice,
    representation,
)
from dim_tf.evaluation.report import results
from dim_tf.experiment import Experiment
from dim_tf.export import publish, saved_model
from dim_tf.export.card import ModelCardInfo
from dim_tf.export.feature import Feature
from dim_tf.models.fitted import FittedModel
from dim_tf.stages.export_options import CHECKED_IMAGES, export_options, pixels_of
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.json_files import read_json
from dim_tf.training import plan, start_weights
from dim_tf.training.model import encoder_name, load_trained


def export(experiment: Experiment, splits: Splits) -> Path:
    """Exports the trained encoder as SavedModel and TFLite; returns the version's folder."""
    model, step = load_trained(experiment, splits)
    checked = splits.test if len(splits.test) else splits.train
    pixels = pixels_of(checked.images[:CHECKED_IMAGES], splits)
    evaluation = _evaluation_of(experiment, step)
    choice = _exported_feature(experiment, evaluation)
    feature = Feature(choice["name"], choice["max_features"])
    numbers = feature.dimension(model.encoder)
    feature.freeze_unused(model.encoder)
    say(f"export: feature: {feature.name}, {numbers:,} numbers an image: {choice['reason']}")
    info = ModelCardInfo(
        training_data=splits.note,
        method=experiment.model.LEARNED,
        objective=experiment.model.summary,
        encoder=encoder_name(experiment, splits.image_shape),
        initial_weights=_initial_weights(experiment, step),
        steps=step,
        batch_size=experiment.training.batch_size,
        fitted_images=_fitted_images(experiment, splits),
        license=experiment.export.license,
        note=experiment.export.card_note,
        experiment=experiment.hyperparameters | plan.describe(experiment),
        evaluation=evaluation,
        metrics=card_metrics.render(evaluation),
        feature_choice=choice,
    )
    options = dataclasses.replace(
        export_options(experiment, splits, feature),
        label_names=splits.label_names,
        quantized=experiment.export.quantized,
        neighbours=_neighbours_index(experiment, model.encoder, feature, splits),
        tflite_endpoints=experiment.export.tflite_endpoints,
    )
    folder = Path(experiment.export.export_dir) / experiment.name
    target, difference = publish.publish(model.encoder, folder, pixels, info, options)
    say(f"exported: {target} (largest difference from the Keras model {difference:.1e})")
    return target


def _fitted_images(experiment: Experiment, splits: Splits) -> int:
    """The number of images that a model without training steps was fitted on; else 0."""
    if not isinstance(experiment.model, FittedModel):
        return 0
    return experiment.model.fitted_images(len(splits.train))


def _initial_weights(experiment: Experiment, step: int) -> str:
    """A line of the model card: the weights before training; empty if they were random."""
    weights = start_weights.describe(experiment)
    return f"{weights}{start_weights.describe_freezing(experiment, step)}" if weights else ""


def exported_feature(experiment: Experiment, step: int) -> Feature:
    """The feature that an export of the run at this training step gives."""
    choice = _exported_feature(experiment, _evaluation_of(experiment, step))
    return Feature(choice["name"], choice["max_features"])


def _evaluation_of(experiment: Experiment, step: int) -> dict[str, Any]:
    """evaluation.json of the same training step; empty if there is none.

    Raises:
        InputError: The file is damaged.
    """
    path = experiment.run_path / "evaluation.json"
    if not path.exists():
        return {}
    evaluation = read_json(path, "run --mode=evaluate again")
    results.check(evaluation, path)
    return evaluation if evaluation.get("protocol", {}).get("step") == step else {}


def _exported_feature(experiment: Experiment, evaluation: dict[str, Any]) -> dict[str, Any]:
    return feature_choice.exported(
        experiment.export.feature, experiment.evaluation.max_features, evaluation
    )


def _neighbours_index(
    experiment: Experiment, encoder: keras.Model, feature: Feature, splits: Splits
) -> saved_model.NeighboursIndex | None:
    """The embeddings that the signature `neighbours` searches; None without the signature."""
    where = experiment.export.neighbours_index
    if not where:
        return None
    if where == "train":
        images = splits.train.images
        batches = [
            saved_model.keras_features(
                encoder,
                image_ops.to_unit(images[first : first + representation.BATCH_SIZE]),
                feature,
            )
            for first in range(0, len(images), representation.BATCH_SIZE)
        ]
        features = np.concatenate(batches)
        ids = [f"train:{number}" for number in range(len(images))]
    else:
        ids, features = embeddings.read(Path(where))
        embeddings.check_encoder(Path(where), encoder.variables, feature.name)
        dimension = feature.dimension(encoder)
        if features.shape[1] != dimension:
            raise InputError(
                f"the embeddings in {where} have {features.shape[1]} numbers, the encoder's "
                f"{dimension}; embed the images by an export of this run"
            )
    return saved_model.NeighboursIndex(
        tuple(ids), features, min(experiment.export.neighbours, len(ids))
    )
