"""Deep embedded clustering: its equations, and when its state changes."""

import finite_differences
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.clustering.dec import (
    DEC,
    initial_centroids,
    kl_divergence,
    student_t,
    target_distribution,
)
from keras_models.distribute.randomness import derive_seed
from keras_models.objective_model import Batch

RNG = np.random.default_rng(0)
FEATURES, CENTROIDS = RNG.normal(size=(7, 4)), RNG.normal(size=(3, 4))


def equation_1(features, centroids):
    kernel = np.array([[1 / (1 + np.sum((z - m) ** 2)) for m in centroids] for z in features])
    return kernel / kernel.sum(1, keepdims=True)


def equation_3(q):
    weights = q**2 / q.sum(0)
    return weights / weights.sum(1, keepdims=True)


TARGETS = equation_3(equation_1(FEATURES, CENTROIDS))


def test_the_loss_is_the_equations_with_its_gradients():
    def equation_2(features, centroids):
        q = equation_1(features, centroids)
        return np.sum(TARGETS * np.log(TARGETS / q))

    def ours(features, centroids):
        targets = tf.constant(TARGETS, tf.float32)
        return tf.reduce_sum(kl_divergence(targets, student_t(features, centroids)))

    finite_differences.assert_equation(ours, equation_2, FEATURES, CENTROIDS)


def test_targets_are_of_the_encoded_images_alone():
    q = tf.constant(equation_1(FEATURES, CENTROIDS), tf.float32)
    np.testing.assert_allclose(target_distribution(q, tf.ones(7)), TARGETS, rtol=1e-4)
    encoded = tf.constant([1.0] * 5 + [0.0] * 2)
    targets = target_distribution(q, encoded).numpy()
    np.testing.assert_allclose(
        targets[:5], equation_3(equation_1(FEATURES[:5], CENTROIDS)), rtol=1e-4
    )
    np.testing.assert_array_equal(targets[5:], 0)
    np.testing.assert_array_equal(kl_divergence(tf.constant(targets), q)[5:], 0)


def test_centroids_are_those_of_the_clusters():
    centres = np.array([[4, 0], [0, 4], [-4, -4]], np.float32)
    rows = np.repeat(centres, 10, 0) + RNG.normal(scale=0.1, size=(30, 2)).astype(np.float32)
    rows = np.concatenate([rows, np.full((5, 2), 99, np.float32)])
    encoded = np.r_[np.ones(30), np.zeros(5)].astype(np.float32)
    before = np.zeros((3, 2), np.float32)
    result = initial_centroids(*map(tf.constant, (rows, encoded, before)), seed=0).numpy()
    expected = rows[:30].reshape(3, 10, 2).mean(1)
    np.testing.assert_allclose(result[np.argsort(-result[:, 0])], expected, rtol=1e-3, atol=1e-3)
    rows[3, 1] = np.nan
    kept = initial_centroids(*map(tf.constant, (rows, encoded, before + 1)), seed=0)
    np.testing.assert_array_equal(kept, 1)


INDICES = np.random.default_rng(1).permutation(20)[:16]
BATCHES = [
    Batch(small.BATCH.images[i : i + 8], None, tf.constant(INDICES[i : i + 8])) for i in (0, 8)
]


def test_steps_pretrain_then_cluster_and_refresh():
    model = small.build(lambda encoder: small.dec(encoder, 2, 2))
    for step in (0, 1):
        metrics = model.train_step(BATCHES[step])
        assert float(metrics["loss"]) == float(metrics["squared_error"])
        assert not np.any(model.targets)
        assert not np.any(model.centroids)
    encoded = np.array(model.encoded.numpy())
    np.testing.assert_array_equal(np.flatnonzero(encoded), np.sort(INDICES))
    decoder = model.decoder.get_weights()[0].copy()

    refreshed = []
    for step in (2, 3, 4):
        before = model.targets.numpy()
        metrics = model.train_step(BATCHES[step % 2])
        assert float(metrics["loss"]) == float(metrics["cluster_divergence"])
        refreshed.append(not np.array_equal(model.targets.numpy(), before))
    assert refreshed == [True, False, True]
    np.testing.assert_allclose(model.targets.numpy().sum(1), encoded, rtol=1e-5)
    assert np.any(model.centroids)
    # Adam's momentum moves a weight without gradient a little further; its scale is 0.01.
    np.testing.assert_allclose(model.decoder.get_weights()[0], decoder, atol=0.05)


def pretrained(pretraining_steps):
    """A model before its first step of clustering, which has seen each batch once."""
    model = small.build(lambda encoder: small.dec(encoder, pretraining_steps, 2))
    for batch in BATCHES:
        model.train_step(batch)
    model.optimizer.iterations.assign(pretraining_steps)
    return model


def copy_of(model):
    """Another model with the same state."""
    copy = small.build(lambda encoder: small.dec(encoder, model.pretraining_steps, 2))
    for mine, theirs in zip(state(copy), state(model), strict=True):
        mine.assign(theirs)
    return copy


def state(model):
    return model.variables + model.optimizer.variables


def kmeans_of(model):
    """The centroids that k-means gives for the model's features."""
    return initial_centroids(
        model.embeddings.value,
        model.encoded.value,
        tf.zeros_like(model.centroids),
        derive_seed(model.seed, "k-means"),
    ).numpy()


def test_clustering_begins_with_the_features_their_centroids_and_targets():
    model = pretrained(2)
    batch, indices = BATCHES[0], INDICES[:8]
    before = model.embeddings.numpy()
    features = copy_of(model).encoder(batch.images, training=True)["global"].numpy()
    assert not np.allclose(features, before[indices], atol=1e-3)

    model.train_step(batch)
    embeddings = model.embeddings.numpy()
    np.testing.assert_allclose(embeddings[indices], features, rtol=1e-4, atol=1e-5)
    others = np.setdiff1d(np.arange(20), indices)
    np.testing.assert_array_equal(embeddings[others], before[others])
    centroids = kmeans_of(model)
    np.testing.assert_allclose(model.centroids, centroids, atol=0.0101)
    encoded = np.sort(INDICES)
    expected = equation_3(equation_1(embeddings[encoded], centroids))
    assert np.ptp(expected) > 0.3
    np.testing.assert_allclose(model.targets.numpy()[encoded], expected, rtol=1e-3, atol=1e-5)


def test_the_first_step_of_clustering_moves_centroids_by_the_rate():
    model = pretrained(5000)
    model.train_step(BATCHES[0])
    moved = np.abs(model.centroids.numpy() - kmeans_of(model)).max()
    assert 0.005 < moved < 0.0101  # the rate is 0.01


def test_clustering_goes_on_from_its_state():
    model = pretrained(2)
    model.train_step(BATCHES[0])
    resumed = copy_of(model)
    before = model.centroids.numpy()
    expected = model.train_step(BATCHES[1])
    # k-means is of the first step; the rate is 0.01, and momentum lengthens the second.
    np.testing.assert_allclose(model.centroids, before, atol=0.015)
    for name, value in resumed.train_step(BATCHES[1]).items():
        assert float(value) == float(expected[name]), name
    for mine, theirs in zip(state(resumed), state(model), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy(), err_msg=mine.path)


@pytest.mark.slow
def test_clustering_on_two_replicas_equals_one_device(two_replicas):
    def make(encoder):
        return small.dec(encoder, 1, 2)

    one = small.build(make, **small.sgd())
    with two_replicas.scope():
        two = small.build(make, synchronized=True, **small.sgd(), jit_compile=False)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: Batch(
            *(tf.split(x, 2)[context.replica_id_in_sync_group] for x in small.BATCH)
        )
    )
    step = tf.function(lambda batch: two_replicas.run(two.train_step, [batch]))
    for _ in range(2):
        one.train_step(small.BATCH)
        step(halves)
    assert np.any(one.targets)
    for weight, expected in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-3, atol=1e-4)


def test_what_does_not_fit_is_refused():
    model = small.build(small.dec)
    with pytest.raises(ValueError, match="refresh_steps=0; expected at least 1"):
        DEC(model.encoder, model.decoder, 3, 20, 5, 0)
    with pytest.raises(ValueError, match="give Batch\\(images, indices=indices\\)"):
        model.train_step(small.BATCH.images)
