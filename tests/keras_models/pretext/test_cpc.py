import keras
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.pretext.cpc import CPC

IMAGES = np.random.default_rng(0).uniform(-1, 1, (3, 16, 12, 1)).astype(np.float32)


def cpc(ahead=2, enlarged=1.0):
    """A model with the same weights every time; enlarged weights spread the scores."""
    keras.utils.set_random_seed(1)
    model = CPC(small.crops_encoder((16, 12, 1)), units=6, ahead=ahead)
    model.compile(1e-2)
    model.build()
    model.set_weights([w * enlarged for w in model.get_weights()])
    return model


@pytest.mark.parametrize("row", [0, 1, 2])
def test_context_of_a_row_sees_the_rows_down_to_it(row):
    """Crops of 8 pixels, 4 apart: row i of them ends at pixel 4·i + 8."""
    model = cpc()
    images = tf.constant(IMAGES)
    with tf.GradientTape() as tape:
        tape.watch(images)
        features = model.encoder(images, training=True)["global"]
        context = tf.reduce_sum(model.contexts(features)[:, row] ** 2)
    slopes = np.abs(tape.gradient(context, images)).max(axis=(0, 2, 3))  # of each pixel row
    assert (slopes[: 4 * row + 8] > 0).all()
    assert (slopes[4 * row + 8 :] == 0).all()


def test_context_depends_on_nothing_below():
    """By changed features: no statistic of a batch carries what is below upwards either."""
    model = cpc()
    features = model.encoder(IMAGES, training=True)["global"].numpy()
    before = model.contexts(tf.constant(features)).numpy()
    features[:, 2] += 1
    after = model.contexts(tf.constant(features)).numpy()
    np.testing.assert_array_equal(after[:, :2], before[:, :2])
    assert (np.abs(after[:, 2] - before[:, 2]).max(-1) > 0).all()
    assert not any("norm" in v.path for v in model.encoder.variables)


def test_each_crop_predicts_those_below_it_in_its_column():
    model = cpc(enlarged=4.0)
    features = model.encoder(IMAGES, training=True)["global"].numpy()  # [3, 3, 2, D]
    contexts = model.contexts(tf.constant(features)).numpy()
    losses = []
    for k, prediction in enumerate(model.predictions, 1):
        crops = [(n, i, j) for n in range(3) for i in range(3 - k) for j in range(2)]
        z = np.stack([features[n, i + k, j] for n, i, j in crops])
        predicted = np.stack([prediction(contexts[n : n + 1, i, j])[0] for n, i, j in crops])
        scores = predicted @ z.T
        losses.append(np.mean(np.log(np.exp(scores).sum(1)) - np.diag(scores)))
    assert len(losses) == 2
    loss = cpc(enlarged=4.0).train_step(IMAGES)["loss"]
    np.testing.assert_allclose(loss, np.mean(losses), rtol=1e-3)


def test_no_more_rows_ahead_than_there_are():
    assert len(cpc(ahead=5).predictions) == 2


def test_at_least_one_row_ahead():
    with pytest.raises(ValueError, match="ahead=0 rows"):
        cpc(ahead=0)


def test_an_encoder_without_a_feature_for_each_crop_is_refused():
    with pytest.raises(ValueError, match="take --encoder=crops32x32"):
        small.build(CPC)


def test_the_recurrent_cell_is_the_equations():
    """Cho et al. 2014, eq. 5 to 8: the reset gate acts on the state before its product."""
    rng = np.random.default_rng(0)
    cell = cpc().down
    x, h = rng.normal(size=(2, 4, 6))
    kernel, recurrent, bias = (np.float64(w) for w in cell.get_weights())
    (kz, kr, kh), (rz, rr, rh), (bz, br, bh) = (
        np.split(w, 3, axis=-1) for w in (kernel, recurrent, bias)
    )
    z = 1 / (1 + np.exp(-(x @ kz + h @ rz + bz)))
    r = 1 / (1 + np.exp(-(x @ kr + h @ rr + br)))
    new = np.tanh(x @ kh + (r * h) @ rh + bh)
    state, _ = cell(tf.constant(x, tf.float32), tf.constant(h, tf.float32))
    np.testing.assert_allclose(state, z * h + (1 - z) * new, rtol=1e-5, atol=1e-6)


def test_the_recurrent_cell_is_initialised_by_its_fan_in():
    kernel, recurrent, bias = cpc().down.get_weights()
    for weights in (kernel, recurrent, bias):
        assert 0.9 * 12**-0.5 < np.abs(weights).max() < 12**-0.5
        assert len(np.unique(weights)) == weights.size
    assert not np.array_equal(kernel, recurrent)
