import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.baselines import MultiScaleDIM
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders import ConvNet


@pytest.mark.slow
def test_each_scale_pairs_the_two_views_both_ways_round():
    model = small.made(small.amdim)
    views = model.views(small.BATCH.images, StepRandom(0, 0))
    a, b = (model.encoder(x, training=True) for x in views)
    total = 0.0
    for term, (anchor, place) in zip(
        model.terms, (("global", "local"), ("global", "conv"), ("conv", "conv")), strict=True
    ):
        for mine, other in ((a, b), (b, a)):
            value = term.estimator(term.critic(mine[place], other[anchor], training=True))
            total -= 0.5 * value
    metrics = small.made(small.amdim).train_step(small.BATCH.images)
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-4)
    bounds = [metrics[f"{name}_mi"] for name in ("global_local", "global_conv", "conv_conv")]
    np.testing.assert_allclose(metrics["loss"], -sum(bounds), rtol=1e-5)


def test_local_to_local_pairs_every_place_with_every_other():
    model = small.made(small.amdim)
    maps = model.encoder(small.IMAGES)["conv"]  # [16, 2, 2, 8]
    scores = model.terms[2].critic(maps, maps, training=True)
    assert scores.joint.shape == (16, 4, 4)


@pytest.mark.slow
def test_a_vector_is_a_map_of_one_place():
    """Global to global by hand, one view against the other both ways round."""

    def make(encoder):
        return MultiScaleDIM(encoder, units=6, scales=("global-global", "fc-global"))

    model = small.made(make)
    views = model.views(small.BATCH.images, StepRandom(0, 0))
    a, b = (model.encoder(x, training=True)["global"][:, None, None] for x in views)
    critic = model.terms[0].critic
    total = 0.0
    for mine, other in ((a, b), (b, a)):
        scores = critic(mine, other[:, 0, 0], training=True)
        assert scores.joint.shape == (16, 1, 1)
        total += 0.5 * model.terms[0].estimator(scores)
    metrics = small.made(make).train_step(small.BATCH.images)
    np.testing.assert_allclose(metrics["global_global_mi"], total, rtol=1e-4)


def test_some_places_of_the_local_map_alone():
    model = small.made(lambda encoder: MultiScaleDIM(encoder, units=6, locations=3))
    places = {
        t.name: t._some_places(tf.zeros([16, 4, 4, 8]), StepRandom(0, 0)) for t in model.terms
    }
    shapes = {name: (tuple(found.shape), weight) for name, (found, weight) in places.items()}
    whole = ((16, 4, 4, 8), 1.0)
    assert shapes == {
        "global_local": ((16, 3, 1, 8), 16 / 3),
        "global_conv": whole,
        "conv_conv": whole,
    }


def with_tasks(encoder):
    return MultiScaleDIM(
        encoder, units=6, scales=("global-global",), coordinates=0.25, relative_coordinates=0.5
    )


@pytest.mark.slow
def test_coordinates_are_told_of_one_view_by_the_global_feature_of_the_other():
    model = small.made(with_tasks)
    views = model.views(small.BATCH.images, StepRandom(0, 0))
    a, b = (model.encoder(x, training=True) for x in views)
    rows, columns = np.divmod(np.arange(16), 4)  # the local map is of 4 x 4
    partner = StepRandom(0, 0).choice("relative coordinates", 16, 16).numpy()

    def cross_entropy(logits, labels):
        logits = logits.numpy().astype(np.float64)
        of_label = logits[:, np.arange(16), labels]
        return np.mean(np.log(np.exp(logits).sum(-1)) - of_label)

    absolute = relative = 0.0
    for mine, other in ((a, b), (b, a)):
        local = tf.reshape(mine["local"], [16, 16, -1])
        everywhere = tf.repeat(other["global"][:, None], 16, axis=1)
        logits = model.terms[1].predictor(tf.concat([local, everywhere], -1))
        absolute += 0.5 * sum(map(cross_entropy, logits, (rows, columns)))
        both = [local, tf.gather(local, partner, axis=1), everywhere]
        logits = model.terms[2].predictor(tf.concat(both, -1))
        offsets = (of[partner] - of + 3 for of in (rows, columns))
        relative += 0.5 * sum(map(cross_entropy, logits, offsets))
    metrics = small.made(with_tasks).train_step(small.BATCH.images)
    np.testing.assert_allclose(metrics["coordinates_loss"], absolute, rtol=1e-4)
    np.testing.assert_allclose(metrics["relative_coordinates_loss"], relative, rtol=1e-4)
    total = 0.25 * absolute + 0.5 * relative - metrics["global_global_mi"]
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-4)


@pytest.mark.slow
def test_a_step_with_coordinates_on_two_replicas_and_its_configuration(two_replicas):
    small.check_replicas(with_tasks, two_replicas)
    small.check_config(with_tasks)


def test_coordinates_take_all_places_whatever_the_contrast_takes():
    def make(locations):
        return small.made(
            lambda encoder: MultiScaleDIM(
                encoder, units=6, scales=("global-local",), locations=locations, coordinates=0.25
            )
        )

    some, every = (make(locations).train_step(small.BATCH.images) for locations in (3, 0))
    np.testing.assert_allclose(some["coordinates_loss"], every["coordinates_loss"], rtol=1e-5)
    assert abs(some["global_local_mi"] - every["global_local_mi"]) > 1e-3


def test_coordinates_need_a_local_map():
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    del encoder.endpoints["local"]
    MultiScaleDIM(encoder, scales=("global-global",))
    with pytest.raises(ValueError, match=r"no endpoint local; .* or coordinate tasks"):
        with_tasks(encoder)


def test_critics_at_a_temperature():
    model = small.made(lambda encoder: MultiScaleDIM(encoder, units=6, temperature=0.5))
    critics = [term.critic for term in model.terms]
    assert [(c.temperature, c.project_local.affine) for c in critics] == 3 * [(0.5, False)]


def test_an_encoder_without_convolutions_is_refused():
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    del encoder.endpoints["conv"]
    with pytest.raises(ValueError, match="no endpoint conv"):
        small.amdim(encoder)


@pytest.mark.parametrize("scales", [(), ("global",), ("global-conv-local",)])
def test_scales_are_pairs(scales):
    with pytest.raises(ValueError, match="expected pairs of endpoints"):
        MultiScaleDIM(ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5), scales=scales)
