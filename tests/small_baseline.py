"""One tiny encoder and its images, and what every baseline's test does with them."""

import keras
import numpy as np
import tensorflow as tf

from keras_models.encoders import ConvNet
from keras_models.objective_model import Batch

SIDE, LATENT = 8, 5
IMAGES = np.random.default_rng(0).uniform(-1, 1, (16, SIDE, SIDE, 1)).astype(np.float32)
LABELS = np.arange(16) % 3
BATCH = Batch(tf.constant(IMAGES), tf.constant(LABELS), tf.range(16, dtype=tf.int64))


def made(make, learning_rate=1e-2, synchronized=False, **compile_arguments):
    """The model that `make` makes of the encoder, compiled and built; always the same weights."""
    keras.utils.set_random_seed(1)
    encoder = ConvNet((SIDE, SIDE, 1), ((4, 4, 2, 1), (8, 4, 2, 1)), (16,), 0, LATENT, synchronized)
    model = make(encoder)
    model.compile(learning_rate, **compile_arguments)
    model.build()
    return model


def losses(model, steps, batch=BATCH, jit_compile=False):
    """The loss of each of some steps on the same batch."""
    step = tf.function(model.train_step, jit_compile=jit_compile)
    return [float(step(batch)["loss"]) for _ in range(steps)]


def sgd(rate=0.05):
    """Arguments of `made`: Adam would hide a gradient that is off by a factor."""
    return {
        "optimizer": keras.optimizers.SGD(rate),
        "adversary_optimizer": keras.optimizers.SGD(rate),
    }


def check_training(make, steps=8, falls=True):
    """A graph's steps lower the loss, eager and XLA begin with the same, and all weights move."""
    model = made(make)
    before = [v.numpy() for v in model.trainable_variables]
    found = losses(model, steps)
    assert np.isfinite(found).all()
    if falls:
        assert np.mean(found[-2:]) < found[0]
    moved = [
        not np.array_equal(v, old) for v, old in zip(model.trainable_variables, before, strict=True)
    ]
    assert all(moved)
    eager = float(made(make).train_step(BATCH)["loss"])
    np.testing.assert_allclose(found[0], eager, rtol=1e-4)
    return found


def check_xla(make):
    """Two steps compiled by XLA have the losses of a graph's."""
    np.testing.assert_allclose(
        losses(made(make, **sgd()), 2, jit_compile=True),
        losses(made(make, **sgd()), 2),
        rtol=1e-3,
    )


def check_replicas(make, two_replicas):
    """A step on two halves is that on the whole batch."""
    one = made(lambda encoder: make(encoder), **sgd(), jit_compile=False)
    with two_replicas.scope():
        two = made(make, synchronized=True, **sgd(), jit_compile=False)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: Batch(*(tf.split(x, 2)[context.replica_id_in_sync_group] for x in BATCH))
    )
    tf.function(lambda batch: two_replicas.run(two.train_step, [batch]))(halves)
    one.train_step(BATCH)
    for weight, expected in zip(two.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=2e-5)


def check_config(make):
    """The configuration and the weights are all of the model."""
    model = made(make)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.get_config() == model.get_config()
    again.compile()
    again.build()
    again.set_weights(model.get_weights())
    expected = model.train_step(BATCH)
    for name, value in again.train_step(BATCH).items():
        np.testing.assert_allclose(value, expected[name], rtol=1e-5, err_msg=name)
