"""The contractive autoencoder: its estimate against the full Jacobian."""

import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.objective_model import Batch

N, D = 4, small.LATENT
BATCH = Batch(small.BATCH.images[:N])


def jacobian(model, training):
    """∂(standardised codes)/∂(images), float64 [N, D, N, pixels]."""
    with tf.GradientTape(persistent=True, watch_accessed_variables=False) as tape:
        tape.watch(BATCH.images)
        codes = model.encoder(BATCH.images, training=training)["global"]
        standardised = model.standardise(codes, training=training)
    result = tape.jacobian(standardised, BATCH.images, experimental_use_pfor=False)
    return np.float64(result).reshape(N, D, N, -1)


@pytest.fixture(scope="module")
def model():
    return small.build(lambda encoder: small.contractive_autoencoder(encoder, 0.3, 2))


@pytest.mark.parametrize("training", [True, False])
def test_the_penalty_is_that_of_the_projections_of_the_full_jacobian(model, training):
    """Σ_m ‖Σ_n v_nᵀ J_nm‖² / N, averaged over the projections; inference has no cross terms."""
    full = jacobian(model, training)
    between = full[~np.eye(N, dtype=bool)[:, None].repeat(D, 1)]
    assert np.any(between) == training
    random = StepRandom(0, 5)
    signs = np.where(random.uniform("projections", N, (2, D)).numpy() < 0.5, -1.0, 1.0)
    projected = np.einsum("nkd,ndmp->kmp", signs, full)
    expected = np.sum(projected**2) / (2 * N)
    losses = model.objective(BATCH, random, training)
    np.testing.assert_allclose(losses.metrics["jacobian_squared_norm"], expected, rtol=1e-3)
    total = losses.metrics["squared_error"] + 0.3 * losses.metrics["jacobian_squared_norm"]
    np.testing.assert_allclose(losses.loss, total, rtol=1e-6)


def test_the_estimate_is_unbiased(model):
    """Over all 2^(N·D) signs the mean is ‖J‖²_F: those of J Jᵀ off the diagonal cancel."""
    full = jacobian(model, True).reshape(N * D, -1)
    gram = full @ full.T
    rng = np.random.default_rng(0)
    signs = np.where(rng.random((20000, N * D)) < 0.5, -1.0, 1.0)
    estimates = np.einsum("ki,ij,kj->k", signs, gram, signs)
    frobenius = np.sum(full**2)
    error = np.std(estimates) / np.sqrt(len(estimates))
    assert abs(np.mean(estimates) - frobenius) < 4 * error < 0.1 * frobenius
    # And those of the model, with its own signs:
    losses = [
        float(model.objective(BATCH, StepRandom(1, step)).metrics["jacobian_squared_norm"])
        for step in range(30)
    ]
    spread = np.std(estimates / N) / np.sqrt(2 * len(losses))
    assert abs(np.mean(losses) - frobenius / N) < 4 * spread


def test_the_gradient_of_the_penalty_by_differences(model):
    """The encoder's last kernel: second derivatives pass through batch norm and the tape."""
    kernel = model.encoder.trainable_variables[-2]
    random = StepRandom(0, 7)

    def penalty():
        return model.objective(BATCH, random).metrics["jacobian_squared_norm"]

    with tf.GradientTape() as tape:
        value = penalty()
    gradient = tape.gradient(value, kernel.value).numpy()
    direction = np.random.default_rng(0).normal(size=gradient.shape).astype(np.float32)
    step, before = 3e-3, kernel.numpy()
    values = []
    for sign in (1, -1):
        kernel.assign(before + sign * step * direction)
        values.append(float(penalty()))
    kernel.assign(before)
    slope = (values[0] - values[1]) / (2 * step)
    np.testing.assert_allclose(np.sum(gradient * direction), slope, rtol=0.02)


def test_the_encoder_learns_from_the_squared_error(model):
    small.check_learns_from(model, "squared_error", batch=BATCH, step=7)


def test_the_scale_of_the_feature_does_not_count(model):
    """The decoder would undo it, so that shrinking must not pay."""
    random = StepRandom(0, 7)
    before = model.objective(BATCH, random).metrics["jacobian_squared_norm"]
    last = model.encoder.trainable_variables[-2:]
    values = [v.numpy() for v in last]
    for variable, value in zip(last, values, strict=True):
        variable.assign(0.5 * value)
    shrunk = model.objective(BATCH, random).metrics["jacobian_squared_norm"]
    for variable, value in zip(last, values, strict=True):
        variable.assign(value)
    np.testing.assert_allclose(shrunk, before, rtol=0.02)


def test_wrong_arguments_are_refused():
    with pytest.raises(ValueError, match=r"penalty=-1\.0, projections=2"):
        small.build(lambda encoder: small.contractive_autoencoder(encoder, -1.0))
    with pytest.raises(ValueError, match="projections=0"):
        small.build(lambda encoder: small.contractive_autoencoder(encoder, 1.0, 0))
