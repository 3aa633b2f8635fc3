"""The runs by which proxies without labels are calibrated, and what is measured of them."""

import label_free
import label_free_correlation
import numpy as np
import pytest

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation.evaluation_data import EvaluationSplit


@pytest.mark.parametrize("objective", label_free.OBJECTIVES)
def test_every_objective_is_an_experiment(tmp_path, objective):
    experiment = label_free.experiment_of(objective, "tiny imagenet", 3, tmp_path)
    assert (experiment.data.dataset, experiment.training.seed) == ("folder", 3)
    assert experiment.training.steps == label_free.STEPS[-1]
    assert experiment.training.batch_size == label_free.COMMON["batch_size"]
    assert experiment.pipeline_augmentation == "none"


def test_references_come_first_and_each_row_once():
    rows = label_free.queue(["cifar10", "celeb_a"])
    assert len(set(rows)) == len(rows) == 2 * (3 + len(label_free.OBJECTIVES) + 2) + 1
    assert {objective for _, objective, _ in rows[:7]} == {"pixels", "random", "exported"}
    assert [dataset for dataset, *_ in rows[7:11]] == ["cifar10", "celeb_a"] * 2
    assert all(objective != "exported" for _, objective, _ in label_free.queue(["celeb_a"]))


def labelled(n, seed):
    """Images whose top half is as bright as their class says."""
    rng = np.random.default_rng(seed)
    labels = rng.integers(0, 3, n)
    images = rng.integers(0, 60, (n, 8, 8, 3), np.uint8)
    images[:, :4] += (60 * labels[:, np.newaxis, np.newaxis, np.newaxis]).astype(np.uint8)
    return images, labels


def test_probes_and_proxies_of_pixels():
    train, test = labelled(120, 0), labelled(60, 1)
    splits = Splits("synthetic", Split(*train), Split(*test), ("a", "b", "c"), "a note")
    measured = label_free.Measured.of(splits, EvaluationSplit(*train), EvaluationSplit(*test))
    per_image = {}
    (point,) = label_free.measure(label_free.encode_pixels, measured, 7, per_image)
    assert (point["step"], point["endpoint"], point["size"]) == (7, "pixels", 192)
    assert point["linear"] > 0.9
    values = point["proxies"]
    assert values["pretext probe, rotation"] > 0.6
    assert values["relative alignment, inverted"] < 0 < values["relative alignment, blurred"]
    for key, array in per_image.items():
        name = key.removeprefix("7/pixels/")
        if name == "features":
            assert array.shape == (60, 192)
        else:
            assert values[name] == pytest.approx(array.mean(dtype=np.float64), abs=1e-3)
    assert all(np.isfinite(label_free_correlation.oriented(*item)) for item in values.items())
