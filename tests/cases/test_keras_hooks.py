"""What Keras' users ask of `compile`, `fit`, `evaluate` and `load_model` works or is refused."""

import keras
import numpy as np
import pytest
import small_baseline
import tensorflow as tf

from keras_models import DeepInfoMax, batch, gradients, priors, terms
from keras_models.critics import pairs
from keras_models.encoders import ConvNet
from keras_models.nn.discriminators import Discriminator

IMAGES = np.random.default_rng(0).uniform(-1, 1, (48, 8, 8, 1)).astype(np.float32)
SGD = keras.optimizers.SGD


def make_model(compiled=True, negatives=0, **arguments):
    """Eager by default, as tracing takes longer than these few steps."""
    keras.utils.set_random_seed(1)
    encoder = ConvNet((8, 8, 1), ((4, 4, 2, 1), (8, 4, 2, 1)), (16,), 0, 5)
    parts = [
        terms.local_mutual_information("dot", "infonce", units=8, negatives=negatives),
        terms.PriorMatching(priors.get("uniform", 5), Discriminator((8,)), weight=0.3),
    ]
    model = DeepInfoMax(encoder, parts)
    if compiled:
        model.compile(**{"run_eagerly": True, **arguments})
    return model


def state(model):
    return [v.numpy() for v in model.variables + model.optimizer.variables]


def unchanged(model, before):
    return all(np.array_equal(a, b) for a, b in zip(state(model), before, strict=True))


@pytest.fixture
def float16():
    keras.config.set_dtype_policy("mixed_float16")
    yield
    keras.config.set_dtype_policy("float32")


def scaled(scale):
    """Optimizers of both players, whose loss scale begins so."""
    names = ("optimizer", "adversary_optimizer")
    wrap = keras.optimizers.LossScaleOptimizer
    return {name: wrap(SGD(0.02), initial_scale=scale) for name in names}


def test_sgd_in_float16_takes_the_steps_of_float32(float16):
    """Gradients are divided by the loss scale; the losses of both players are multiplied by it."""
    logs, weights = [], []
    for policy, optimizers in (
        ("float32", {"optimizer": SGD(0.02), "adversary_optimizer": SGD(0.02)}),
        ("mixed_float16", scaled(2.0**8)),
    ):
        keras.config.set_dtype_policy(policy)
        model = make_model(**optimizers)
        model.build()
        before = model.get_weights()
        steps = [model.train_step(part) for part in np.split(IMAGES[:16], 2)]
        logs.append({name: [float(x[name]) for x in steps] for name in steps[0]})
        moved = [a - b for a, b in zip(model.get_weights(), before, strict=True)]
        weights.append(np.concatenate([x.ravel() for x in moved]))
        of_adversary = {id(v) for v in model.adversary_variables}
        adversary = [id(v) in of_adversary for v in model.weights for _ in range(v.numpy().size)]
    for name in ("loss", "local_mi", "prior_divergence", "prior_gradient_penalty"):
        np.testing.assert_allclose(logs[1][name], logs[0][name], rtol=0.05, err_msg=name)
    for player in (np.array(adversary), ~np.array(adversary)):
        change = np.linalg.norm(weights[0][player])
        assert change > 0
        assert np.linalg.norm((weights[1] - weights[0])[player]) < 0.05 * change


def test_both_players_get_loss_scaling_that_recovers_from_an_overflow(float16):
    model = make_model()
    for optimizer in (model.optimizer, model.adversary_optimizer):
        assert isinstance(optimizer, keras.optimizers.LossScaleOptimizer)
    model = make_model(**scaled(2.0**22))
    model.build()
    before = [v.numpy() for v in model.trainable_variables]
    steps = 0
    optimizers = model.optimizer, model.adversary_optimizer
    while not all(optimizer.iterations.numpy() for optimizer in optimizers) and steps < 30:
        model.train_step(IMAGES[:8])
        steps += 1
    assert model.optimizer.iterations.numpy() == 1 < steps < 30
    assert model.optimizer.dynamic_scale.numpy() == 2.0 ** (22 - (steps - 1))
    after = [v.numpy() for v in model.trainable_variables]
    assert all(np.isfinite(value).all() for value in after)
    assert any(not np.array_equal(a, b) for a, b in zip(after, before, strict=True))


def test_weight_decay_in_float16_spares_what_it_spares_in_float32(float16):
    model = make_model(learning_rate=1.0, weight_decay=1.0)
    model.build()
    model.optimizer.inner_optimizer.epsilon = 1e30  # Adam's own step becomes 0
    model.optimizer.dynamic_scale.assign(1.0)
    before = [v.numpy() for v in model.main_variables]
    model.train_step(IMAGES[:8])
    for variable, value in zip(model.main_variables, before, strict=True):
        decayed = value.ndim > 1
        np.testing.assert_allclose(variable, 0 * value if decayed else value, atol=1e-6)


def test_accumulated_gradients_are_those_of_all_batches_with_noise_of_their_own():
    optimizers = {
        "optimizer": SGD(0.05, gradient_accumulation_steps=2),
        "adversary_optimizer": SGD(0.0),
    }
    model = make_model(**optimizers)
    model.build()
    before = state(model)[: len(model.variables)]
    first = model.train_step(IMAGES[:8])
    trainable = {id(v) for v in model.trainable_variables}
    for variable, value in zip(model.variables, before, strict=True):
        assert id(variable) not in trainable or np.array_equal(variable, value), variable.path
    second = model.train_step(IMAGES[:8])
    assert first["prior_divergence"] != second["prior_divergence"]
    np.testing.assert_allclose(first["local_mi"], second["local_mi"], rtol=1e-5)
    assert model.optimizer.iterations.numpy() == 1
    assert model.train_step(IMAGES[:8])["local_mi"] > second["local_mi"]


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        ({"loss": "mse"}, r"compile\(loss=...\): DeepInfoMax has an objective of its own"),
        ({"loss_weights": [1.0]}, "loss_weights"),
        ({"metrics": ["accuracy"]}, "metrics"),
        ({"weighted_metrics": ["accuracy"]}, "weighted_metrics"),
        ({"learning_rate": "adam"}, "the first argument is the learning rate"),
        ({"optimizer": SGD(use_ema=True)}, "^optimizer: use_ema"),
        ({"adversary_optimizer": SGD(use_ema=True)}, "^adversary_optimizer: use_ema"),
    ],
)
def test_arguments_that_an_objective_cannot_take_are_refused_by_name(arguments, says):
    with pytest.raises(ValueError, match=says):
        make_model(**arguments)


def test_one_optimizer_for_both_players_is_refused():
    one = SGD()
    with pytest.raises(ValueError, match="make two of them"):
        make_model(optimizer=one, adversary_optimizer=one)


@pytest.mark.parametrize(
    ("method", "weights"),
    [
        ("fit", "sample_weight"),
        ("fit", "class_weight"),
        ("evaluate", "sample_weight"),
        ("train_on_batch", "sample_weight"),
        ("train_on_batch", "class_weight"),
        ("test_on_batch", "sample_weight"),
    ],
)
def test_weights_of_examples_and_classes_are_refused(method, weights):
    """A sample weight came as the third part of a batch, which is the images' rows."""
    model = make_model()
    value = {0: 2.0} if weights == "class_weight" else np.ones(8)
    with pytest.raises(ValueError, match=f"{weights}: the objective of DeepInfoMax"):
        getattr(model, method)(IMAGES[:8], np.zeros(8, np.int64), **{weights: value})


def test_validation_is_the_objective_over_all_images_and_changes_nothing():
    """The mean over images, also where batches differ; the same each time."""
    model = make_model()
    held_out = IMAGES[16:27]
    history = model.fit(IMAGES[:8], batch_size=8, validation_data=(held_out,), verbose=0).history
    assert {f"val_{name}" for name in history if not name.startswith("val_")} <= set(history)
    before = state(model)
    parts = [float(model.test_step(part)["loss"]) for part in (held_out[:8], held_out[8:])]
    np.testing.assert_allclose(history["val_loss"], [np.average(parts, weights=[8, 3])], rtol=1e-5)
    losses = model.evaluate(held_out, batch_size=8, verbose=0)
    assert losses[0] == history["val_loss"][0]
    assert unchanged(model, before)


@pytest.mark.slow
def test_an_evaluation_of_several_steps_at_once_counts_all():
    model = make_model(run_eagerly=False, steps_per_execution=2)
    loss = model.evaluate(IMAGES[:40], batch_size=8, return_dict=True, verbose=0)["loss"]
    parts = [float(model.test_step(part)["loss"]) for part in np.split(IMAGES[:40], 5)]
    np.testing.assert_allclose(loss, np.mean(parts), rtol=1e-4)
    history = model.fit(IMAGES, batch_size=8, validation_split=1 / 6, verbose=0).history
    assert np.isfinite(history["val_loss"][0])
    assert model.optimizer.iterations.numpy() == 5


def test_targets_of_training_images_cannot_be_validated_which_is_said_before_training():
    model = small_baseline.build(small_baseline.nat, run_eagerly=True)
    data = tf.data.Dataset.from_tensors(small_baseline.BATCH)
    with pytest.raises(ValueError, match="NoiseAsTargets is about its training images alone"):
        model.fit(data, validation_data=data, verbose=0)
    assert model.optimizer.iterations.numpy() == 0
    with pytest.raises(ValueError, match="training images alone"):
        model.evaluate(data, verbose=0)


def test_validation_without_the_labels_that_are_needed_is_refused_before_training():
    model = small_baseline.build(small_baseline.supervised, run_eagerly=True)
    images, labels = small_baseline.IMAGES, small_baseline.LABELS
    with pytest.raises(ValueError, match="Supervised is trained on images with their labels"):
        model.fit(images, labels, validation_data=(images,), verbose=0)
    assert model.optimizer.iterations.numpy() == 0
    history = model.fit(images, labels, validation_data=(images, labels), verbose=0).history
    assert 0 <= history["val_accuracy"][0] <= 1


TRAINING_IMAGES_ALONE = (
    small_baseline.nat,
    small_baseline.dec,
    small_baseline.dac,  # the training step's thresholds
    small_baseline.exemplar,
    small_baseline.multi_task,
)


@small_baseline.of_models(without=TRAINING_IMAGES_ALONE)
def test_every_baseline_is_evaluated_without_change(make):
    model = small_baseline.build(make, run_eagerly=True)
    before = state(model)
    logs = model.evaluate(
        tf.data.Dataset.from_tensors(small_baseline.BATCH), return_dict=True, verbose=0
    )
    assert np.isfinite(list(logs.values())).all()
    assert unchanged(model, before)


def test_a_loss_without_other_metrics_is_logged_as_it_is():
    """Keras took its own mean of it, which nobody had told it: 0."""
    model = small_baseline.build(small_baseline.autoencoder, run_eagerly=True)
    assert model.fit(small_baseline.IMAGES, batch_size=8, verbose=0).history["loss"][0] > 0.1


@pytest.mark.slow
def test_a_callback_ends_training():
    class Stop(keras.callbacks.Callback):
        def on_train_batch_end(self, batch, logs=None):
            self.model.stop_training = True

    model = make_model()
    model.fit(IMAGES, batch_size=8, epochs=3, callbacks=[Stop()], verbose=0)
    assert model.optimizer.iterations.numpy() == 1


def test_compiled_and_not_built_it_trains():
    model = make_model()
    model.train_on_batch(IMAGES[:8])
    assert model.optimizer.iterations.numpy() == 1
    model = make_model()
    assert set(model.predict(IMAGES[:5], verbose=0)) == {"local", "conv", "fc", "global"}
    with pytest.raises(ValueError, match="not built"):
        make_model().train_step(IMAGES[:8])


def test_a_loaded_model_trains_on_as_the_saved_one(tmp_path):
    model = make_model(learning_rate=1e-2, weight_decay=0.1, micro_batches=2)
    model.train_on_batch(IMAGES[:8])
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    for name in ("optimizer", "adversary_optimizer"):
        ours, theirs = (getattr(x, name).variables for x in (model, loaded))
        for a, b in zip(ours, theirs, strict=True):
            np.testing.assert_array_equal(a, b, err_msg=name)
    for x in (model, loaded):
        x.train_on_batch(IMAGES[8:16])
    for a, b in zip(model.get_weights(), loaded.get_weights(), strict=True):
        np.testing.assert_allclose(b, a, rtol=1e-5, atol=1e-7)


def test_a_loaded_model_has_its_own_optimizers(tmp_path):
    schedule = keras.optimizers.schedules.CosineDecay(0.1, 10)
    model = make_model(optimizer=SGD(schedule, momentum=0.5), adversary_optimizer="rmsprop")
    model.build()
    model.save(tmp_path / "model.keras")
    loaded = keras.models.load_model(tmp_path / "model.keras")
    assert loaded.optimizer.get_config() == model.optimizer.get_config()
    assert isinstance(loaded.adversary_optimizer, keras.optimizers.RMSprop)


def test_a_last_batch_of_one_image_is_said():
    model = make_model()
    with pytest.raises(ValueError, match="17 images in batches of 16 make one of 1, but"):
        model.fit(IMAGES[:17], batch_size=16, verbose=0)
    with pytest.raises(ValueError, match="17 images in batches of 16 make one of 1, but"):
        model.evaluate(IMAGES[:17], batch_size=16, verbose=0)
    assert model.optimizer.iterations.numpy() == 0  # nothing was trained before it was said
    with pytest.raises(ValueError, match="at least 2: batch norm, and an objective"):
        make_model(micro_batches=2).train_on_batch(IMAGES[:7])
    enough = tf.function(
        lambda x: batch.assert_enough_images(batch.Batch(x), 1, False).images,
        input_signature=[tf.TensorSpec([None, 8, 8, 1])],
    )
    assert len(enough(IMAGES[:2])) == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="at least 2: batch norm"):
        enough(IMAGES[:1])


@pytest.mark.slow
@pytest.mark.parametrize("negatives", [0, 3])
def test_a_last_batch_that_is_too_small_in_a_data_set_is_said(negatives):
    data = tf.data.Dataset.from_tensor_slices(IMAGES[: 16 + max(1, negatives)]).batch(16)
    with pytest.raises(ValueError, match="drop_remainder") as error:
        make_model(negatives=negatives, run_eagerly=False).fit(data, verbose=0)
    assert len(str(error.value).splitlines()) == 1


def test_an_image_is_never_its_own_negative():
    """2 images, each paired with the 2 that follow."""
    following = tf.function(
        lambda x: pairs.shifted_negatives(x, 2), input_signature=[tf.TensorSpec([None, 3])]
    )
    assert len(following(tf.zeros([3, 3]))) == 2
    with pytest.raises(tf.errors.InvalidArgumentError, match="fewer other images"):
        following(tf.zeros([2, 3]))


OF_BYTES = (IMAGES + 1) * 127.5
WRONG = {
    "floats to 255": (OF_BYTES, r"expected \[-1, 1\]: give images / 127.5 - 1"),
    "bytes": (OF_BYTES.astype(np.uint8), r"the images are uint8; expected float32 in \[-1, 1\]"),
    "standardised": (IMAGES * 2.5, r"expected \[-1, 1\]$"),
    "not finite": (np.where(IMAGES > 0.9, np.nan, IMAGES), "NaN or infinite"),
    "channels": (np.repeat(IMAGES, 3, axis=3), r"\[8, 8, 8, 3\]; expected \[N, 8, 8, 1\]"),
    "size": (np.zeros((8, 9, 8, 1), np.float32), r"\[8, 9, 8, 1\]; expected \[N, 8, 8, 1\]"),
}


@pytest.fixture(scope="module")
def untrained():
    model = make_model()
    model.build()
    return model


@pytest.mark.parametrize("wrong", WRONG)
def test_wrong_images_are_refused_before_the_first_step(wrong, untrained):
    images, says = WRONG[wrong]
    images = images[:8]
    model = untrained
    labelled = tf.data.Dataset.from_tensor_slices((images, np.arange(8))).batch(8)
    for ask in (
        lambda: model.fit(images, verbose=0),
        lambda: model.fit(labelled, verbose=0),
        lambda: model.fit((x for x in [images]), verbose=0),
        lambda: model.fit(IMAGES[:8], validation_data=(images,), verbose=0),
        lambda: model.train_on_batch(images),
        lambda: model.evaluate(images, verbose=0),
        lambda: model.test_on_batch(images),
    ):
        with pytest.raises(ValueError, match=says):
            ask()
    assert model.optimizer.iterations.numpy() == 0


@pytest.mark.slow
def test_no_batch_of_a_generator_is_lost_by_looking_at_the_first():
    model = make_model()
    model.fit(((images,) for images in np.split(IMAGES[:16], 2)), verbose=0)
    assert model.optimizer.iterations.numpy() == 2


@pytest.mark.slow
def test_on_two_replicas(two_replicas, float16, monkeypatch):
    """One replica's overflow is a step that both leave out; what does not fit is said."""
    with two_replicas.scope():
        model = make_model(run_eagerly=False, jit_compile=False, **scaled(2.0**8))
        model.build()
    compute = gradients.compute

    def overflown(model, batch, random):
        result = compute(model, batch, random)
        second = tf.distribute.get_replica_context().replica_id_in_sync_group == 1
        factor = tf.where(second, np.inf, 1.0)
        return result._replace(main=[x * tf.cast(factor, x.dtype) for x in result.main])

    data = tf.data.Dataset.from_tensor_slices(IMAGES[:16]).batch(16)
    before = [v.numpy() for v in model.main_variables]
    with monkeypatch.context() as patch:
        patch.setattr(gradients, "compute", overflown)
        model.fit(data, verbose=0)
    for variable, value in zip(model.main_variables, before, strict=True):
        np.testing.assert_array_equal(variable, value)
    assert (model.optimizer.iterations.numpy(), model.optimizer.dynamic_scale.numpy()) == (0, 128)
    keras.config.set_dtype_policy("float32")
    with two_replicas.scope():
        model = make_model(run_eagerly=False, jit_compile=False)
        with pytest.raises(ValueError, match="clipnorm on 2 replicas"):
            model.compile(optimizer=SGD(clipnorm=1.0))
    with pytest.raises(ValueError, match="17 images in batches of 16 make one of 1"):
        model.fit(IMAGES[:17], batch_size=16, verbose=0)
    with pytest.raises(ValueError, match="the same number of images"):
        model.fit(tf.data.Dataset.from_tensor_slices(IMAGES[:19]).batch(16), verbose=0)
    distributed = two_replicas.experimental_distribute_dataset(
        tf.data.Dataset.from_tensor_slices(OF_BYTES).batch(16)
    )
    with pytest.raises(ValueError, match=r"expected \[-1, 1\]"):
        model.fit(distributed, verbose=0)
