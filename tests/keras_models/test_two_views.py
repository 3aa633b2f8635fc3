"""Deep InfoMax of two views: which view meets which, by hand from the encoder's outputs."""

import keras
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models import DeepInfoMax, terms
from keras_models.distribute.randomness import StepRandom
from keras_models.encoders import ConvNet
from keras_models.views import Augmentation, Views

RANDOM = StepRandom(0, 0)
PAIRS = (("global", "local"), ("global", "conv"), ("conv", "conv"), ("fc", "global"))


def of_pairs(*pairs, symmetric=True, weight=1.0, more=(), **arguments):
    """What makes a model of these (query, context) pairs around an encoder."""

    def make(encoder):
        parts = [
            terms.local_mutual_information(
                "dot", "infonce", weight, query=query, context=context, units=6, **arguments
            )
            for query, context in pairs
        ]
        return DeepInfoMax(encoder, [*parts, *more], Views(Augmentation()), symmetric=symmetric)

    return make


def endpoints_of_both_views(model):
    """Those of the context's view and of the query's."""
    return [model.encoder(x, training=True) for x in model.views(small.BATCH.images, RANDOM)]


def as_map(x):
    return x if x.shape.rank == 4 else x[:, None, None]


def mutual_information(term, query, context):
    scores = term.critic(as_map(context[term.context]), query[term.query], training=True)
    return term.estimator(scores)


@pytest.mark.parametrize("symmetric", [True, False])
def test_the_query_of_one_view_meets_the_context_of_the_other(symmetric):
    """Both ways round, averaged; without symmetry the second view's query alone."""
    make = of_pairs(*PAIRS, symmetric=symmetric, weight=0.7)
    model = small.build(make)
    first, second = endpoints_of_both_views(model)
    ways = [(second, first), (first, second)] if symmetric else [(second, first)]
    expected = {
        f"{term.name}_mi": np.mean([mutual_information(term, *way) for way in ways])
        for term in model.terms
    }
    assert list(expected) == ["local_mi", "global_conv_mi", "conv_conv_mi", "fc_global_mi"]
    metrics = small.build(make).train_step(small.BATCH.images)
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name], value, rtol=1e-4, err_msg=name)
    np.testing.assert_allclose(metrics["loss"], -0.7 * sum(expected.values()), rtol=1e-4)
    # The views differ, so that one taken for the other would be another number.
    wrong = {f"{t.name}_mi": mutual_information(t, first, first) for t in model.terms}
    for name, value in wrong.items():
        assert abs(value - expected[name]) > 1e-3, name


def test_a_query_map_is_compared_location_by_location():
    model = small.build(of_pairs(("conv", "conv")))
    maps = model.encoder(small.IMAGES)["conv"]  # [16, 2, 2, 8]
    assert model.terms[0].critic(maps, maps, training=True).joint.shape == (16, 4, 4)


def test_coordinates_in_one_view_are_predicted_from_the_global_feature_of_the_other():
    def make(encoder):
        tasks = [terms.Coordinates((8,), 0.25), terms.RelativeCoordinates((8,), 0.5)]
        return of_pairs(("global", "global"), more=tasks)(encoder)

    model = small.build(make)
    first, second = endpoints_of_both_views(model)
    rows, columns = np.divmod(np.arange(16), 4)  # the local map is of 4 x 4
    partner = RANDOM.choice("relative coordinates", 16, 16).numpy()

    def cross_entropy(logits, labels):
        logits = logits.numpy().astype(np.float64)
        return np.mean(np.log(np.exp(logits).sum(-1)) - logits[:, np.arange(16), labels])

    absolute = relative = 0.0
    for context, query in ((first, second), (second, first)):
        local = tf.reshape(context["local"], [16, 16, -1])
        repeated = tf.repeat(query["global"][:, None], 16, axis=1)
        logits = model.terms[1].predictor(tf.concat([local, repeated], -1))
        absolute += 0.5 * sum(map(cross_entropy, logits, (rows, columns)))
        both = [local, tf.gather(local, partner, axis=1), repeated]
        logits = model.terms[2].predictor(tf.concat(both, -1))
        relative += 0.5 * sum(
            map(cross_entropy, logits, (x[partner] - x + 3 for x in (rows, columns)))
        )
    metrics = small.build(make).train_step(small.BATCH.images)
    np.testing.assert_allclose(metrics["coordinates_loss"], absolute, rtol=1e-4)
    np.testing.assert_allclose(metrics["relative_coordinates_loss"], relative, rtol=1e-4)
    total = 0.25 * absolute + 0.5 * relative - metrics["global_global_mi"]
    np.testing.assert_allclose(metrics["loss"], total, rtol=1e-4)


def test_a_prior_is_matched_with_both_views():
    def make(encoder):
        matching = terms.prior_matching("gaussian", small.LATENT, weight=0.3)
        return DeepInfoMax(encoder, [matching], Views(Augmentation()))

    model = small.build(make)
    first, second = endpoints_of_both_views(model)
    term = model.terms[0]
    ways = [term(view, {}, random=RANDOM) for view in (first, second)]
    metrics = small.build(make).train_step(small.BATCH.images)
    adversary_loss = model.objective(small.BATCH, RANDOM).adversary_loss
    np.testing.assert_allclose(
        adversary_loss, np.mean([way.adversary_loss for way in ways]), rtol=1e-4
    )
    expected = np.mean([way.metrics["prior_divergence"] for way in ways])
    np.testing.assert_allclose(metrics["prior_divergence"], expected, rtol=1e-4)
    np.testing.assert_allclose(
        metrics["loss"], 0.3 * np.mean([way.encoder_loss for way in ways]), rtol=1e-4
    )


@pytest.mark.parametrize("make", [small.simclr, small.vicreg, small.barlow_twins])
def test_a_loss_between_views_is_taken_once_with_its_weight(make, monkeypatch):
    model = small.build(make)
    term, calls = model.terms[0], []
    term.weight = 0.5
    compare = term.compare
    monkeypatch.setattr(term, "compare", lambda a, b: calls.append((a, b)) or compare(a, b))
    first, second = endpoints_of_both_views(model)
    expected = [term.projector(view["global"], training=True) for view in (first, second)]
    loss, metrics = compare(*expected)
    logs = model.train_step(small.BATCH.images)
    assert len(calls) == 1
    for projection, by_hand in zip(calls[0], expected, strict=True):
        np.testing.assert_allclose(projection, by_hand, rtol=1e-4, atol=1e-5)
    np.testing.assert_allclose(logs["loss"], 0.5 * loss, rtol=1e-4)
    for name, value in metrics.items():
        np.testing.assert_allclose(logs[f"{term.name}_{name}"], value, rtol=1e-3, atol=1e-5)


def test_the_encoder_sees_two_other_views_of_each_image():
    model = small.build(small.simclr)
    seen = []
    call = model.encoder.call
    model.encoder.call = lambda x, **more: seen.append(x.numpy()) or call(x, **more)
    model.train_step(small.BATCH)
    first, second = seen
    assert first.shape == second.shape == small.IMAGES.shape
    for a, b in ((first, second), (first, small.IMAGES), (second, small.IMAGES)):
        assert (np.abs(a - b).max(axis=(1, 2, 3)) > 0.1).all()


def test_coordinates_take_all_locations_whatever_the_pairs_take():
    def make(locations):
        def model(encoder):
            tasks = [terms.Coordinates((8,), 0.25)]
            return of_pairs(("global", "local"), more=tasks, locations=locations)(encoder)

        return small.build(model).train_step(small.BATCH.images)

    some, every = make(3), make(0)
    np.testing.assert_allclose(some["coordinates_loss"], every["coordinates_loss"], rtol=1e-5)
    assert abs(some["local_mi"] - every["local_mi"]) > 1e-3


def encoder_without(endpoint):
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    del encoder.endpoints[endpoint]
    return encoder


def test_a_term_that_reads_an_endpoint_which_the_encoder_lacks_is_refused():
    with pytest.raises(ValueError, match="global_conv reads the endpoint 'conv', and the encoder"):
        of_pairs(("global", "conv"))(encoder_without("conv"))
    with pytest.raises(ValueError, match="coordinates reads the endpoint 'local'"):
        DeepInfoMax(encoder_without("local"), [terms.Coordinates()])
    of_pairs(("global", "global"))(encoder_without("local"))


def test_a_loss_between_views_is_refused_where_there_is_one():
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    with pytest.raises(ValueError, match=r"nt_xent compares two views.*Views\(Augmentation\(\)\)"):
        DeepInfoMax(encoder, [terms.NTXent()])


def test_occluded_views_are_not_exchanged():
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    parts = [terms.local_mutual_information("dot", "jsd", units=6)]
    views = Views(Augmentation(), occluded=True)
    with pytest.raises(ValueError, match="symmetric=False"):
        DeepInfoMax(encoder, parts, views)
    DeepInfoMax(encoder, parts, views, symmetric=False)


def test_a_feature_is_not_compared_with_itself_in_one_view():
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    parts = [
        terms.local_mutual_information("dot", "jsd", query="global", context="global", units=6)
    ]
    with pytest.raises(ValueError, match="'global' with itself in one view"):
        DeepInfoMax(encoder, parts)
    DeepInfoMax(encoder, parts, Views(Augmentation()))


def test_terms_have_names_of_their_own():
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5)
    term = terms.local_mutual_information("dot", "jsd", units=6)
    with pytest.raises(ValueError, match="local, local; give each a name of its own"):
        DeepInfoMax(encoder, [term, term])


@pytest.mark.parametrize("occluded", [False, True])
def test_the_probe_sees_the_querys_global_feature(occluded):
    def make(encoder):
        parts = [terms.local_mutual_information("dot", "jsd", units=6)]
        views = Views(None if occluded else Augmentation(), occluded)
        return DeepInfoMax(encoder, parts, views, symmetric=False)

    model = small.build(make)
    _, second = endpoints_of_both_views(model)
    features = small.build(make).objective(small.BATCH, RANDOM).features
    np.testing.assert_allclose(features, second["global"], rtol=1e-4, atol=1e-5)


def test_a_model_without_terms_is_refused():
    with pytest.raises(ValueError, match="no term"):
        DeepInfoMax(ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, 5), [])


def test_a_model_of_two_views_comes_back_from_its_config():
    model = small.build(small.barlow_twins)
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.get_config() == model.get_config()
    assert not again.views.shared_flip
