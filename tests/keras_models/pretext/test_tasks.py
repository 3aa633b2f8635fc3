"""Pretext tasks: exemplars, context prediction, and two on one trunk."""

import finite_differences
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models import resampling
from keras_models.distribute.randomness import StepRandom
from keras_models.pretext.context_prediction import (
    NEIGHBOURS,
    PATCHES,
    ContextPrediction,
    drop_colors,
    patch_boxes,
)
from keras_models.pretext.exemplar import Exemplar
from keras_models.pretext.tasks import PretextModel
from keras_models.views import Augmentation

RANDOM = StepRandom(seed=0, step=tf.constant(3))


def cross_entropy(logits, classes):
    exponentials = np.exp(logits - logits.max(1, keepdims=True))
    p = exponentials / exponentials.sum(1, keepdims=True)
    return -np.mean(np.log(p[np.arange(len(p)), classes]))


def test_exemplar_classifies_a_changed_image_as_its_number():
    model = small.build(small.exemplar)
    (task,) = model.tasks
    random = RANDOM.fold_in("exemplar")
    changed = task.changed(small.BATCH.images, random)
    features = model.encoder(changed)["global"].numpy()
    weights, bias = (v.numpy() for v in task.classifier.weights)
    indices = np.array([3, 19, 7, 0, 12, 5, 1, 2, 4, 6, 8, 9, 10, 11, 13, 14])
    batch = small.BATCH._replace(indices=tf.constant(indices))
    losses = model.objective(batch, RANDOM, training=False)
    np.testing.assert_allclose(
        losses.loss, cross_entropy(features @ weights + bias, indices), rtol=1e-4
    )
    assert weights.shape == (small.LATENT, 20)


def test_the_gradient_of_exemplar_is_that_of_the_equation():
    model = small.build(small.exemplar)
    (task,) = model.tasks

    class Given:
        """An encoder whose features are given."""

        def __init__(self, features):
            self.features = features

        def __call__(self, images, training, random):
            return {"global": self.features}

    weights, bias = (v.numpy().astype(float) for v in task.classifier.weights)
    finite_differences.assert_equation(
        lambda features: task.output(Given(features), small.BATCH, RANDOM).loss,
        lambda features: cross_entropy(features @ weights + bias, np.arange(16)),
        np.random.default_rng(0).normal(size=(16, small.LATENT)),
    )


def test_the_changes_are_rotations_crops_and_flips_of_the_step():
    images = tf.constant(small.IMAGES)
    plain = Exemplar(20, Augmentation(1.0, 0.0), rotation=0.0)
    sides = np.stack([small.IMAGES, small.IMAGES[:, :, ::-1]])
    changed = plain.changed(images, RANDOM).numpy()
    assert (np.abs(sides - changed).max((2, 3, 4)) == 0).any(0).all()
    turned = Exemplar(20, Augmentation(1.0, 0.0), rotation=20.0)
    assert not np.array_equal(turned.changed(images, RANDOM), changed)
    np.testing.assert_array_equal(turned.changed(images, RANDOM), turned.changed(images, RANDOM))


@pytest.mark.parametrize("size", [(8, 8), (32, 32), (28, 40)])
def test_patches_are_neighbours_with_a_gap_inside_the_image(size):
    first, second, positions = (x.numpy() for x in patch_boxes(size, 4000, RANDOM))
    side = min(size) // 4
    jitter = max(1, round(7 / 96 * side))
    for boxes in (first, second):
        np.testing.assert_array_equal(boxes[:, 2:], side)
        np.testing.assert_array_equal(boxes, np.round(boxes))
        assert boxes.min() >= 0
        assert (boxes[:, :2] + side <= size).all()
    assert set(positions) == set(range(8))
    difference = second[:, :2] - first[:, :2]
    moved = difference - (side + side // 2) * NEIGHBOURS[positions]
    assert np.abs(moved).max() <= 2 * jitter
    assert moved.min() < 0 < moved.max()
    # The first patch is everywhere where its neighbour fits.
    right = positions == [tuple(x) for x in NEIGHBOURS].index((0, 1))
    assert first[right, 0].min() == 0
    assert first[right, 0].max() == size[0] - side


def test_two_of_three_channels_are_noise():
    patches = tf.constant(np.random.default_rng(0).uniform(-1, 1, (60, 16, 16, 3)), tf.float32)
    dropped = drop_colors(patches, RANDOM, "first patch").numpy()
    kept = (dropped == patches.numpy()).all((1, 2))
    np.testing.assert_array_equal(kept.sum(1), 1)
    assert kept.any(0).all()
    std = dropped.std((1, 2))
    np.testing.assert_allclose(
        std[~kept].reshape(60, 2).T, 0.01 * std[kept][None] * [[1], [1]], 0.2
    )
    grey = patches[..., :1]
    np.testing.assert_array_equal(drop_colors(grey, RANDOM, "first patch"), grey)


def test_context_prediction_classifies_the_position_from_both_patches():
    model = small.build(small.context_prediction)
    (task,) = model.tasks
    random = RANDOM.fold_in("context_prediction")
    *boxes, positions = patch_boxes((8, 8), 16, random)
    features = [
        model.encoder(resampling.resized_crop(small.BATCH.images, box))["global"] for box in boxes
    ]
    assert len(features) == len(PATCHES)
    logits = task.position(task.hidden(tf.concat(features, 1))).numpy()
    losses = model.objective(small.BATCH, RANDOM, training=False)
    np.testing.assert_allclose(losses.loss, cross_entropy(logits, positions.numpy()), rtol=1e-4)
    np.testing.assert_allclose(
        losses.metrics["context_prediction_accuracy"],
        np.mean(logits.argmax(1) == positions.numpy()),
        rtol=1e-5,
    )


def test_two_tasks_are_the_weighted_sum_of_each():
    model = small.build(small.multi_task)
    losses = model.objective(small.BATCH, RANDOM, training=False)
    parts = [
        task.output(model.encoder, small.BATCH, RANDOM.fold_in(task.name), training=False).loss
        for task in model.tasks
    ]
    np.testing.assert_allclose(losses.loss, 0.5 * parts[0] + parts[1], rtol=1e-5)
    assert set(losses.metrics) == {"exemplar_accuracy", "context_prediction_accuracy"}
    assert model.needs_indices
    assert not model.evaluates
    alone = small.build(small.context_prediction)
    assert alone.evaluates
    assert not alone.needs_indices


def test_what_does_not_fit_is_refused():
    encoder = small.build(small.exemplar).encoder
    with pytest.raises(ValueError, match="tasks: none; expected at least one"):
        PretextModel(encoder, [])
    with pytest.raises(ValueError, match="each with a name of its own"):
        PretextModel(encoder, [ContextPrediction(), ContextPrediction()])
    with pytest.raises(ValueError, match="rotation=-1 degrees; expected at least 0"):
        Exemplar(20, Augmentation(), -1)
    with pytest.raises(ValueError, match="have no patches with gaps"):
        patch_boxes((7, 9), 4, RANDOM)
