"""From settings to Deep InfoMax: which terms and which views each name of --model stands for."""

import keras
import numpy as np
import pytest

from dim_tf.data.splits import Split, Splits
from dim_tf.errors import InputError
from dim_tf.settings import Experiment
from dim_tf.training import objectives
from dim_tf.training.model import make_encoder, make_model
from keras_models import critics, terms


@pytest.fixture(scope="module")
def encoder():
    keras.mixed_precision.set_global_policy("float32")
    return make_encoder(Experiment.of(name="t"), (16, 16, 3))


def experiment(model="dim", **settings):
    return Experiment.of(name="t", model=model, critic_units=8, **settings)


def names(encoder, model="dim", **settings):
    return [term.name for term in objectives.make(experiment(model, **settings), encoder).terms]


def test_the_papers_terms_have_the_weights_of_their_flags(encoder):
    weights = {"beta": 0.4, "alpha": 0.5, "gamma": 0.6, "coordinates": 0.7}
    model = objectives.make(experiment(global_critic="dense", **weights), encoder)
    assert {term.name: term.weight for term in model.terms} == {
        "local": 0.4,
        "global": 0.5,
        "prior_matching": 0.6,
        "coordinates": 0.7,
    }
    assert names(encoder, beta=0.0, alpha=0.1, gamma=0.0, global_critic="dense") == ["global"]


def test_pairs_are_terms_of_the_weight_beta(encoder):
    pairs = {"pairs": "global-local,fc-conv", "beta": 0.3, "gamma": 0.0, "locations": 5}
    model = objectives.make(experiment(estimator="dv", **pairs), encoder)
    assert [(x.query, x.context, x.weight, x.locations) for x in model.terms] == [
        ("global", "local", 0.3, 5),
        ("fc", "conv", 0.3, 0),  # --locations are of the local map
    ]
    assert {x.estimator.name for x in model.terms} == {"dv"}


def test_amdim_is_a_name_for_pairs_of_two_views(encoder):
    amdim = objectives.make(experiment("amdim"), encoder)
    spelled = objectives.make(
        experiment(
            views=2, estimator="infonce", gamma=0.0, pairs="global-local,global-conv,conv-conv"
        ),
        encoder,
    )
    for model in (amdim, spelled):  # names of layers are numbered on
        for term in model.terms:
            term.critic._name = "critic"
    configs = [model.get_config() for model in (amdim, spelled)]
    assert configs[0] == configs[1]


@pytest.mark.parametrize(
    ("model", "term"),
    [("simclr", terms.NTXent), ("vicreg", terms.VICReg), ("barlow_twins", terms.BarlowTwins)],
)
def test_a_loss_between_views_is_one_term(encoder, model, term):
    made = objectives.make(experiment(model), encoder)
    assert [type(x) for x in made.terms] == [term]
    assert made.views.augmentation
    assert not made.views.shared_flip


def test_the_prior_is_matched_with_or_without_an_adversary(encoder):
    settings = {"gamma": 0.2, "prior": "gaussian"}
    for kind, term in (("adversarial", terms.PriorMatching), ("mmd", terms.MaximumMeanDiscrepancy)):
        matching = objectives.make(experiment(prior_matching=kind, **settings), encoder).terms[-1]
        assert type(matching) is term
        assert (matching.weight, matching.prior.dim) == (0.2, 64)


def test_symmetric_and_occlusion_reach_the_model(encoder):
    one_way = objectives.make(experiment(views=2, symmetric=False, occlusion=True), encoder)
    assert not one_way.symmetric
    assert one_way.views.occluded
    assert objectives.make(experiment(views=2), encoder).symmetric
    with pytest.raises(InputError, match="--occlusion with --views=2 needs --nosymmetric"):
        experiment(views=2, occlusion=True)


def test_what_does_not_fit_is_one_line_with_the_flag():
    split = Split(np.zeros([8, 16, 16, 3], np.uint8), None)
    splits = Splits("a", split, split, (), "")
    with pytest.raises(InputError, match=r"--model=dim: 99 locations .*local map of 8x8"):
        make_model(experiment(locations=99, gamma=0.0), splits)


def test_every_setting_of_a_critic_and_of_prior_matching_arrives(encoder):
    settings = {
        "critic_layer_norm": True,
        "critic_temperature": 0.3,
        "negatives": 2,
        "critic_implementation": "reference",
        "prior_divergence": "dv",
        "prior_penalty": 0.7,
        "seed": 5,
        "global_critic": "dot",
        "alpha": 0.1,
    }
    model = objectives.make(experiment(**settings), encoder)
    assert model.seed == 5
    local, whole, matching = model.terms
    for term in (local, whole):
        assert type(term.critic) is critics.DotProductCritic
        assert term.critic.temperature == 0.3
        assert term.critic.negatives == 2
        assert term.critic.units == 8
    assert (matching.divergence.name, matching.penalty) == ("dv", 0.7)
    plain = objectives.make(experiment(critic_layer_norm=False, score_chunk=3), encoder)
    assert (plain.terms[0].critic.layer_norm, plain.terms[0].critic.chunk) == (False, 3)
    assert type(plain.terms[0].critic) is critics.FastDotProductCritic


@pytest.mark.parametrize("model", ["simclr", "vicreg", "barlow_twins"])
def test_projectors_are_synchronised_as_their_encoder_is(model):
    synchronized = make_encoder(experiment(), (16, 16, 3), replicas=2)
    (term,) = objectives.make(experiment(model, seed=3), synchronized).terms
    assert term.projector.synchronized
    assert all(stage.norm.synchronized for stage in term.projector.hidden)


def test_simclrs_temperature_arrives(encoder):
    (term,) = objectives.make(experiment("simclr", temperature=0.2), encoder).terms
    assert term.temperature == 0.2


def test_a_view_is_not_compared_with_itself():
    with pytest.raises(InputError, match="--pairs=global-global compares a view with itself"):
        experiment(pairs="global-local, global-global")
    experiment(pairs="global-global", views=2)
    with pytest.raises(InputError, match="--pairs is of weight --beta, which is 0"):
        experiment(pairs="global-conv", beta=0.0, coordinates=1.0)
