import harness
import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import terms
from keras_models.distribute.randomness import StepRandom
from keras_models.terms import Coordinates, RelativeCoordinates
from keras_models.terms.coordinates import CoordinatePredictor

RANDOM = StepRandom(seed=0, step=3)
ROWS, COLUMNS, CHANNELS, DIM = 3, 2, 4, 5
LOCATIONS = ROWS * COLUMNS
SHAPES = {"local": (None, ROWS, COLUMNS, CHANNELS), "global": (None, DIM)}
BOTH = pytest.mark.parametrize("term_type", [Coordinates, RelativeCoordinates])


def random_endpoints(n=6):
    return {
        "local": tf.random.stateless_normal([n, ROWS, COLUMNS, CHANNELS], [0, 0]),
        "global": tf.random.stateless_normal([n, DIM], [1, 0]),
    }


def make_term(term_type, hidden_units=(7, 6), **arguments):
    term = term_type(hidden_units, **arguments)
    term.build(SHAPES)
    return term


def call(term, local_features, global_features, random=RANDOM):
    out = term({"global": global_features}, {"local": local_features}, random=random)
    return {"loss": out.encoder_loss, **out.metrics}


# The loss and its gradients, location by location in NumPy.


def log_softmax(logits):
    return logits - logits.max() - np.log(np.exp(logits - logits.max()).sum())


def golden(term_type, weights, local_features, global_features):
    """Loss and accuracy in float64, by loops; partners are those drawn for the step."""
    partner = RANDOM.choice("relative coordinates", LOCATIONS, LOCATIONS).numpy()
    relative = term_type is RelativeCoordinates
    row_classes = 2 * ROWS - 1 if relative else ROWS
    losses, rights = [], []
    for local_map, y in zip(local_features, global_features, strict=True):
        for row in range(ROWS):
            for column in range(COLUMNS):
                x, labels = [local_map[row, column]], (row, column)
                if relative:
                    partner_row, partner_column = divmod(partner[row * COLUMNS + column], COLUMNS)
                    x.append(local_map[partner_row, partner_column])
                    labels = (partner_row - row + ROWS - 1, partner_column - column + COLUMNS - 1)
                h = np.concatenate([*x, y])
                for i in range(0, len(weights) - 2, 2):
                    h = np.maximum(h @ weights[i] + weights[i + 1], 0)
                logits = np.split(h @ weights[-2] + weights[-1], [row_classes])
                losses.append(
                    -sum(log_softmax(x)[label] for x, label in zip(logits, labels, strict=True))
                )
                rights.append(all(np.argmax(x) == k for x, k in zip(logits, labels, strict=True)))
    return np.mean(losses), np.mean(rights)


@BOTH
def test_golden_loss_gradients_and_accuracy(term_type):
    term = harness.with_random_weights(make_term(term_type))
    endpoints = random_endpoints()
    sources = [*endpoints.values(), *(v.value for v in term.trainable_variables)]
    arrays = [x.numpy().astype(np.float64) for x in sources]
    with tf.GradientTape() as tape:
        tape.watch(sources)
        out = term(endpoints, endpoints, random=RANDOM)
    gradients = tape.gradient(out.encoder_loss, sources)

    loss, accuracy = golden(term_type, arrays[2:], *arrays[:2])
    np.testing.assert_allclose(out.encoder_loss, loss, rtol=1e-5)
    np.testing.assert_allclose(out.metrics[f"{term.name}_loss"], loss, rtol=1e-5)
    np.testing.assert_allclose(out.metrics[f"{term.name}_accuracy"], accuracy, rtol=1e-6)
    assert out.adversary_loss is None
    assert term.adversary_variables == []

    rng = np.random.default_rng(0)
    for array, gradient in zip(arrays, gradients, strict=True):
        assert np.abs(gradient).max() > 0
        direction = rng.normal(size=array.shape)
        values = []
        for step in (1e-5, -2e-5):
            array += step * direction
            values.append(golden(term_type, arrays[2:], *arrays[:2])[0])
        array += 1e-5 * direction
        slope = (values[0] - values[1]) / 2e-5
        np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=1e-3, atol=1e-5)


@BOTH
def test_chance_level_without_weights(term_type):
    term = make_term(term_type)
    term.set_weights([np.zeros_like(w) for w in term.get_weights()])
    classes = (3, 2) if term_type is Coordinates else (5, 3)
    out = call(term, *random_endpoints().values())
    np.testing.assert_allclose(out["loss"], np.log(classes).sum(), rtol=1e-6)


def test_accuracy_needs_row_and_column():
    term = make_term(Coordinates, hidden_units=())
    kernel, bias = term.get_weights()
    bias[:] = [0, 9, 0, 9, 0]  # row 1, column 0, wherever it stands
    term.set_weights([np.zeros_like(kernel), bias])
    out = call(term, *random_endpoints().values())
    np.testing.assert_allclose(out["coordinates_accuracy"], 1 / 6, rtol=1e-6)


# What can be learned.


def trained(term_type, local_map, steps):
    """Mean loss and accuracy over later steps of a term trained on one local map [M, M', C]."""
    rows, columns, channels = local_map.shape
    keras.utils.set_random_seed(0)
    term = term_type(hidden_units=(64,))
    shapes = {"local": (None, rows, columns, channels), "global": (None, DIM)}
    term.build(shapes)
    local_features = tf.repeat(tf.constant(local_map, tf.float32)[tf.newaxis], 4, axis=0)
    global_features = tf.random.stateless_normal([4, DIM], [1, 0])
    optimizer = keras.optimizers.Adam(0.02)
    optimizer.build(term.trainable_variables)

    @tf.function
    def run(step, training):
        with tf.GradientTape() as tape:
            out = call(term, local_features, global_features, StepRandom(0, step))
        if training:
            gradients = tape.gradient(out["loss"], term.trainable_variables)
            optimizer.apply(gradients, term.trainable_variables)
        return out["loss"], out[f"{term.name}_accuracy"]

    for step in range(steps):
        run(tf.constant(step), training=True)
    return np.mean([run(tf.constant(1000 + i), training=False) for i in range(20)], axis=0)


@pytest.mark.parametrize(("term_type", "steps"), [(Coordinates, 50), (RelativeCoordinates, 200)])
def test_ideal_features_are_learned(term_type, steps):
    """Local features that say where they stand."""
    loss, accuracy = trained(term_type, np.eye(12).reshape(4, 3, 12), steps)
    assert accuracy == 1
    assert loss < 0.1


def test_constant_features_stay_at_chance():
    loss, accuracy = trained(Coordinates, np.ones((4, 3, 12)), 50)
    np.testing.assert_allclose(loss, np.log(12), atol=0.02)
    np.testing.assert_allclose(accuracy, 1 / 12, rtol=1e-5)


def test_constant_features_stay_at_chance_of_offsets():
    """At best the entropy of an offset, small ones being more frequent, is reached."""
    loss, accuracy = trained(RelativeCoordinates, np.ones((4, 3, 12)), 100)
    entropy = 0
    for size in (4, 3):
        offsets = np.arange(size) - np.arange(size)[:, np.newaxis]
        shares = np.unique(offsets, return_counts=True)[1] / size**2
        entropy -= np.sum(shares * np.log(shares))
    assert entropy - 0.1 < loss < entropy + 0.2
    assert accuracy < 0.2  # both offsets 0: 1 of 12


# Where the features come from.


@BOTH
def test_each_feature_from_its_own_view(term_type):
    term = make_term(term_type)
    local, other = random_endpoints(), {k: x + 1 for k, x in random_endpoints().items()}
    loss = term(other, local, random=RANDOM).encoder_loss
    np.testing.assert_array_equal(loss, call(term, local["local"], other["global"])["loss"])


@BOTH
def test_of_several_globals_the_mean_is_taken(term_type):
    term, local_map = make_term(term_type), random_endpoints()["local"]
    several = tf.random.stateless_normal([6, 2, 2, DIM], [2, 0])
    mean = tf.reduce_mean(several, axis=(1, 2))
    harness.assert_close(call(term, local_map, several), call(term, local_map, mean), rtol=1e-6)


def test_partners_are_those_of_the_step():
    term, endpoints = make_term(RelativeCoordinates), list(random_endpoints().values())
    losses = [call(term, *endpoints, StepRandom(*key))["loss"] for key in [(0, 3), (0, 4), (1, 3)]]
    np.testing.assert_array_equal(losses[0], call(term, *endpoints)["loss"])
    assert len({float(x) for x in losses}) == 3


@BOTH
@pytest.mark.parametrize("scale", [1e4, -1e4])
def test_huge_features_give_finite_losses_and_gradients(term_type, scale):
    term = harness.with_random_weights(make_term(term_type))
    features = [scale * x for x in random_endpoints().values()]
    with tf.GradientTape() as tape:
        tape.watch(features)
        loss = call(term, *features)["loss"]
    for x in (loss, *tape.gradient(loss, [*features, *term.trainable_variables])):
        assert np.isfinite(x).all()


# As a layer.


@BOTH
def test_passes_the_harness(term_type):
    harness.check(
        lambda: make_term(term_type, weight=0.3), call, *random_endpoints().values(), bfloat16=0.1
    )


@BOTH
def test_two_replicas_equal_one_device(term_type, two_replicas):
    with two_replicas.scope():
        term = make_term(term_type)
    endpoints = random_endpoints()
    expected = call(term, *endpoints.values())
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: {
            name: tf.split(x, 2)[context.replica_id_in_sync_group] for name, x in endpoints.items()
        }
    )

    @tf.function
    def on_replicas(x):
        out = two_replicas.run(lambda x: call(term, x["local"], x["global"]), [x])
        return {k: two_replicas.experimental_local_results(v) for k, v in out.items()}

    for name, values in on_replicas(halves).items():
        np.testing.assert_allclose(np.mean(values), expected[name], rtol=1e-5, err_msg=name)


@pytest.mark.parametrize(
    ("term_type", "name", "classes", "inputs"),
    [
        (Coordinates, "coordinates", (3, 2), CHANNELS + DIM),
        (RelativeCoordinates, "relative_coordinates", (5, 3), 2 * CHANNELS + DIM),
    ],
)
def test_defaults(term_type, name, classes, inputs):
    term = getattr(terms, term_type.__name__)()
    term.build(SHAPES)
    assert (term.name, term.weight, term.hidden_units) == (name, 1.0, (512, 512))
    assert (term.predictor.rows, term.predictor.columns) == classes
    kernels = [v.shape for v in term.trainable_variables if v.name == "kernel"]
    assert kernels == [(inputs, 512), (512, 512), (512, sum(classes))]
    assert set(call(term, *random_endpoints().values())) == {
        "loss",
        f"{name}_loss",
        f"{name}_accuracy",
    }


def test_the_predictor_alone():
    def make():
        predictor = CoordinatePredictor(4, 3, hidden_units=(6,), name="predictor")
        predictor.build((None, 5))
        return predictor

    features = random_endpoints()["global"]
    rows, columns = make()(features)
    assert (rows.shape, columns.shape) == ((6, 4), (6, 3))
    harness.check(make, lambda predictor, x: predictor(x), features)
