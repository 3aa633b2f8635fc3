"""From an experiment to the models that Deep InfoMax is compared with."""

from collections.abc import Callable

from dim_tf.data.splits import Splits
from dim_tf.errors import InputError
from dim_tf.settings import Experiment
from dim_tf.training import objectives
from keras_models import priors
from keras_models.clustering.nat import NoiseAsTargets
from keras_models.encoders import Encoder
from keras_models.generative.aae import AdversarialAutoencoder
from keras_models.generative.autoencoder import Autoencoder
from keras_models.generative.bigan import BiGAN
from keras_models.generative.vae import VAE
from keras_models.nn import decoders
from keras_models.nn.discriminators import PairDiscriminator
from keras_models.objective_model import ObjectiveModel
from keras_models.pretext.cpc import CPC
from keras_models.supervised import Supervised


def make(experiment: Experiment, encoder: Encoder, splits: Splits) -> ObjectiveModel:
    """The experiment's model around its encoder, for that data.

    Raises:
        InputError: The data do not fit the model.
        ValueError: Settings that do not fit each other.
    """
    return _MODELS[experiment.model](experiment, encoder, splits)


def _supervised(experiment, encoder, splits):
    labels = len(splits.label_names)
    if labels < (1 if splits.multi_label else 2):
        raise InputError(
            f"--model=supervised has nothing to tell apart: {splits.name} has {labels} labels; "
            "give another --dataset or --model"
        )
    return Supervised(encoder, labels, splits.multi_label, experiment.seed, name="supervised")


def _decoder(encoder, name):
    filters = decoders.filters_for(encoder.image_shape)
    return decoders.Decoder(
        encoder.image_shape, encoder.global_dim, filters, encoder.synchronized, name=name
    )


def _autoencoder(experiment, encoder, splits):
    return Autoencoder(encoder, _decoder(encoder, "decoder"), experiment.seed, name="autoencoder")


def _vae(experiment, encoder, splits):
    weight = experiment.kl_weight if experiment.model == "beta_vae" else 1.0
    return VAE(encoder, _decoder(encoder, "decoder"), weight, experiment.seed, name="vae")


def _aae(experiment, encoder, splits):
    matching = objectives.adversarial_prior_matching(experiment, encoder)
    return AdversarialAutoencoder(
        encoder, _decoder(encoder, "decoder"), matching, experiment.seed, name="aae"
    )


def _bigan(experiment, encoder, splits):
    filters = decoders.filters_for(encoder.image_shape)
    return BiGAN(
        encoder,
        _decoder(encoder, "generator"),
        PairDiscriminator(tuple(reversed(filters[1:])), name="discriminator"),
        priors.get(experiment.prior, encoder.global_dim),
        experiment.prior_penalty,
        experiment.seed,
        name="bigan",
    )


def _nat(experiment, encoder, splits):
    return NoiseAsTargets(encoder, len(splits.train), experiment.seed, name="nat")


def _cpc(experiment, encoder, splits):
    return CPC(encoder, seed=experiment.seed, name="cpc")


_MODELS: dict[str, Callable[[Experiment, Encoder, Splits], ObjectiveModel]] = {
    "ae": _autoencoder,
    "vae": _vae,
    "beta_vae": _vae,
    "aae": _aae,
    "bigan": _bigan,
    "nat": _nat,
    "cpc": _cpc,
    "supervised": _supervised,
}
