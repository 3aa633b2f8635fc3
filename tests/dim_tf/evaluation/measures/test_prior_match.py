"""Prior match: samples of the prior match it, others do not."""

import numpy as np
import pytest
import tensorflow as tf
from synthetic_representations import evaluation_data, representation

from dim_tf.evaluation.measures.prior_match import PriorMatch
from dim_tf.evaluation.representation import Representation
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
    found, measure = measured(matched(prior), prior)
    assert found["prior_discriminator"] == pytest.approx(0.5, abs=0.05)
    assert found["prior_distance"] < 0.06
    for figure in measure.figures():
        widths = np.diff(figure.edges)
        for density in figure.series.values():
            assert np.sum(density * widths) == pytest.approx(1)
        ours, theirs = figure.series["feature"], figure.series[f"{prior} prior"]
        assert np.sum(np.abs(ours - theirs) * widths) < 0.35


def test_what_does_not():
    found, measure = measured(representation("constant", DATA), "uniform")
    assert found["prior_discriminator"] > 0.9
    assert found["prior_distance"] > 0.6
    assert len(measure.figures()) == 1 + 3
    found, _ = measured(representation("ideal", DATA), "gaussian")
    assert found["prior_discriminator"] > 0.9


def test_copies_match_in_each_dimension_and_not_together():
    found, _ = measured(matched("uniform", copies=2), "uniform")
    assert found["prior_distance"] < 0.06
    assert found["prior_discriminator"] > 0.6


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
