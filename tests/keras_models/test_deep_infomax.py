import keras
import numpy as np
import pytest
import tensorflow as tf
from small_infomax import IMAGES, losses, make_model, model_with_everything, sgd_model

from keras_models import DeepInfoMax, terms
from keras_models.views import Views


def test_call_is_the_encoder():
    model = make_model()
    for name, x in model(IMAGES[:2]).items():
        np.testing.assert_array_equal(x, model.encoder(IMAGES[:2])[name])


def test_loss_is_the_weighted_sum_of_the_terms():
    metrics = {name: float(x) for name, x in make_model().train_step(IMAGES[:8]).items()}
    expected = -0.8 * metrics["local_mi"] + 0.3 * metrics["prior_encoder_loss"]
    np.testing.assert_allclose(metrics["loss"], expected, rtol=1e-5)


def test_without_an_adversary():
    model = make_model(compiled=False)
    model = DeepInfoMax(model.encoder, model.terms[:1])
    model.compile(1e-2)
    model.build()
    assert not model.adversary_variables
    np.testing.assert_allclose(
        model.train_step(IMAGES[:8])["loss"], make_model().train_step(IMAGES[:8])["local_mi"] * -0.8
    )


def test_each_variable_has_one_optimizer():
    model = make_model()
    of_discriminator = {v.path for v in model.terms[1].discriminator.trainable_variables}
    assert {v.path for v in model.adversary_variables} == of_discriminator
    assert {v.path for v in model.adversary_optimizer._trainable_variables} == of_discriminator
    rest = {v.path for v in model.trainable_variables} - of_discriminator
    assert {v.path for v in model.main_variables} == rest
    assert {v.path for v in model.optimizer._trainable_variables} == rest
    assert len(rest) + len(of_discriminator) == len(model.trainable_variables)


def test_build_makes_every_variable():
    model = make_model()
    before = len(model.variables), len(model.optimizer.variables)
    model.train_step(IMAGES[:8])
    assert (len(model.variables), len(model.optimizer.variables)) == before


def test_compiling_after_building_makes_the_optimizers_variables():
    """Inside a compiled step it would be too late."""
    model = make_model(compiled=False)
    model.build()
    model.compile()
    before = len(model.optimizer.variables), len(model.adversary_optimizer.variables)
    model.train_step(IMAGES[:8])
    after = len(model.optimizer.variables), len(model.adversary_optimizer.variables)
    assert after == before


def test_default_optimizers_are_the_authors():
    model = make_model(learning_rate=3e-4)
    for optimizer in (model.optimizer, model.adversary_optimizer):
        assert (optimizer.beta_1, optimizer.beta_2, optimizer.epsilon) == (0.5, 0.999, 1e-8)
        np.testing.assert_allclose(optimizer.learning_rate, 3e-4)
    assert model.optimizer is not model.adversary_optimizer


def test_weight_decay_is_of_kernels_and_not_of_the_adversarys():
    """With a learning rate of 1 and gradients that Adam cannot see, weights become 0."""
    model = make_model(learning_rate=1.0, weight_decay=1.0)
    model.optimizer.epsilon = model.adversary_optimizer.epsilon = 1e30
    before = [v.numpy() for v in model.trainable_variables]
    model.train_step(IMAGES[:8])
    adversary = {id(v) for v in model.adversary_variables}
    for variable, value in zip(model.trainable_variables, before, strict=True):
        decays = id(variable) not in adversary and value.ndim > 1
        np.testing.assert_allclose(variable, 0 * value if decays else value, atol=1e-20)


@pytest.mark.parametrize("frozen", ["adversary", "encoder"])
def test_each_optimizer_moves_its_own_variables_only(frozen):
    rates = {"adversary": 0.1, "encoder": 0.1, frozen: 0.0}
    model = make_model(
        optimizer=keras.optimizers.SGD(rates["encoder"]),
        adversary_optimizer=keras.optimizers.SGD(rates["adversary"]),
    )
    owned = {"adversary": model.adversary_variables, "encoder": model.main_variables}
    before = {key: [v.numpy() for v in variables] for key, variables in owned.items()}
    model.train_step(IMAGES[:8])
    for key, variables in owned.items():
        for variable, value in zip(variables, before[key], strict=True):
            same = np.array_equal(variable.numpy(), value)
            assert same == (key == frozen), variable.path


# Compiling a step takes seconds; the estimators have their own tests of it.
ONE_ESTIMATOR = [
    "infonce",
    pytest.param("jsd", marks=pytest.mark.slow),
    pytest.param("dv", marks=pytest.mark.slow),
]


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ONE_ESTIMATOR)
def test_xla_equals_eager_over_three_steps(estimator):
    """As the graph does that `fit` makes, see below."""
    expected = losses(sgd_model(estimator))
    model = sgd_model(estimator)
    metrics = losses(model, tf.function(model.train_step, jit_compile=True))
    for name in expected:
        np.testing.assert_allclose(
            metrics[name], expected[name], rtol=1e-4, atol=1e-4, err_msg=name
        )


def test_same_seed_same_losses():
    first, second = losses(make_model(seed=3)), losses(make_model(seed=3))
    for name in first:
        np.testing.assert_array_equal(first[name], second[name])


def test_another_seed_draws_other_prior_samples():
    first, second = (make_model(seed=seed).train_step(IMAGES[:8]) for seed in (3, 4))
    assert first["prior_divergence"] != second["prior_divergence"]
    np.testing.assert_array_equal(first["local_mi"], second["local_mi"])


def test_every_step_draws_other_prior_samples():
    frozen = keras.optimizers.SGD(0.0), keras.optimizers.SGD(0.0)
    model = make_model(optimizer=frozen[0], adversary_optimizer=frozen[1])
    first, second = (model.train_step(IMAGES[:8]) for _ in range(2))
    assert first["prior_divergence"] != second["prior_divergence"]
    np.testing.assert_allclose(first["local_mi"], second["local_mi"], rtol=1e-6)


def test_fit_logs_the_steps_of_train_step():
    expected = losses(make_model(learning_rate=1e-3))
    model = make_model(learning_rate=1e-3, jit_compile=False)
    data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(8, drop_remainder=True).repeat()
    history = model.fit(data, steps_per_epoch=1, epochs=3, verbose=0).history
    assert set(history) == set(expected)
    for name in expected:
        np.testing.assert_allclose(history[name], expected[name], rtol=1e-3, atol=1e-4)


@pytest.mark.slow
def test_fit_with_xla():
    model = make_model(jit_compile=True)
    data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(8, drop_remainder=True)
    history = model.fit(data, epochs=1, verbose=0).history
    assert np.isfinite(history["loss"][0])
    assert model.optimizer.iterations.numpy() == 3


@pytest.mark.parametrize("estimator", ONE_ESTIMATOR)
def test_learns(estimator):
    """Thirty steps on the same images raise the mutual information that is estimated."""
    model = make_model(estimator, learning_rate=1e-3)
    step = tf.function(model.train_step)
    history = [step(tf.constant(IMAGES)) for _ in range(30)]
    first, last = (np.mean([x["loss"] for x in part]) for part in (history[:3], history[-3:]))
    assert last < first - 0.2


@pytest.mark.parametrize("built", [False, True])
@pytest.mark.parametrize("compiled", [False, True])
def test_serialisation_round_trip(compiled, built):
    """As Keras says when it loads such a model, `compile` has to be called anew."""
    model = make_model(compiled=False, seed=7)
    if compiled:
        model.compile()
    if built:
        model.build()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.seed == 7
    assert again.encoder.get_config() == model.encoder.get_config()
    assert [type(term) for term in again.terms] == [type(term) for term in model.terms]
    assert again.built == built
    if not built:
        model.build()
        again.build()
    again.set_weights(model.get_weights())
    model.compile(1e-3)
    again.compile(1e-3)
    expected, metrics = model.train_step(IMAGES[:8]), again.train_step(IMAGES[:8])
    for name in expected:
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)


def test_saved_weights_are_loaded(tmp_path):
    model = make_model()
    model.train_step(IMAGES[:8])
    model.save_weights(tmp_path / "model.weights.h5")
    again = make_model()
    again.load_weights(tmp_path / "model.weights.h5")
    for loaded, saved in zip(again.get_weights(), model.get_weights(), strict=True):
        np.testing.assert_array_equal(loaded, saved)


def test_trains_an_encoder_that_is_built_already():
    """A pre-trained one: its weights are kept."""
    model = make_model(compiled=False)
    model.encoder.build()
    before = model.encoder.get_weights()
    model.compile()
    model.build()
    for after, weight in zip(model.encoder.get_weights(), before, strict=True):
        np.testing.assert_array_equal(after, weight)


def test_bfloat16_step_is_close_to_float32():
    expected = make_model().train_step(IMAGES[:8])
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        metrics = make_model().train_step(IMAGES[:8])
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    for name, value in metrics.items():
        assert value.dtype == tf.float32
        np.testing.assert_allclose(value, expected[name], rtol=0.1, atol=0.1, err_msg=name)


def assert_step_on_replicas_equals_one_device(strategy, make, tolerance=1e-5):
    one = make()
    with strategy.scope():
        model = make()
    for weight, initial in zip(model.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_array_equal(weight, initial)

    data = tf.data.Dataset.from_tensor_slices(IMAGES[:8]).batch(8)
    batch = next(iter(strategy.experimental_distribute_dataset(data)))
    halves = strategy.experimental_local_results(batch)
    np.testing.assert_array_equal(np.concatenate(halves), IMAGES[:8])
    assert [len(half) for half in halves] == [4, 4]

    before = model.get_weights()
    metrics = tf.function(lambda x: strategy.run(model.train_step, [x]))(batch)
    expected = one.train_step(tf.constant(IMAGES[:8]))
    for variable, weight, initial in zip(one.weights, model.get_weights(), before, strict=True):
        np.testing.assert_allclose(
            weight, variable.numpy(), rtol=tolerance, atol=tolerance, err_msg=variable.path
        )
        # DV does not move the bias of a score, on any number of devices.
        if variable.trainable and "stack/output/bias" not in variable.path:
            assert not np.array_equal(weight, initial), variable.path
    assert set(metrics) == set(expected)
    for name in expected:
        for value in strategy.experimental_local_results(metrics[name]):
            np.testing.assert_allclose(
                value, expected[name], rtol=tolerance, atol=tolerance, err_msg=name
            )


@pytest.mark.parametrize("estimator", ONE_ESTIMATOR)
def test_step_on_two_replicas_equals_one_device(two_replicas, estimator):
    assert_step_on_replicas_equals_one_device(
        two_replicas, lambda: sgd_model(estimator, synchronized=True)
    )


@pytest.mark.slow
def test_step_with_everything_on_two_replicas_equals_one_device(two_replicas):
    """Noise that differed between replicas and one device would change weights by 1e-2."""
    assert_step_on_replicas_equals_one_device(
        two_replicas, lambda: model_with_everything(jit_compile=False), tolerance=1e-4
    )


@pytest.mark.slow
def test_step_with_everything_in_graph_and_xla_equals_eager():
    expected = losses(model_with_everything())
    for jit_compile in (False, True):
        model = model_with_everything()
        metrics = losses(model, tf.function(model.train_step, jit_compile=jit_compile))
        for name in expected:
            np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-3, atol=1e-3)


def test_the_query_is_of_the_query_view():
    """Each term gets the endpoints of both views."""
    seen = []

    class Watcher(terms.Term):
        endpoints = ("global",)

        def build(self, shapes):
            self.built = True

        def call(self, query, context, random, training):
            seen.append((query["global"], context["global"]))
            return terms.TermOutput(tf.reduce_sum(query["global"]), None, {})

    for views in (Views(), Views(occluded=True)):
        model = DeepInfoMax(make_model(compiled=False).encoder, [Watcher()], views)
        model.compile()
        model.build()
        model.train_step(IMAGES[:8])
    np.testing.assert_array_equal(*seen[0])
    assert not np.array_equal(*seen[1])


@pytest.mark.parametrize(("views", "passes"), [(Views(), 1), (Views(occluded=True), 2)])
def test_the_encoder_runs_once_for_each_view(monkeypatch, views, passes):
    model = make_model(compiled=False)
    model = DeepInfoMax(model.encoder, model.terms, views)
    model.compile()
    model.build()
    calls = []
    encode = model.encoder.call
    monkeypatch.setattr(
        model.encoder, "call", lambda *args, **kw: calls.append(1) or encode(*args, **kw)
    )
    model.train_step(IMAGES[:8])
    assert len(calls) == passes


def test_a_model_with_everything_comes_back_from_its_config():
    model = model_with_everything()
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(model))
    assert again.get_config() == model.get_config()
    again.set_weights(model.get_weights())
    again.compile()
    model.compile()
    expected, metrics = model.train_step(IMAGES[:8]), again.train_step(IMAGES[:8])
    for name in expected:
        np.testing.assert_allclose(metrics[name], expected[name], rtol=1e-5)


@pytest.mark.slow
def test_fit_on_two_replicas_equals_one_device(two_replicas):
    data = tf.data.Dataset.from_tensor_slices(IMAGES).batch(8, drop_remainder=True)
    one = sgd_model("infonce", synchronized=True)
    expected = one.fit(data, verbose=0).history
    with two_replicas.scope():
        model = sgd_model("infonce", synchronized=True)
    history = model.fit(data, verbose=0).history
    np.testing.assert_allclose(history["loss"], expected["loss"], rtol=1e-4)
    for weight, other in zip(model.get_weights(), one.get_weights(), strict=True):
        np.testing.assert_allclose(weight, other, rtol=1e-4, atol=1e-4)
