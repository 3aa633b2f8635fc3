import harness
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import priors
from keras_models.distribute.randomness import StepRandom
from keras_models.generative import generator
from keras_models.generative.generator import Generator
from keras_models.nn.decoders import Decoder
from keras_models.nn.discriminators import ImageDiscriminator


def make_generator(seed=0, divergence="gan", synchronized=False, **compile_arguments):
    keras.utils.set_random_seed(1)
    model = Generator(
        Decoder((8, 8, 1), 3, (8, 4), synchronized),
        ImageDiscriminator((4, 8)),
        priors.get("gaussian", 3),
        divergence,
        penalty=1.0,
        seed=seed,
    )
    model.compile(**compile_arguments)
    model.build()
    return model


def real_images(n=16):
    """Bright or dark squares."""
    rng = np.random.default_rng(0)
    shade = np.where(rng.uniform(size=(n, 1, 1, 1)) < 0.5, -0.9, 0.9)
    return tf.constant(shade + rng.normal(0, 0.02, (n, 8, 8, 1)), tf.float32)


def test_loss_is_the_non_saturating_one_of_the_generated_images():
    model = make_generator()
    codes = model.prior.sample(StepRandom(0, 0).uniform("codes", 16, (3,)))
    logits = model.discriminator(model.decoder(codes, training=True))
    metrics = model.train_step(real_images())
    expected = np.mean(np.log1p(np.exp(-logits)))
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-4)
    assert set(metrics) == {"loss", "generator_loss", "image_divergence", "image_gradient_penalty"}


@pytest.mark.parametrize("frozen", ["adversary", "encoder"])
def test_each_optimizer_moves_its_own_variables_only(frozen):
    rates = {"adversary": 0.1, "encoder": 0.1, frozen: 0.0}
    model = make_generator(
        optimizer=keras.optimizers.SGD(rates["encoder"]),
        adversary_optimizer=keras.optimizers.SGD(rates["adversary"]),
    )
    owned = {"adversary": model.adversary_variables, "encoder": model.main_variables}
    assert {id(v) for v in owned["encoder"]} == {id(v) for v in model.decoder.trainable_variables}
    before = {key: [v.numpy() for v in variables] for key, variables in owned.items()}
    model.train_step(real_images())
    for key, variables in owned.items():
        moved = [
            not np.array_equal(v.numpy(), old)
            for v, old in zip(variables, before[key], strict=True)
        ]
        assert any(moved) == (key != frozen)


def test_step_on_two_replicas_equals_one_device(two_replicas):
    def sgd(synchronized=True):
        return make_generator(
            synchronized=synchronized,
            optimizer=keras.optimizers.SGD(0.05),
            adversary_optimizer=keras.optimizers.SGD(0.05),
            jit_compile=False,
        )

    one = sgd()
    with two_replicas.scope():
        model = sgd()
    batch = real_images()
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.split(batch, 2)[context.replica_id_in_sync_group]
    )
    tf.function(lambda x: two_replicas.run(model.train_step, [x]))(halves)
    one.train_step(batch)
    for weight, expected in zip(model.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_learns_the_shades_of_the_images():
    """After training the generated squares are mostly bright or dark, and there are both."""
    model = make_generator(learning_rate=2e-3)
    step = tf.function(model.train_step)
    for _ in range(400):
        step(real_images(64))
    shades = np.mean(model.samples(200), axis=(1, 2, 3))
    assert np.mean(np.abs(shades) > 0.5) > 0.7
    assert 0.15 < np.mean(shades > 0) < 0.85


def test_samples_depend_on_the_seed_alone():
    model = make_generator()
    np.testing.assert_array_equal(model.samples(4, seed=2), model.samples(4, seed=2))
    assert not np.array_equal(model.samples(4, seed=2), model.samples(4, seed=3))
    assert model.samples(4).shape == (4, 8, 8, 1)


def test_serialisation_round_trip():
    model = make_generator(seed=5, divergence="w1")
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    np.testing.assert_array_equal(again.samples(3), model.samples(3))


def test_bfloat16_step_is_close_to_float32():
    expected = make_generator().train_step(real_images())
    metrics = harness.in_bfloat16(make_generator).train_step(real_images())
    for name, value in metrics.items():
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, expected[name], rtol=0.1, atol=0.1, err_msg=name)


def test_a_generator_fits_an_image_shape():
    model = generator.image_generator((32, 32, 3), "uniform", 64, "w1", 2.0, seed=3)
    model.build()
    assert sum(v.numpy().size for v in model.decoder.trainable_variables) == 3_296_256
    assert model.discriminator.filters == (64, 128, 256)
    assert (model.divergence.name, model.penalty, model.seed) == ("w1", 2.0, 3)
