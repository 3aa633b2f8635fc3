"""A small Deep InfoMax model, with and without all kinds of terms, and images for it."""

import keras
import numpy as np
import tensorflow as tf

from keras_models import DeepInfoMax, critics, encoders, terms
from keras_models.encoders import ConvNet
from keras_models.nn.discriminators import Discriminator
from keras_models.priors import UniformPrior
from keras_models.terms import MutualInformation, PriorMatching
from keras_models.views import Augmentation, Views

IMAGES = np.random.default_rng(0).uniform(-1, 1, (24, 8, 8, 1)).astype(np.float32)


BATCHES = np.split(IMAGES, 3)


def make_model(estimator="jsd", seed=0, synchronized=False, compiled=True, **compile_arguments):
    """A small model with both terms; its weights are the same every time."""
    keras.utils.set_random_seed(1)
    encoder = ConvNet(
        image_shape=(8, 8, 1),
        convolutions=((4, 4, 2, 1), (8, 4, 2, 1)),
        dense_units=(16,),
        local_layer=0,
        latent_dim=5,
        synchronized=synchronized,
    )
    critic = critics.get("dot", units=16, synchronized=synchronized)
    parts = [
        MutualInformation(critic, estimator, weight=0.8),
        PriorMatching(UniformPrior(5), Discriminator((16, 8)), weight=0.3),
    ]
    model = DeepInfoMax(encoder, parts, seed=seed)
    if compiled:
        model.compile(**compile_arguments)
        model.build()
    return model


def sgd_model(estimator, synchronized=False):
    """Adam would hide a gradient that is off by a factor."""
    return make_model(
        estimator,
        synchronized=synchronized,
        optimizer=keras.optimizers.SGD(0.05),
        adversary_optimizer=keras.optimizers.SGD(0.05),
        jit_compile=False,
    )


def model_with_everything(**compile_arguments):
    """All kinds of terms, both critics with sampled negatives, two views, occlusion, dropout."""
    keras.utils.set_random_seed(1)
    encoder = encoders.get(
        "foldalex64x64",
        image_shape=(8, 8, 1),
        crops=(4, 2),
        convolutions=((4, 3, 1, 1),),
        top_convolutions=((6, 2, 1, 0),),
        dense_units=(9,),
        latent_dim=5,
        kernel_stddev=0.2,
        synchronized=True,
    )
    parts = [
        terms.local_mutual_information("concat", "dv", negatives=2, locations=5),
        terms.global_mutual_information("dot", "infonce", 0.5, units=8, synchronized=True),
        terms.prior_matching("sphere", 5, "dv", weight=0.3),
        terms.Coordinates((8,), weight=0.2),
        terms.RelativeCoordinates((8,), weight=0.1),
    ]
    model = DeepInfoMax(encoder, parts, Views(Augmentation(), occluded=True), symmetric=False)
    model.compile(
        optimizer=keras.optimizers.SGD(0.05),
        adversary_optimizer=keras.optimizers.SGD(0.05),
        **compile_arguments,
    )
    model.build()
    return model


def losses(model, step=None):
    """Each step's metrics, as arrays."""
    step = step or model.train_step
    logs = [step(tf.constant(batch)) for batch in BATCHES]
    return {name: np.array([x[name] for x in logs]) for name in logs[0]}
