"""One tiny encoder and its images, and what every baseline's test does with them."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import DeepInfoMax, priors, terms
from keras_models.clustering.nat import NoiseAsTargets
from keras_models.encoders import ConvNet, StridedCropsNet
from keras_models.generative.aae import AdversarialAutoencoder
from keras_models.generative.autoencoder import Autoencoder
from keras_models.generative.bigan import BiGAN
from keras_models.generative.vae import VAE
from keras_models.nn.decoders import Decoder
from keras_models.nn.discriminators import Discriminator, PairDiscriminator
from keras_models.objective_model import Batch
from keras_models.pretext.cpc import CPC
from keras_models.supervised import Supervised
from keras_models.views import Augmentation, Views

SIDE, LATENT = 8, 5
IMAGES = np.random.default_rng(0).uniform(-1, 1, (16, SIDE, SIDE, 1)).astype(np.float32)
LABELS = np.arange(16) % 3
BATCH = Batch(tf.constant(IMAGES), tf.constant(LABELS), tf.range(16, dtype=tf.int64))


def supervised(encoder):
    return Supervised(encoder, labels=3)


def decoder(encoder):
    return Decoder((SIDE, SIDE, 1), LATENT, (8, 4), encoder.synchronized)


def autoencoder(encoder):
    return Autoencoder(encoder, decoder(encoder))


def vae(encoder, kl_weight=1.0):
    return VAE(encoder, decoder(encoder), kl_weight)


def aae(encoder, weight=0.3, prior="uniform"):
    matching = terms.PriorMatching(priors.get(prior, 5), Discriminator((8,)), weight=weight)
    return AdversarialAutoencoder(encoder, decoder(encoder), matching)


def bigan(encoder, prior="uniform", penalty=1.0):
    return BiGAN(
        encoder,
        decoder(encoder),
        PairDiscriminator((4,), 8),
        priors.get(prior, LATENT),
        penalty,
    )


def nat(encoder, images=20):
    return NoiseAsTargets(encoder, images)


def of_two_views(encoder, term):
    return DeepInfoMax(encoder, [term], Views(Augmentation(), shared_flip=False))


def simclr(encoder):
    return of_two_views(encoder, terms.NTXent(0.5, (8,), 6, synchronized=encoder.synchronized))


def vicreg(encoder):
    return of_two_views(encoder, terms.VICReg((8,), 6, synchronized=encoder.synchronized))


def barlow_twins(encoder):
    return of_two_views(encoder, terms.BarlowTwins((8,), 6, synchronized=encoder.synchronized))


def amdim(encoder):
    pairs = (("global", "local"), ("global", "conv"), ("conv", "conv"))
    parts = [
        terms.local_mutual_information(
            "dot",
            "infonce",
            query=query,
            context=context,
            units=6,
            synchronized=encoder.synchronized,
        )
        for query, context in pairs
    ]
    return DeepInfoMax(encoder, parts, Views(Augmentation()))


def crops_encoder(image_shape=(SIDE, SIDE, 1), synchronized=False):
    """Of crops of half the side, half of that apart; 3 x 3 of them in a square image."""
    size = min(image_shape[:2]) // 2 if image_shape[0] == image_shape[1] else 8
    return StridedCropsNet(
        image_shape,
        (size, size // 2),
        ((4, 3, 1, 1), (3, 4, 2, 1)),
        (),
        latent_dim=0,
        crop_dim=LATENT,
        norm=False,
        synchronized=synchronized,
    )


def cpc(encoder):
    """It needs an encoder of its own."""
    return CPC(crops_encoder(encoder.image_shape, encoder.synchronized), units=6, ahead=2)


MODELS = (
    autoencoder,
    vae,
    aae,
    bigan,
    nat,
    cpc,
    simclr,
    vicreg,
    barlow_twins,
    amdim,
    supervised,
)


def of_models(slow=MODELS, long=(), without=()):
    """A test of every model but `without`: slow for `slow` less `long`, long for the others."""
    marked = [
        pytest.param(
            make,
            marks=pytest.mark.slow if make in slow and make not in long else pytest.mark.long,
            id=make.__name__,
        )
        for make in MODELS
        if make not in without
    ]
    return pytest.mark.parametrize("make", marked)


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
    for variable, old in zip(model.trainable_variables, before, strict=True):
        if not variable.path.endswith("global/dense/bias"):  # a batch norm after it takes it off
            assert not np.array_equal(variable, old), variable.path
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
