"""Endpoints that are too large: the grid to which they are averaged, and where that is said."""

import itertools
import math
from functools import partial

import keras
import numpy as np
import pytest
import tensorflow as tf
from sample_representations import LazyImages
from small_backbone import small_backbone_encoder

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import array_storage, evaluate, representation
from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.experiment import Experiment
from dim_tf.export.pooling import describe_pooling, pool_to_limit
from dim_tf.stages import evaluate as evaluate_stage
from dim_tf.system.errors import InputError

FITS_2X2 = 2 * 2 * 8  # numbers of conv of the small backbone, whose map is 4x4x8


def adaptive_means(x, height, width):
    """What PyTorch documents of AdaptiveAvgPool2d, location by location."""
    rows, columns = x.shape[1:3]
    means = np.zeros((len(x), height, width, x.shape[3]))
    for i, j in itertools.product(range(height), range(width)):
        top, bottom = math.floor(i * rows / height), math.ceil((i + 1) * rows / height)
        left, right = math.floor(j * columns / width), math.ceil((j + 1) * columns / width)
        means[:, i, j] = x[:, top:bottom, left:right].mean((1, 2), dtype=np.float64)
    return means


@pytest.mark.parametrize(
    ("shape", "most", "grid"),
    [
        ((7, 7, 3), 7 * 7 * 3 - 1, (6, 6)),
        ((7, 7, 3), 3 * 3 * 3, (3, 3)),
        ((7, 7, 3), 3 * 3 * 3 - 1, (2, 2)),
        ((8, 8, 2), 2 * 2 * 2, (2, 2)),
        ((5, 5, 4), 4, (1, 1)),
        ((4, 8, 3), 3 * 6 * 3, (3, 6)),
        ((2, 9, 1), 3, (1, 3)),
    ],
)
def test_a_map_becomes_the_adaptive_means_of_the_largest_grid_that_fits(shape, most, grid):
    x = np.random.default_rng(0).normal(3.0, 1.0, (2, *shape)).astype(np.float32)
    pooled = pool_to_limit(tf.constant(x), most, "conv")
    assert pooled.shape[1:] == (*grid, shape[-1])
    np.testing.assert_allclose(pooled, adaptive_means(x, *grid), rtol=1e-6, atol=1e-6)


def test_what_fits_stays_as_it_is():
    x = tf.random.stateless_uniform([2, 7, 7, 3], [1, 2], dtype=tf.bfloat16)
    np.testing.assert_array_equal(pool_to_limit(x, 7 * 7 * 3, "conv"), tf.cast(x, tf.float32))
    vector = tf.random.stateless_uniform([2, 5], [1, 2])
    np.testing.assert_array_equal(pool_to_limit(vector, 5, "fc"), vector)
    assert describe_pooling((7, 7, 3), 7 * 7 * 3, "conv") == ""


def test_a_resnet50s_map_at_224_pixels_by_the_default():
    most = Experiment.of(name="a").evaluation.max_features
    assert describe_pooling((7, 7, 2048), most, "conv") == "7x7x2048 pooled to 2x2x2048"


@pytest.mark.parametrize(
    ("shape", "message"),
    [
        ((7, 7, 2048), "conv has 2,048 numbers at each location.*give --max_features=2048 or more"),
        ((25088,), "conv has 25,088 numbers an image and no locations.*--max_features=25088"),
    ],
)
def test_what_cannot_be_averaged_is_refused(shape, message):
    with pytest.raises(InputError, match=message):
        pool_to_limit(tf.zeros([1, *shape]), 2047, "conv")
    with pytest.raises(InputError, match=message):
        describe_pooling(shape, 2047, "conv")


def images(count, size=16):
    rng = np.random.default_rng(count)
    return Split(rng.integers(0, 256, (count, size, size, 3), np.uint8), np.arange(count) % 2)


@pytest.fixture(scope="module")
def splits():
    return Splits("synthetic", images(300), images(30), ("a", "b"), "a note")


def test_features_of_a_large_endpoint_are_its_means(splits):
    """Over several batches; the endpoints that fit are the same as without a limit."""
    encoder, data = small_backbone_encoder(), EvaluationData.from_splits(splits)
    whole = representation.from_encoder(encoder, data)
    limited = representation.from_encoder(encoder, data, FITS_2X2)
    assert whole.pooling == {}
    assert limited.pooling == {"conv": "4x4x8 pooled to 2x2x8"}
    assert "conv 32 (4x4x8 pooled to 2x2x8), fc 8, global 5" in limited.endpoint_summary
    for mine, theirs in ((limited.train, whole.train), (limited.test, whole.test)):
        maps = theirs["conv"].reshape(-1, 4, 4, 8)
        means = adaptive_means(maps, 2, 2).reshape(-1, FITS_2X2)
        np.testing.assert_allclose(mine["conv"], means, atol=1e-6)
        for endpoint in ("fc", "global"):
            np.testing.assert_array_equal(mine[endpoint], theirs[endpoint])


def test_the_whole_of_a_large_endpoint_is_never_in_memory(splits, monkeypatch):
    """Only a batch's: arrays of features are allocated for the averages alone."""
    shapes = []
    empty = np.empty

    def spy(shape, dtype):
        shapes.append(shape)
        return empty(shape, dtype)

    monkeypatch.setattr(array_storage.np, "empty", spy)
    data = EvaluationData.from_splits(splits)
    representation.from_encoder(small_backbone_encoder(), data, FITS_2X2)
    sizes = (5, 6, 8, FITS_2X2)  # of global, local_pooled, fc and conv
    assert sorted(set(shapes)) == [(n, f) for n in (30, 300) for f in sizes]


def test_an_evaluation_tells_what_was_pooled(splits, capsys):
    settings = Experiment.of(name="a", measures="knn", max_features=100)
    encoder = small_backbone_encoder()
    of_encoder = partial(representation.from_encoder, max_features=100)
    references = {
        "random_weights": partial(of_encoder, small_backbone_encoder(1)),
        "pixels": partial(representation.from_pixels, max_features=100),
    }
    content = evaluate.run_measures(
        partial(of_encoder, encoder), references, splits, settings
    ).content
    protocol = content["protocol"]
    assert "conv 72 (4x4x8 pooled to 3x3x8)" in protocol["endpoints"]
    assert protocol["pooled"] == (
        "conv: 4x4x8 pooled to 3x3x8; pixels: 16x16x3 pooled to 5x5x3: means over the locations, "
        "for at most 100 numbers an image (--max_features)"
    )
    printed = capsys.readouterr().out
    # Once: that of random weights is the same.
    assert printed.count("conv: 4x4x8 pooled to 3x3x8 (--max_features=100)") == 1
    assert printed.count("pixels: 16x16x3 pooled to 5x5x3") == 1
    unlimited = settings.replace(max_features=2**14)
    without = evaluate.run_measures(
        partial(representation.from_encoder, encoder), {}, splits, unlimited
    ).content
    assert "pooled" not in without["protocol"]


def test_the_report_tells_what_was_pooled(tmp_path):
    kind = {"unit": "fraction", "better": "higher", "title": "kNN"}
    figures = {"knn": {"conv": 0.5}, "measures": {"knn": kind}, "protocol": {"step": 1}}
    settings = Experiment.of(name="a", run_dir=str(tmp_path))
    pages = []
    for protocol in ({}, {"pooled": "conv: 4x4x8 pooled to 2x2x8"}):
        figures["protocol"] = protocol
        evaluate_stage._write_report(settings, 0, figures, [])
        page = (tmp_path / "report.html").read_text(encoding="utf-8")
        table, _, _ = page.partition("<h2>Protocol</h2>")
        pages.append(table)
    assert "were averaged" not in pages[0]
    assert "Large endpoints were averaged: conv: 4x4x8 pooled to 2x2x8." in pages[1]


def test_another_persons_large_vector_is_refused_before_all_features_are_made(splits):
    model = keras.Sequential([keras.Input((16, 16, 3)), keras.layers.Flatten()])
    saved = representation.SavedEncoder(
        (16, 16, 3), lambda x: {"global": model(x)}, "a Keras model"
    )
    seen = []

    class Watched(LazyImages):
        def __getitem__(self, rows):
            seen.append(rows)
            return super().__getitem__(rows)

    of_model = EvaluationData(
        EvaluationSplit(Watched(splits.train.images), splits.train.labels),
        EvaluationSplit(splits.test.images, splits.test.labels),
        ("a", "b"),
        "",
    )
    with pytest.raises(InputError, match="768 numbers an image and no locations"):
        representation.from_saved_encoder(saved, of_model, 767)
    assert len(seen) == 1
    data = EvaluationData.from_splits(splits)
    assert representation.from_saved_encoder(saved, data, 768).pooling == {}
