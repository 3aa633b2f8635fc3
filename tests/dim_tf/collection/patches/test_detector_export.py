"""An exported detector gives the scores, alarms and heat maps of the detector."""

import json

import numpy as np
import pytest
import small_export
import tensorflow as tf

from dim_tf.collection.patches import detector_export, heat_maps
from dim_tf.collection.patches.detection import fit_detector
from dim_tf.export import anomaly as anomaly_export
from dim_tf.export import encoded_input, saved_model
from dim_tf.settings.anomaly import AnomalySettings
from dim_tf.system.errors import RunError

NORMAL, OTHERS = np.split(small_export.images(64), [60])  # others: no p-value is that of a tie
PIXELS = np.concatenate([OTHERS, np.zeros((1, 8, 8, 3), np.float32)])


@pytest.fixture(scope="module")
def exported(small_model, tmp_path_factory):
    """Path of an exported detector, and what the detector says of the images."""
    path, encoder = small_model
    settings = AnomalySettings(false_alarms=0.2, neighbourhood=3)
    detector = fit_detector(saved_model.keras_endpoints(encoder, NORMAL)["local"], settings)
    target = tmp_path_factory.mktemp("detector") / "1"
    assert detector_export.export_detector(detector, path, target, PIXELS) < 1e-4
    maps = saved_model.keras_endpoints(encoder, PIXELS)["local"]
    return target, detector, detector.detect(maps)


@pytest.fixture(scope="module")
def loaded(exported):
    """The SavedModel, which must live as long as its signatures."""
    return tf.saved_model.load(str(exported[0]))


def test_it_answers_as_the_detector(exported, loaded):
    _, _, alarms = exported
    outputs = loaded.signatures["serving_default"](images=PIXELS)
    small_export.close(outputs["score"], alarms.scores)
    small_export.close(outputs["p_value"], alarms.p_values)
    assert outputs["is_anomalous"].numpy().tolist() == alarms.is_anomalous.tolist()
    assert outputs["is_anomalous"].numpy()[-1]  # black, and the others are noise
    small_export.close(outputs["patch_scores"], alarms.patch_scores)
    small_export.close(outputs["heat_map"], heat_maps.upsample(alarms.patch_scores, (8, 8)))


def test_files_are_scored_and_others_are_not_valid(exported, loaded):
    _, _, alarms = exported
    files = [*encoded_input.png_images(PIXELS), b"no image"]
    outputs = loaded.signatures["serving_bytes"](image_bytes=tf.constant(files))
    assert outputs["valid"].numpy().tolist() == [True] * 5 + [False]
    small_export.close(outputs["score"][:5], alarms.scores)


def test_its_metadata_say_how_it_was_made(exported):
    path, detector, _ = exported
    metadata = json.loads((path / "assets" / "metadata.json").read_text())
    assert metadata["anomaly"]["threshold"] == detector.threshold.value
    assert metadata["anomaly"]["bank"] == len(detector.bank.patches)
    assert set(metadata["signatures"]) == {"serving_default", "serving_bytes"}


def test_other_scores_are_an_error(exported):
    path, _, alarms = exported
    files = encoded_input.png_images(PIXELS)
    wrong = alarms.scores * [1, 1, 1, 1, 1.01]
    with pytest.raises(RunError, match="serving_default's score differs"):
        anomaly_export.check(path, PIXELS, files, wrong, alarms.patch_scores)
