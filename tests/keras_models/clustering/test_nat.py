import itertools

import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.clustering.nat import NoiseAsTargets, assign_targets
from keras_models.objective_model import Batch


def unit(rng, count):
    x = rng.normal(size=(count, 4)).astype(np.float32)
    return x / np.linalg.norm(x, axis=1, keepdims=True)


def test_assignment_is_the_best_of_all():
    rng = np.random.default_rng(0)
    for _ in range(5):
        features, targets = unit(rng, 5), unit(rng, 5)
        result = assign_targets(tf.constant(features), tf.constant(targets)).numpy()
        assert {tuple(row) for row in result} == {tuple(row) for row in targets}
        best = min(
            np.sum((features - targets[list(order)]) ** 2)
            for order in itertools.permutations(range(5))
        )
        np.testing.assert_allclose(np.sum((features - result) ** 2), best, rtol=1e-5)


def test_features_that_are_not_finite_leave_the_targets():
    targets = tf.constant(unit(np.random.default_rng(0), 5))
    features = tf.tensor_scatter_nd_update(targets, [[1, 2]], [np.nan])
    np.testing.assert_array_equal(assign_targets(features, targets).numpy(), targets.numpy())


def test_targets_are_on_the_unit_sphere_and_depend_on_the_seed():
    targets = small.build(small.nat).targets.numpy()
    np.testing.assert_allclose(np.linalg.norm(targets, axis=1), 1, rtol=1e-5)
    np.testing.assert_array_equal(small.build(small.nat).targets.numpy(), targets)
    other = small.build(lambda encoder: NoiseAsTargets(encoder, 20, seed=1)).targets.numpy()
    assert not np.allclose(other, targets)
    many = small.build(lambda encoder: small.nat(encoder, 5000)).targets.numpy()
    np.testing.assert_allclose(many.mean(0), 0, atol=0.03)
    np.testing.assert_allclose(np.cov(many.T), np.eye(5) / 5, atol=0.02)


def test_a_step_exchanges_the_targets_of_its_images_alone():
    model = small.build(small.nat)
    before = model.targets.numpy()
    indices = np.random.default_rng(0).permutation(20)[:16]
    batch = Batch(small.BATCH.images, None, tf.constant(indices))
    raw = model.encoder(batch.images, training=True)["global"].numpy()
    features = raw / np.linalg.norm(raw, axis=1, keepdims=True)
    metrics = small.build(small.nat).train_step(batch)
    model.train_step(batch)
    after = model.targets.numpy()
    untouched = np.setdiff1d(np.arange(20), indices)
    np.testing.assert_array_equal(after[untouched], before[untouched])
    assert {tuple(x) for x in after[indices]} == {tuple(x) for x in before[indices]}
    assigned = assign_targets(features, before[indices]).numpy()
    np.testing.assert_array_equal(after[indices], assigned)
    assert not np.array_equal(assign_targets(raw, before[indices]), assigned)
    expected = np.mean(0.5 * np.sum((features - after[indices]) ** 2, axis=1))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)
    moved = np.any(after[indices] != before[indices], axis=1)
    np.testing.assert_allclose(metrics["reassigned"], moved.mean())


def test_targets_are_state_and_no_weights_of_an_optimizer():
    model = small.build(small.nat)
    assert any(v is model.targets for v in model.variables)
    assert not any(v is model.targets for v in model.trainable_variables)


def test_images_without_their_rows_are_refused():
    with pytest.raises(ValueError, match="give Batch\\(images, indices=indices\\)"):
        small.build(small.nat).train_step(small.BATCH.images)
