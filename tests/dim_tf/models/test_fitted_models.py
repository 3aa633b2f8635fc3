"""What the models that are fitted without steps put into their encoders."""

import numpy as np
import pytest
from sklearn.neural_network import BernoulliRBM

from dim_tf.experiment import model_settings
from keras_models.classical import ica, pca

DIM = 5


def made_images():
    """float32 [300, 6, 6, 1] in [-1, 1], with neighbours that are alike."""
    noise = np.random.default_rng(0).uniform(-1, 1, (300, 7, 7, 1)) ** 3
    images = noise[:, 1:, 1:] + noise[:, :-1, 1:] + noise[:, 1:, :-1]
    return (images / 3).astype(np.float32)


IMAGES = made_images()
ROWS = IMAGES.reshape(len(IMAGES), -1)


def features(model, **settings):
    """The features of the images after a fit to them, float64 [N, D]."""
    settings = model_settings(model)(**settings)
    encoder = settings.make_encoder(IMAGES.shape[1:], DIM)
    encoder.build()
    settings.fit(encoder, IMAGES.copy(), 0)
    return encoder(IMAGES)["global"].numpy().astype(np.float64)


@pytest.mark.parametrize("whiten", [False, True])
def test_pca_has_the_largest_variances_or_variance_one(whiten):
    largest = np.linalg.eigvalsh(np.cov(ROWS.T))[::-1][:DIM]
    expected = np.eye(DIM) if whiten else np.diag(largest)
    scale = expected.max()
    result = features("pca", whiten=whiten)
    np.testing.assert_allclose(np.cov(result.T), expected, atol=1e-4 * scale)
    np.testing.assert_allclose(result.mean(0), 0, atol=1e-4)


def test_the_features_of_fastica_are_the_unmixed_white_images():
    result = features("fastica")
    np.testing.assert_allclose(np.cov(result.T), np.eye(DIM), atol=0.01)
    white = pca.fit(ROWS, DIM).whiten(ROWS)
    weights = ica.fastica(white).weights
    assert not np.allclose(weights, weights.T, atol=0.1)
    np.testing.assert_allclose(result, white @ weights.T, rtol=1e-3, atol=1e-4)


def test_the_features_of_infomax_are_the_unmixed_white_images():
    white = pca.fit(ROWS, DIM).whiten(ROWS)
    unmixing = ica.infomax(white)
    expected = white @ unmixing.weights.T + unmixing.bias
    np.testing.assert_allclose(features("infomax_ica"), expected, rtol=1e-3, atol=1e-4)


def test_the_features_of_the_rbm_are_those_of_scikit_learn():
    pixels = (ROWS + 1) / 2
    machine = BernoulliRBM(DIM, learning_rate=0.1, batch_size=10, n_iter=20, random_state=0)
    expected = machine.fit(pixels).transform(pixels)
    result = features("rbm", passes=20, rate=0.1, batch=10)
    np.testing.assert_allclose(result, expected, rtol=1e-4, atol=1e-5)


def test_the_features_of_sfa_are_uncorrelated_with_variance_one():
    result = features("sfa", components=4)
    np.testing.assert_allclose(result.mean(0), 0, atol=1e-3)
    np.testing.assert_allclose(np.cov(result.T, ddof=0), np.eye(DIM), atol=1e-3)
