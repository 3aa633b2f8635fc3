"""A tiny encoder, its images, and the checks that the test of every baseline runs."""

import dataclasses
import re
from collections.abc import Callable

import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import DeepInfoMax, priors, terms
from keras_models.clustering.dac import DAC
from keras_models.clustering.dec import DEC
from keras_models.clustering.iic import IIC
from keras_models.clustering.imsat import IMSAT
from keras_models.clustering.nat import NoiseAsTargets
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders import NICE, ConvNet, RealNVP, StridedCropsNet
from keras_models.generative.aae import AdversarialAutoencoder
from keras_models.generative.ali import ALI
from keras_models.generative.autoencoder import Autoencoder
from keras_models.generative.beta_tcvae import BetaTCVAE
from keras_models.generative.bigan import BiGAN
from keras_models.generative.contractive import ContractiveAutoencoder
from keras_models.generative.dcgan import DCGAN
from keras_models.generative.denoising import Corruption, DenoisingAutoencoder
from keras_models.generative.flow import FlowDensity
from keras_models.generative.infogan import InfoGAN
from keras_models.generative.stacked_denoising import StackedDenoisingAutoencoder
from keras_models.generative.vae import VAE
from keras_models.nn.decoders import Decoder
from keras_models.nn.discriminators import Discriminator, ImageDiscriminator, PairDiscriminator
from keras_models.objective_model import Batch
from keras_models.pretext.context_encoder import ContextEncoder
from keras_models.pretext.context_prediction import ContextPrediction
from keras_models.pretext.cpc import CPC
from keras_models.pretext.exemplar import Exemplar
from keras_models.pretext.tasks import PretextModel
from keras_models.supervised import Supervised
from keras_models.vib import VIB
from keras_models.views import Augmentation, Views

SIDE, LATENT = 8, 5
IMAGES = np.random.default_rng(0).uniform(-1, 1, (16, SIDE, SIDE, 1)).astype(np.float32)
LABELS = np.arange(16) % 3
BATCH = Batch(tf.constant(IMAGES), tf.constant(LABELS), tf.range(16, dtype=tf.int64))


def supervised(encoder):
    return Supervised(encoder, labels=3)


def decoder(encoder, code_size=LATENT):
    return Decoder((SIDE, SIDE, 1), code_size, (8, 4), encoder.synchronized)


def autoencoder(encoder):
    return Autoencoder(encoder, decoder(encoder))


def vae(encoder, kl_weight=1.0):
    return VAE(encoder, decoder(encoder), kl_weight)


def aae(encoder, weight=0.3, prior="uniform"):
    matching = terms.PriorMatching(priors.get(prior, 5), Discriminator((8,)), weight=weight)
    return AdversarialAutoencoder(encoder, decoder(encoder), matching)


def bigan(encoder, prior="uniform", penalty=1.0, reconstruction=0.0):
    return BiGAN(
        encoder,
        decoder(encoder),
        pair_discriminator(),
        priors.get(prior, LATENT),
        penalty,
        reconstruction=reconstruction,
    )


def pair_discriminator():
    return PairDiscriminator((4,), (7, 6), (8,))


def ali(encoder, penalty=1.0, reconstruction=0.0):
    parts = encoder, decoder(encoder), pair_discriminator()
    return ALI(*parts, penalty, reconstruction=reconstruction)


def dcgan(encoder):
    return DCGAN(encoder, decoder(encoder, 6))


def infogan(encoder):
    return InfoGAN(encoder, decoder(encoder, 12), (3, 4), 2, 0.7)


def nat(encoder, images=20):
    return NoiseAsTargets(encoder, images)


def iic(encoder, overclusters=6):
    return IIC(encoder, 3, overclusters, sub_heads=2, views=Views(Augmentation()))


def imsat(encoder):
    return IMSAT(encoder, 3)


def dec(encoder, pretraining_steps=15, refresh_steps=5):
    return DEC(encoder, decoder(encoder), 3, 20, pretraining_steps, refresh_steps)


def dac(encoder):
    return DAC(encoder, 3, threshold_steps=2)


def context_encoder(encoder, adversarial_weight=0.1):
    region = Decoder((SIDE // 2, SIDE // 2, 1), LATENT, (8, 4), encoder.synchronized)
    return ContextEncoder(encoder, region, ImageDiscriminator((4,)), adversarial_weight)


def exemplar(encoder):
    return PretextModel(encoder, [Exemplar(20, Augmentation())])


def context_prediction(encoder):
    return PretextModel(encoder, [ContextPrediction(8, encoder.synchronized)])


def multi_task(encoder):
    tasks = [Exemplar(20, Augmentation(), weight=0.5), ContextPrediction(8, encoder.synchronized)]
    return PretextModel(encoder, tasks)


def of_two_views(encoder, term):
    return DeepInfoMax(encoder, [term], Views(Augmentation(), shared_flip=False))


def simclr(encoder):
    return of_two_views(encoder, terms.NTXent(0.5, (8,), 6, synchronized=encoder.synchronized))


def vicreg(encoder):
    return of_two_views(encoder, terms.VICReg((8,), 6, synchronized=encoder.synchronized))


def barlow_twins(encoder):
    return of_two_views(encoder, terms.BarlowTwins((8,), 6, synchronized=encoder.synchronized))


def two_views(encoder):
    pairs = (("global", "local"), ("conv", "conv"))
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
    """Crops of half the side at strides of a quarter: 3 x 3 of them in a square image."""
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
    """CPC on an encoder of crops, which it needs."""
    return CPC(crops_encoder(encoder.image_shape, encoder.synchronized), units=6, ahead=2)


def denoising_autoencoder(encoder, masked=0.4, noise_stddev=0.2):
    return DenoisingAutoencoder(encoder, decoder(encoder), Corruption(masked, noise_stddev))


def contractive_autoencoder(encoder, penalty=0.1, projections=2):
    return ContractiveAutoencoder(encoder, decoder(encoder), penalty, projections)


def beta_tcvae(encoder, tc_weight=6.0, sampling="stratified"):
    return BetaTCVAE(encoder, decoder(encoder), 20, tc_weight, sampling)


def stacked_denoising_autoencoder(encoder, stage_steps=50):
    return StackedDenoisingAutoencoder(encoder, Corruption(0.4, 0.2), stage_steps)


def nice(encoder):
    """NICE, which is its own encoder."""
    flow = NICE(encoder.image_shape, 4, (12,), synchronized=encoder.synchronized)
    return FlowDensity(flow, "logistic")


def realnvp(encoder):
    """RealNVP, which is its own encoder."""
    flow = RealNVP(encoder.image_shape, 4, encoder.synchronized, couplings=1)
    return FlowDensity(flow)


def vib(encoder, kl_weight=0.01):
    return VIB(encoder, labels=3, kl_weight=kl_weight)


MODELS = (
    autoencoder,
    vae,
    aae,
    bigan,
    ali,
    dcgan,
    infogan,
    nat,
    cpc,
    simclr,
    vicreg,
    barlow_twins,
    two_views,
    iic,
    imsat,
    dec,
    dac,
    context_encoder,
    context_prediction,
    exemplar,
    multi_task,
    supervised,
    denoising_autoencoder,
    contractive_autoencoder,
    stacked_denoising_autoencoder,
    beta_tcvae,
    vib,
    nice,
    realnvp,
)


def of_models(argument="make", without=(), **parametrize):
    """A slow test of every model but `without`."""
    models = [pytest.param(make, id=make.__name__) for make in MODELS if make not in without]
    of_each = pytest.mark.parametrize(argument, models, **parametrize)
    return lambda test: pytest.mark.slow(of_each(test))


def build(make, learning_rate=1e-2, synchronized=False, **compile_arguments):
    """The model that `make` creates for a new encoder, compiled and built; always equal weights."""
    keras.utils.set_random_seed(1)
    encoder = ConvNet((SIDE, SIDE, 1), ((4, 4, 2, 1), (8, 4, 2, 1)), (16,), 0, LATENT, synchronized)
    model = make(encoder)
    model.compile(learning_rate, **compile_arguments)
    model.build()
    return model


def losses(model, steps, batch=BATCH):
    """The losses of some steps on the same batch."""
    step = tf.function(model.train_step)
    return [float(step(batch)["loss"]) for _ in range(steps)]


def sgd(rate=0.05):
    """Arguments of `build`: Adam would hide a gradient that is off by a factor."""
    return {
        "optimizer": keras.optimizers.SGD(rate),
        "adversary_optimizer": keras.optimizers.SGD(rate),
    }


@dataclasses.dataclass
class Steps:
    """Steps of a graph on one device: the reference for eager, XLA and replicated steps.

    Attributes:
        make: Creates the model.
        model: After the steps.
        initial: Weights before the steps.
        after_one: Weights after the first step.
        metrics: Of each step.
    """

    make: Callable
    model: keras.Model
    initial: list[np.ndarray]
    after_one: list[np.ndarray]
    metrics: list[dict[str, float]]

    def assert_metrics_equal(self, metrics, step=0, rtol=1e-4, atol=1e-5, without=()):
        """Compares what `train_step` returned with the metrics of a step."""
        assert set(metrics) == set(self.metrics[step])
        for name in set(metrics) - set(without):
            expected = self.metrics[step][name]
            np.testing.assert_allclose(metrics[name], expected, rtol, atol, err_msg=name)


def steps(make, count=40):
    """The first steps of a model on the same batch."""
    model = build(make, **sgd())
    initial = model.get_weights()
    step = tf.function(model.train_step)
    metrics, after_one = [], None
    for _ in range(count):
        metrics.append({name: float(value) for name, value in step(BATCH).items()})
        after_one = after_one or model.get_weights()
    return Steps(make, model, initial, after_one, metrics)


def check_learns_from(model, metric, *kernels, batch=BATCH, step=0):
    """The encoder's last kernel and the given ones have a gradient of a metric of the objective."""
    kernels = model.encoder.trainable_variables[-2], *kernels
    with tf.GradientTape() as tape:
        metrics = model.objective(batch, StepRandom(0, step)).metrics
    gradients = tape.gradient(metrics[metric], [kernel.value for kernel in kernels])
    for kernel, gradient in zip(kernels, gradients, strict=True):
        assert gradient is not None, kernel.path
        assert np.any(gradient), kernel.path


def check_training(of, falls=True):
    """Steps lower the loss, and all weights move."""
    losses = [metrics["loss"] for metrics in of.metrics]
    assert np.isfinite(losses).all()
    if falls:
        assert np.mean(losses[-5:]) < np.mean(losses[:5])
    before = dict(zip((v.path for v in of.model.weights), of.initial, strict=True))
    for variable in of.model.trainable_variables:
        # The batch norm after these cancels them.
        if not re.search(r"global/dense/bias$|/decoder\w*/conv0/bias$", variable.path):
            assert not np.array_equal(variable, before[variable.path]), variable.path


def check_config(of):
    """Configuration and weights restore the model; its eager step equals the graph's."""
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(of.model))
    assert again.get_config() == of.model.get_config()
    again.compile(1e-2, **sgd())
    again.build()
    again.set_weights(of.initial)
    of.assert_metrics_equal(again.train_step(BATCH))


def check_xla(of):
    """Two steps compiled by XLA have the metrics of the graph's."""
    model = build(of.make, **sgd())
    step = tf.function(model.train_step, jit_compile=True)
    for i in range(2):
        of.assert_metrics_equal(step(BATCH), i, rtol=1e-3)


def check_replicas(of, two_replicas):
    """A step on two halves equals a step on the whole batch."""
    with two_replicas.scope():
        two = build(of.make, synchronized=True, **sgd(), jit_compile=False)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: Batch(*(tf.split(x, 2)[context.replica_id_in_sync_group] for x in BATCH))
    )
    tf.function(lambda batch: two_replicas.run(two.train_step, [batch]))(halves)
    for weight, expected in zip(two.get_weights(), of.after_one, strict=True):
        np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=2e-5)
