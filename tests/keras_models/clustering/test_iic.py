"""Invariant information clustering: its equations, its heads."""

import finite_differences
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.clustering.iic import IIC, mutual_information
from keras_models.distribute.randomness import StepRandom
from keras_models.views import Augmentation, Views

RANDOM = StepRandom(seed=0, step=tf.constant(3))


def softmax(logits):
    exponentials = np.exp(logits - logits.max(axis=-1, keepdims=True))
    return exponentials / exponentials.sum(axis=-1, keepdims=True)


def equation(first, second):
    """Equations 2 and 3 of the paper, term by term."""
    count, clusters = first.shape
    joint = sum(np.outer(first[i], second[i]) for i in range(count)) / count
    joint = (joint + joint.T) / 2
    of_first, of_second = joint.sum(1), joint.sum(0)
    return sum(
        joint[a, b] * np.log(joint[a, b] / (of_first[a] * of_second[b]))
        for a in range(clusters)
        for b in range(clusters)
    )


def test_it_is_the_equation_with_its_gradients():
    logits = np.random.default_rng(0).normal(size=(2, 7, 4))
    finite_differences.assert_equation(
        lambda a, b: mutual_information(tf.nn.softmax(a), tf.nn.softmax(b)),
        lambda a, b: equation(softmax(a), softmax(b)),
        *logits,
    )


def test_equal_clusters_have_their_entropy_and_independent_ones_nothing():
    sure = tf.one_hot([0, 1, 2, 0, 1, 2], 3)
    np.testing.assert_allclose(mutual_information(sure, sure), np.log(3), rtol=1e-5)
    uniform = tf.fill([6, 3], 1 / 3)
    np.testing.assert_allclose(mutual_information(sure, uniform), 0, atol=1e-6)
    collapsed = tf.one_hot([1] * 6, 3)
    with tf.GradientTape() as tape:
        tape.watch(collapsed)
        value = mutual_information(collapsed, collapsed)
    np.testing.assert_allclose(value, 0, atol=1e-6)
    assert np.isfinite(tape.gradient(value, collapsed)).all()


def test_the_loss_is_of_all_sub_heads_and_both_heads():
    model = small.build(small.iic)
    views = model.views(small.BATCH.images, RANDOM)
    first, second = (model.encoder(x, training=True)["global"].numpy() for x in views)
    information = []
    for head in (model.main_head, model.auxiliary_head):
        # With first weights the information is 1e-5, and rounding a hundredth of it.
        head.dense.kernel.assign(20 * head.dense.kernel)
    for head, clusters in ((model.main_head, 3), (model.auxiliary_head, 6)):
        weights, bias = (v.numpy() for v in head.weights)
        logits = [(x @ weights + bias).reshape(16, 2, clusters) for x in (first, second)]
        information.append(
            np.mean([equation(*(softmax(x[:, i]) for x in logits)) for i in range(2)])
        )
    losses = model.objective(small.BATCH, RANDOM)
    np.testing.assert_allclose(losses.metrics["cluster_information"], information[0], rtol=1e-3)
    np.testing.assert_allclose(losses.metrics["overcluster_information"], information[1], rtol=1e-3)
    np.testing.assert_allclose(losses.loss, -np.mean(information), rtol=1e-3)
    alone = small.build(lambda encoder: small.iic(encoder, overclusters=0))
    losses = alone.objective(small.BATCH, RANDOM)
    assert float(losses.loss) == -float(losses.metrics["cluster_information"])


def test_an_image_is_in_the_cluster_of_the_best_sub_head():
    model = small.build(small.iic)
    features = tf.constant(np.random.default_rng(0).normal(size=(9, small.LATENT)), tf.float32)
    of_heads = model.probabilities(model.main_head, features)
    for best in (0, 1):
        model.head_losses.assign(tf.one_hot(best, 2, -1.0, 0.0))
        np.testing.assert_array_equal(model.scores(features), of_heads[best])


def test_the_moving_average_is_of_the_sub_heads_losses():
    model = small.build(small.iic)
    losses = model.objective(small.BATCH, RANDOM)
    average = model.head_losses.numpy()
    np.testing.assert_allclose(
        average.mean(), -0.01 * losses.metrics["cluster_information"], rtol=1e-3
    )
    assert average[0] != average[1]


def test_steps_raise_the_information():
    losses = small.losses(small.build(small.iic), 30)
    assert np.mean(losses[-5:]) < 1.5 * np.mean(losses[:5]) < 0


def test_what_does_not_fit_is_refused():
    encoder = small.build(small.iic).encoder
    with pytest.raises(ValueError, match="IIC compares two views"):
        IIC(encoder, 3, views=Views())
    with pytest.raises(ValueError, match="clusters=1; expected at least 2"):
        IIC(encoder, 1, views=Views(Augmentation()))
    with pytest.raises(ValueError, match="sub_heads=0; expected at least 1"):
        IIC(encoder, 3, sub_heads=0, views=Views(Augmentation()))
