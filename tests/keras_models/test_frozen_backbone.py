"""A backbone that stands still for some steps, or learns at another rate than the rest."""

import keras
import numpy as np
import pytest
import small_backbone
import tensorflow as tf

from keras_models import DeepInfoMax, encoders, terms
from keras_models.encoders import BackboneEncoder

IMAGES = np.random.default_rng(0).uniform(-1, 1, (8, 16, 16, 3)).astype(np.float32)
RATE = 1e-3
GRAPH = {"run_eagerly": False, "jit_compile": False}


def make(compiled=True, synchronized=False, batch_norm="train", **settings):
    keras.utils.set_random_seed(0)
    encoder = BackboneEncoder(
        small_backbone.net(), 5, batch_norm=batch_norm, synchronized=synchronized
    )
    critic = {"units": 8, "synchronized": synchronized}
    model = DeepInfoMax(encoder, [terms.local_mutual_information("dot", "infonce", **critic)])
    if compiled:
        model.compile(**{"learning_rate": RATE, "run_eagerly": True, **settings})
    model.build()
    return model


def values(variables):
    return {v.path: v.numpy() for v in variables}


def data():
    return tf.data.Dataset.from_tensor_slices(IMAGES).repeat().batch(4)


def train(model, steps):
    """The losses of that many steps."""
    log = keras.callbacks.LambdaCallback(on_train_batch_end=lambda _, logs: losses.append(logs))
    losses: list = []
    model.fit(data(), epochs=1, steps_per_epoch=steps, verbose=0, callbacks=[log])
    return [float(one["loss"]) for one in losses]


def changed(variables, before):
    return {v.path for v in variables if not np.array_equal(v.numpy(), before[v.path])}


def test_it_is_frozen_for_the_first_steps_and_then_learns():
    """Adam's first update of it, counted from step 0, would be 16 times the learning rate."""
    model = make(frozen_steps=3)
    backbone = model.encoder.backbone.variables
    before = values(model.variables)
    train(model, 3)
    assert not changed(backbone, before)
    assert "global/kernel" in " ".join(changed(model.encoder.variables, before))
    train(model, 1)
    kernel = model.encoder.backbone.get_layer("down").kernel
    largest = np.abs(kernel.numpy() - before[kernel.path]).max()
    np.testing.assert_allclose(largest, RATE, rtol=1e-3)
    assert changed(backbone, before) >= {v.path for v in model.encoder.backbone.trainable_variables}
    assert "stem_norm/moving_mean" in changed(backbone, before)


@pytest.mark.slow
def test_within_one_fit_it_is_the_same():
    """Also step by step, through `train_on_batch`."""
    whole, parts, single = (make(frozen_steps=2, **GRAPH) for _ in range(3))
    wanted = train(whole, 4)
    images = [IMAGES[:4], IMAGES[4:]] * 2
    assert train(parts, 2) == wanted[:2]
    train(parts, 2)
    losses = [single.train_on_batch(x, return_dict=True)["loss"] for x in images]
    np.testing.assert_allclose(losses, wanted, rtol=1e-5)
    for a, b, c in zip(whole.variables, parts.variables, single.variables, strict=True):
        np.testing.assert_allclose(a.numpy(), b.numpy(), rtol=1e-5, atol=1e-7)
        np.testing.assert_allclose(a.numpy(), c.numpy(), rtol=1e-4, atol=1e-6)


def test_layers_frozen_before_are_frozen_afterwards():
    model = make(frozen_steps=1, batch_norm="frozen")
    before = values(model.variables)
    train(model, 2)
    still = {"stem_norm", "down_norm"}
    moved = {path.split("/")[0] for path in changed(model.encoder.backbone.variables, before)}
    assert moved == {"stem", "down"}
    assert not moved & still


@pytest.mark.parametrize("scale", [0.25, 0.0])
def test_the_backbones_rate_is_that_fraction_of_the_rest(scale):
    model = make(backbone_learning_rate_scale=scale)
    before = values(model.variables)
    train(model, 1)
    steps = {
        name: max(np.abs(v.numpy() - before[v.path]).max() for v in variables)
        for name, variables in {
            "backbone": model.encoder.backbone.trainable_variables,
            "head": [model.encoder.projection.kernel],
        }.items()
    }
    np.testing.assert_allclose(steps["head"], RATE, rtol=1e-3)
    np.testing.assert_allclose(steps["backbone"], scale * RATE, rtol=1e-3)


def test_weight_decay_is_by_the_backbones_rate():
    def without_gradients(model):
        before = values(model.variables)
        variables = model.main_variables
        model.optimizer.apply([tf.zeros(v.shape) for v in variables], variables)
        return {v.path: (before[v.path], v.numpy()) for v in variables}

    model = make(weight_decay=10.0, backbone_learning_rate_scale=0.25)
    result = without_gradients(model)
    for path, factor in {
        "down/kernel": 1 - 0.25 * 10 * RATE,
        "global/kernel": 1 - 10 * RATE,
    }.items():
        before, after = next(pair for name, pair in result.items() if name.endswith(path))
        np.testing.assert_allclose(after, before * factor, rtol=1e-5)
    before, after = result["stem/bias"]
    np.testing.assert_array_equal(after, before)


@pytest.mark.slow
def test_a_model_saved_while_its_backbone_is_frozen_learns_later(tmp_path):
    model = make(frozen_steps=2, **GRAPH)
    train(model, 1)
    assert not model.encoder.backbone.trainable_variables
    model.save(tmp_path / "model.keras")
    again = keras.models.load_model(tmp_path / "model.keras")
    np.testing.assert_allclose(train(again, 2), train(model, 2), rtol=1e-5)
    assert again.encoder.backbone.trainable_variables
    for ours, theirs in zip(again.variables, model.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-5, atol=1e-7)


@pytest.mark.slow
def test_two_replicas_are_one_device_before_and_after(two_replicas):
    def sgd():
        return {"optimizer": keras.optimizers.SGD(0.05), "frozen_steps": 1, **GRAPH}

    one = make(**sgd(), adversary_optimizer=keras.optimizers.SGD(0.05))
    with two_replicas.scope():
        two = make(**sgd(), adversary_optimizer=keras.optimizers.SGD(0.05), synchronized=True)
    before = values(one.variables)
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.split(tf.constant(IMAGES), 2)[context.replica_id_in_sync_group]
    )
    for step in range(2):
        for model in (one, two):
            model.apply_frozen_steps()
        one.train_step(tf.constant(IMAGES))
        tf.function(lambda images: two_replicas.run(two.train_step, [images]))(halves)
        assert bool(changed(one.encoder.backbone.variables, before)) is (step == 1)
        for weight, expected in zip(two.get_weights(), one.get_weights(), strict=True):
            np.testing.assert_allclose(weight, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(
    ("settings", "message"),
    [
        ({"frozen_steps": -1}, "frozen_steps=-1; expected at least 0"),
        ({"backbone_learning_rate_scale": -1.0}, "expected at least 0"),
        ({"frozen_steps": 3, "steps_per_execution": 2}, "not a multiple of steps_per_execution=2"),
        (
            {"backbone_learning_rate_scale": 0.5, "optimizer": "sgd"},
            "with the default optimizer only; leave",
        ),
    ],
)
def test_impossible_settings_are_refused(settings, message):
    with pytest.raises(ValueError, match=message):
        make(**settings)


@pytest.mark.parametrize("setting", [{"frozen_steps": 1}, {"backbone_learning_rate_scale": 0.5}])
def test_an_encoder_without_a_backbone_has_nothing_to_freeze(setting):
    encoder = encoders.get("basic28x28", latent_dim=4)
    model = DeepInfoMax(encoder, [terms.local_mutual_information("dot", "infonce", units=8)])
    with pytest.raises(ValueError, match="take effect with a backbone only"):
        model.compile(**setting)


@pytest.mark.slow
def test_steps_per_execution_switch_at_a_multiple():
    plain = make(frozen_steps=2, **GRAPH)
    train(plain, 4)
    model = make(frozen_steps=2, steps_per_execution=2, **GRAPH)
    model.fit(data(), epochs=1, steps_per_epoch=4, verbose=0)
    for ours, theirs in zip(model.variables, plain.variables, strict=True):
        np.testing.assert_allclose(ours.numpy(), theirs.numpy(), rtol=1e-4, atol=1e-6)
