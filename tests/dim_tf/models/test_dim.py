"""From settings to Deep InfoMax's terms and views, and to the losses that are one term of it."""

import dataclasses

import keras
import numpy as np
import pytest

from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.models.dim import DIM
from dim_tf.system.errors import InputError
from dim_tf.training.model import make_encoder, make_model
from keras_models import critics, terms


@pytest.fixture(scope="module")
def encoder():
    keras.mixed_precision.set_global_policy("float32")
    return make_encoder(Experiment.of(name="t"), (16, 16, 3))


def experiment(**settings):
    return Experiment.of(name="t", critic_units=8, **settings)


def model_of(settings, encoder):
    """The model of an experiment whose model needs no data."""
    return settings.model.make(encoder, None, settings)


def names(encoder, **settings):
    return [term.name for term in model_of(experiment(**settings), encoder).terms]


def test_the_papers_terms_have_the_weights_of_their_flags(encoder):
    weights = {"beta": 0.4, "alpha": 0.5, "gamma": 0.6, "coordinates": 0.7}
    model = model_of(experiment(global_critic="dense", **weights), encoder)
    assert {term.name: term.weight for term in model.terms} == {
        "local": 0.4,
        "global": 0.5,
        "prior_matching": 0.6,
        "coordinates": 0.7,
    }
    assert names(encoder, beta=0.0, alpha=0.1, gamma=0.0, global_critic="dense") == ["global"]


def test_pairs_are_terms_of_the_weight_beta(encoder):
    pairs = {"pairs": "global-local,fc-conv", "beta": 0.3, "gamma": 0.0, "locations": 5}
    model = model_of(experiment(estimator="dv", **pairs), encoder)
    assert [(x.query, x.context, x.weight, x.locations) for x in model.terms] == [
        ("global", "local", 0.3, 5),
        ("fc", "conv", 0.3, 0),  # --locations are of the local map
    ]
    assert {x.estimator.name for x in model.terms} == {"dv"}


@pytest.mark.parametrize(
    ("model", "term"),
    [("simclr", terms.NTXent), ("vicreg", terms.VICReg), ("barlow_twins", terms.BarlowTwins)],
)
def test_a_loss_between_views_is_one_term(encoder, model, term):
    loss = model_of(Experiment.of(name="t", model=model), encoder)
    assert [type(x) for x in loss.terms] == [term]
    assert loss.views.augmentation
    assert not loss.views.shared_flip


def test_the_prior_is_matched_with_or_without_an_adversary(encoder):
    settings = {"gamma": 0.2, "prior": "gaussian"}
    for kind, term in (("adversarial", terms.PriorMatching), ("mmd", terms.MaximumMeanDiscrepancy)):
        matching = model_of(experiment(prior_matching=kind, **settings), encoder).terms[-1]
        assert type(matching) is term
        assert (matching.weight, matching.prior.dim) == (0.2, 64)


def test_symmetric_and_occlusion_reach_the_model(encoder):
    one_way = model_of(experiment(views=2, symmetric=False, occlusion=True), encoder)
    assert not one_way.symmetric
    assert one_way.views.occluded
    assert model_of(experiment(views=2), encoder).symmetric
    with pytest.raises(InputError, match="--occlusion with --views=2 needs --nosymmetric"):
        experiment(views=2, occlusion=True)


def test_settings_that_do_not_fit_are_one_line_with_the_flag():
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
    model = model_of(experiment(**settings), encoder)
    assert model.seed == 5
    local, whole, matching = model.terms
    for term in (local, whole):
        assert type(term.critic) is critics.DotProductCritic
        assert term.critic.temperature == 0.3
        assert term.critic.negatives == 2
        assert term.critic.units == 8
    assert (matching.divergence.name, matching.penalty) == ("dv", 0.7)
    plain = model_of(experiment(critic_layer_norm=False, score_chunk=3), encoder)
    assert (plain.terms[0].critic.layer_norm, plain.terms[0].critic.chunk) == (False, 3)
    assert type(plain.terms[0].critic) is critics.FastDotProductCritic


def test_each_critic_has_its_own_settings(encoder):
    settings = {"alpha": 0.5, "negatives": 2, "critic_units": 9, "critic_temperature": 0.5}
    dot = {"units": 9, "temperature": 0.5, "negatives": 2}
    for local, whole in (("concat", "dot"), ("dot", "dense")):
        critic_names = {"local_critic": local, "global_critic": whole}
        chosen = Experiment.of(name="t", **settings, **critic_names)
        mutual_information = model_of(chosen, encoder).terms[:2]
        for term, name in zip(mutual_information, (local, whole), strict=True):
            expected = dot if name == "dot" else {"negatives": 2}
            assert expected.items() <= term.critic.get_config().items()


@pytest.mark.parametrize("model", ["simclr", "vicreg", "barlow_twins"])
def test_projectors_are_synchronised_as_their_encoder_is(model):
    synchronized = make_encoder(experiment(), (16, 16, 3), replicas=2)
    (term,) = model_of(Experiment.of(name="t", model=model), synchronized).terms
    assert term.projector.synchronized
    assert all(stage.norm.synchronized for stage in term.projector.hidden)


@pytest.mark.parametrize(
    ("model", "settings"),
    [
        ("simclr", {"temperature": 0.2}),
        ("vicreg", {"invariance": 2.0, "variance": 3.0, "covariance": 4.0}),
        ("barlow_twins", {"redundancy": 0.5}),
    ],
)
def test_settings_of_a_loss_between_views_arrive(encoder, model, settings):
    loss_settings = {**settings, "hidden_units": (6, 5), "projected_units": 3}
    views = {"min_crop_scale": 0.7, "color_jitter_strength": 0.4}
    flags = {f"{model}.{name}": value for name, value in (loss_settings | views).items()}
    flags["augmentation"] = "aerial"
    loss = model_of(Experiment.of(name="t", model=model, seed=4, **flags), encoder)
    config = loss.terms[0].get_config()
    assert {name: config[name] for name in settings} == settings
    units = [stage.dense.units for stage in loss.terms[0].projector.hidden]
    assert units == [6, 5]
    assert config["projected_units"] == 3
    assert loss.seed == 4
    augmentation = loss.views.augmentation
    assert (augmentation.min_crop_scale, augmentation.color_jitter_strength) == (0.7, 0.4)
    assert augmentation.kind == "aerial"


def test_the_augmentation_is_that_of_both_views(encoder):
    views = model_of(experiment(views=2, augmentation="document"), encoder).views
    assert views.augmentation.kind == "document"
    assert model_of(experiment(augmentation="document"), encoder).views.augmentation is None


def test_a_view_is_not_compared_with_itself():
    with pytest.raises(InputError, match="--pairs=global-global compares a view with itself"):
        experiment(pairs="global-local, global-global")
    experiment(pairs="global-global", views=2)
    with pytest.raises(InputError, match="--pairs has the weight --beta, which is 0"):
        experiment(pairs="global-conv", beta=0.0, coordinates=1.0)


@pytest.mark.parametrize(
    "settings",
    [
        {"gamma": 0.0},
        {"gamma": 0.5, "prior_matching": "mmd"},
        {"beta": 0.0, "coordinates": 1.0},
        {"beta": 0.0, "alpha": 1.0},
        {"pairs": "global-conv", "alpha": 1.0},
        {"local_critic": "concat"},
        {"views": 2},
        {"independence": "adversarial"},
        {"independence": "predictability"},
        {},
    ],
)
def test_settings_without_effect_are_those_that_are_not_read(encoder, settings):
    """Other than the default, for a default is never reported."""
    nondefault = {
        "estimator": "nwj",
        "local_critic": "concat",
        "global_critic": "dense",
        "critic_layer_norm": False,
        "critic_implementation": "reference",
        "negatives": 1,
        "locations": 1,
        "min_crop_scale": 0.5,
        "color_jitter_strength": 0.5,
        "symmetric": False,
        "prior": "gaussian",
        "prior_divergence": "jsd",
        "prior_penalty": 0.5,
        "independence_weight": 0.3,
    }
    chosen = experiment(**{**nondefault, **settings})
    model = chosen.model
    read = set()

    class Watched(DIM):
        def __getattribute__(self, name):
            read.add(name)
            return super().__getattribute__(name)

    fields = {field.name: getattr(model, field.name) for field in dataclasses.fields(model)}
    watched = Watched(**fields)
    read.clear()
    watched.make(encoder, None, chosen)
    without_effect = {*nondefault, "critic_units"} - read
    assert without_effect == set(model.without_effect)


def test_a_setting_without_effect_has_a_reason():
    model = experiment(gamma=0.0, prior="ball", min_crop_scale=0.5).model
    assert model.without_effect == {"min_crop_scale": "--views is 1", "prior": "--gamma is 0"}


@pytest.mark.parametrize(
    "pairs", ["global", "global-nowhere", "global-local,global-local", "global-conv-local"]
)
def test_pairs_are_of_endpoints(pairs):
    with pytest.raises(InputError, match=f"--pairs={pairs}; expected pairs QUERY-CONTEXT, none"):
        experiment(views=2, pairs=pairs)


def test_there_are_as_many_negatives_as_asked_for():
    model = experiment(negatives=3).model
    model.check_batch(3)
    with pytest.raises(InputError, match="--negatives=3: a step has 2 other images"):
        model.check_batch(2)


@pytest.mark.parametrize(
    ("settings", "summary"),
    [
        ({}, "estimator jsd; beta 1, gamma 0.1"),
        (
            {"alpha": 0.5, "coordinates": 2.0, "occlusion": True, "views": 2, "symmetric": False},
            "estimator jsd; alpha 0.5, beta 1, gamma 0.1, coordinates 2, occlusion, two views, "
            "one way round",
        ),
        (
            {"views": 2, "pairs": "global-global", "prior_matching": "mmd"},
            "estimator jsd; beta 1, gamma 0.1, pairs global-global, matched by mmd, two views",
        ),
        (
            {"gamma": 0.0, "relative_coordinates": 0.5, "critic_temperature": 0.2},
            "estimator jsd; beta 1, relative_coordinates 0.5, critic_temperature 0.2",
        ),
    ],
)
def test_the_summary_names_what_makes_the_objective(settings, summary):
    assert experiment(**settings).model.summary == summary


def test_the_summary_of_another_model_has_all_its_settings():
    assert Experiment.of(name="t", model="beta_vae").model.summary == "beta_vae, kl_weight 4"
    assert Experiment.of(name="t", model="vae").model.summary == "vae"
    summary = Experiment.of(name="t", model="simclr").model.summary
    assert summary == (
        "simclr, min_crop_scale 0.3, color_jitter_strength 1, temperature 0.5, hidden_units 512, "
        "projected_units 128"
    )


def test_independence_is_a_term_of_its_own_weight(encoder):
    settings = {"independence_weight": 0.3}
    for name, term in (
        ("predictability", terms.PredictabilityMinimization),
        ("adversarial", terms.AdversarialIndependence),
    ):
        chosen = experiment(independence=name, **settings)
        *_, last = model_of(chosen, encoder).terms
        assert (type(last), last.weight) == (term, 0.3)
        assert f"independence by {name} 0.3" in chosen.model.summary
    assert len(model_of(experiment(), encoder).terms) == 2


def test_a_wasserstein_critic_needs_its_penalty():
    with pytest.raises(InputError, match="--prior_divergence=wgan_gp is bounded by its gradient"):
        experiment(prior_divergence="wgan_gp", prior_penalty=0.0)
    with pytest.raises(InputError, match=r"give --aae\.prior_penalty more than 0"):
        Experiment.of(
            name="t",
            model="aae",
            **{"aae.prior_divergence": "wgan_gp", "aae.prior_penalty": 0.0},
        )
