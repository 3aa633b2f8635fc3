"""From an experiment to Deep InfoMax: its views, and its terms by the name of --model.

A name is a list of terms. To add one: its line in `TERMS`, and its line in `TWO_VIEWS` of
`dim_tf.names`, or in `MODELS` where it takes one view (docs/howto/add-a-term.md).
"""

from collections.abc import Callable, Sequence
from typing import Any

from dim_tf.settings import Experiment
from dim_tf.names import AMDIM_PAIRS, DIM_PAIRS, TWO_VIEWS
from keras_models import DeepInfoMax, priors, terms
from keras_models.encoders import Encoder
from keras_models.views import Augmentation, Views

PAIRED = ("dim", "amdim")  # whose terms are of a query and a context; both views share a flip


def make(experiment: Experiment, encoder: Encoder) -> DeepInfoMax:
    """The experiment's model, not built.

    Raises:
        ValueError: A term that does not fit the encoder or the views.
    """
    return DeepInfoMax(
        encoder,
        TERMS[experiment.model](experiment, encoder),
        make_views(experiment),
        symmetric=experiment.model not in PAIRED
        or not experiment.has_two_views
        or experiment.symmetric,
        seed=experiment.seed,
        name="deep_infomax",
    )


def make_views(experiment: Experiment) -> Views:
    """What makes the images of the context and of the query."""
    occluded = experiment.model == "dim" and experiment.occlusion
    if not experiment.has_two_views:
        return Views(occluded=occluded)
    return Views(
        Augmentation(experiment.smallest_crop, experiment.colours),
        occluded,
        shared_flip=experiment.model in PAIRED,
    )


def _dim(experiment, encoder):
    """The paper's terms that have a weight."""
    pairs = []
    if experiment.beta:
        pairs = _pairs(experiment, encoder, DIM_PAIRS, experiment.estimator, experiment.beta)
    return [
        *pairs,
        *_whole_map(experiment, encoder),
        *_prior_matching(experiment, encoder),
        *_coordinates(experiment),
    ]


def _amdim(experiment, encoder):
    """`_dim` of --estimator=infonce --gamma=0, whose default pairs are AMDIM's."""
    return [
        *_pairs(experiment, encoder, AMDIM_PAIRS, "infonce", weight=1.0),
        *_coordinates(experiment),
    ]


def _simclr(experiment, encoder):
    return [terms.NTXent(experiment.temperature, synchronized=encoder.synchronized)]


def _vicreg(experiment, encoder):
    return [terms.VICReg(synchronized=encoder.synchronized)]


def _barlow_twins(experiment, encoder):
    return [terms.BarlowTwins(synchronized=encoder.synchronized)]


TERMS: dict[str, Callable[[Experiment, Encoder], list]] = {
    "dim": _dim,
    "amdim": _amdim,
    "simclr": _simclr,
    "vicreg": _vicreg,
    "barlow_twins": _barlow_twins,
}
assert set(TWO_VIEWS) == set(TERMS) - {"dim"}


def _pairs(experiment, encoder, default: Sequence[str], estimator: str, weight: float) -> list:
    """Mutual information of each of --pairs."""
    return [
        terms.local_mutual_information(
            experiment.local_critic,
            estimator,
            weight,
            query=query,
            context=context,
            locations=experiment.locations if context == "local" else 0,
            **_critic_arguments(experiment, experiment.local_critic, encoder),
        )
        for query, context in (pair.split("-") for pair in experiment.pair_names or default)
    ]


def _whole_map(experiment, encoder) -> list:
    """Mutual information of the global feature and the whole local map."""
    if not experiment.alpha:
        return []
    arguments = _critic_arguments(experiment, experiment.global_critic, encoder)
    return [
        terms.global_mutual_information(
            experiment.global_critic, experiment.estimator, experiment.alpha, **arguments
        )
    ]


def _prior_matching(experiment, encoder) -> list:
    if not experiment.gamma:
        return []
    if experiment.prior_matching == "mmd":
        prior = priors.get(experiment.prior, encoder.global_dim)
        return [terms.MaximumMeanDiscrepancy(prior, weight=experiment.gamma)]
    return [adversarial_prior_matching(experiment, encoder)]


def adversarial_prior_matching(experiment: Experiment, encoder: Encoder) -> terms.PriorMatching:
    """Adversarial matching of the global feature with the experiment's prior."""
    return terms.prior_matching(
        experiment.prior,
        encoder.global_dim,
        experiment.prior_divergence,
        experiment.prior_penalty,
        experiment.gamma,
    )


def _coordinates(experiment) -> list:
    return terms.coordinate_tasks(experiment.coordinates, experiment.relative_coordinates)


def _critic_arguments(experiment: Experiment, critic: str, encoder: Encoder) -> dict[str, Any]:
    """The arguments of the critic of that name."""
    arguments: dict[str, Any] = {"negatives": experiment.negatives}
    if critic != "dot":
        return arguments
    arguments |= {
        "implementation": experiment.critic_implementation,
        "units": experiment.mi_units,
        "layer_norm": experiment.critic_layer_norm,
        "temperature": experiment.critic_temperature,
        "synchronized": encoder.synchronized,
    }
    if experiment.score_chunk:
        arguments["chunk"] = experiment.score_chunk
    return arguments
