"""Prior match: samples of the prior match it, others do not."""

import numpy as np
import pytest
import tensorflow as tf
from sample_representations import evaluation_data, representation, small_encoder

from dim_tf.evaluation.measure_spec import MeasureContext, TrainableEncoders
from dim_tf.evaluation.measures.prior_match import SPEC, PriorMatch
from dim_tf.evaluation.representation import Representation, from_pixels
from dim_tf.experiment import Experiment
from keras_models import priors

DATA = evaluation_data(train=2048, test=1024)
SHORT = {"steps": 60, "batch_size": 256}


def matched(name, dim=4, copies=1):
    """Features that follow the prior, as many times beside themselves."""
    rng = np.random.default_rng(3)

    def features(split):
        noise = rng.uniform(size=(len(split), dim)).astype(np.float32)
        samples = priors.get(name, dim).sample(tf.constant(noise)).numpy()
        if name == "uniform":
            samples = np.log(samples / (1 - samples))  # the sigmoid's inverse
        return {"global": np.concatenate([samples] * copies, axis=1)}

    return Representation(features(DATA.train), features(DATA.test), DATA)


def measured(r, prior):
    measure = PriorMatch(r, prior, **SHORT)
    return {result.metric: result.value for result in measure.run()}, measure


@pytest.mark.parametrize("prior", ["uniform", "gaussian", "sphere"])
def test_what_follows_the_prior(prior):
    values, measure = measured(matched(prior), prior)
    assert values["prior_discriminator"] == pytest.approx(0.5, abs=0.05)
    assert values["prior_distance"] < 0.06
    for figure in measure.figures():
        widths = np.diff(figure.edges)
        for density in figure.series.values():
            assert np.sum(density * widths) == pytest.approx(1)
        ours, theirs = figure.series["feature"], figure.series[f"{prior} prior"]
        assert np.sum(np.abs(ours - theirs) * widths) < 0.35


def test_what_does_not():
    values, measure = measured(representation("constant", DATA), "uniform")
    assert values["prior_discriminator"] > 0.9
    assert values["prior_distance"] > 0.6
    assert len(measure.figures()) == 1 + 3
    values, _ = measured(representation("ideal", DATA), "gaussian")
    assert values["prior_discriminator"] > 0.9


def test_copies_match_in_each_dimension_and_not_together():
    values, _ = measured(matched("uniform", copies=2), "uniform")
    assert values["prior_distance"] < 0.06
    assert values["prior_discriminator"] > 0.6


def test_the_best_and_the_worst_dimensions_are_shown():
    r = matched("gaussian", dim=10)
    for features in (r.train["global"], r.test["global"]):
        features[:, 4] += 5.0
    _, measure = measured(r, "gaussian")
    figures = measure.figures()
    assert len(figures) == 1 + 6
    assert "all dimensions" in figures[0].title
    assert "dimension 4," in figures[-1].title


def test_seeds_repeat():
    measure = PriorMatch(matched("uniform"), "uniform", steps=3, batch_size=64)
    first, figures = list(measure.run()), measure.figures()
    assert list(measure.run()) == first
    assert len(measure.figures()) == len(figures) == 1 + 4


@pytest.mark.parametrize(
    ("trained", "gamma", "dim", "unmet"),
    [
        (True, 0.1, 5, ""),
        (True, 0.0, 5, "--model=aae, or of --model=dim with --gamma"),
        (False, 0.1, 5, "--model=aae, or of --model=dim with --gamma"),
        (True, 0.1, 4 * 5, "has a map of them"),
    ],
)
def test_one_global_feature_that_was_matched_is_required(trained, gamma, dim, unmet):
    encoder = small_encoder(0)
    features = Representation({}, {"global": np.ones((30, dim))}, DATA)
    context = MeasureContext(
        features,
        from_pixels,
        Experiment.of(name="a", gamma=gamma),
        1,
        TrainableEncoders(encoder, encoder) if trained else None,
    )
    reason = SPEC.unmet_requirement(context)
    assert unmet in reason
    assert bool(reason) == bool(unmet)
