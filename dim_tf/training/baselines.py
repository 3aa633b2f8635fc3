"""From an experiment to the models that Deep InfoMax is compared with."""

from collections.abc import Callable

from dim_tf.data.splits import Splits
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment
from keras_models import priors, terms
from keras_models.baselines import MultiScaleDIM, SimCLR, VICReg
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
from keras_models.views import Augmentation


def view_augmentation(experiment: Experiment) -> Augmentation:
    """What makes a view, of models that take two of an image."""
    return Augmentation(experiment.smallest_crop, experiment.colours)


def make(experiment: Experiment, encoder: Encoder, splits: Splits) -> ObjectiveModel:
    """The experiment's model around its encoder, for that data.

    Raises:
        InputError: settings that do not fit the data or each other.
    """
    try:
        return _MODELS[experiment.model](experiment, encoder, splits)
    except ValueError as error:
        raise InputError(f"--model={experiment.model}: {error}") from error


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
    matching = terms.prior_matching(
        experiment.prior,
        encoder.global_dim,
        experiment.prior_divergence,
        experiment.prior_penalty,
        experiment.gamma,
    )
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


def _amdim(experiment, encoder, splits):
    return MultiScaleDIM(
        encoder,
        units=experiment.mi_units,
        chunk=experiment.score_chunk,
        scales=experiment.scales.split(","),
        locations=experiment.locations,
        augmentation=view_augmentation(experiment),
        seed=experiment.seed,
        temperature=experiment.critic_temperature,
        coordinates=experiment.coordinates,
        relative_coordinates=experiment.relative_coordinates,
        name="amdim",
    )


def _simclr(experiment, encoder, splits):
    return SimCLR(
        encoder,
        experiment.temperature,
        augmentation=view_augmentation(experiment),
        seed=experiment.seed,
        name="simclr",
    )


def _vicreg(experiment, encoder, splits):
    return VICReg(
        encoder, augmentation=view_augmentation(experiment), seed=experiment.seed, name="vicreg"
    )


_MODELS: dict[str, Callable[[Experiment, Encoder, Splits], ObjectiveModel]] = {
    "ae": _autoencoder,
    "vae": _vae,
    "beta_vae": _vae,
    "aae": _aae,
    "bigan": _bigan,
    "nat": _nat,
    "cpc": _cpc,
    "simclr": _simclr,
    "vicreg": _vicreg,
    "amdim": _amdim,
    "supervised": _supervised,
}
