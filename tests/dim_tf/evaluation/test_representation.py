"""The features of an encoder."""

import numpy as np
import pytest
from sample_representations import random_splits, small_encoder

from dim_tf.evaluation import representation
from dim_tf.evaluation.evaluation_data import EvaluationData


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_the_encoder(channels):
    """Over several batches, with batch norm's moving statistics."""
    data = EvaluationData.from_splits(random_splits())
    encoder = small_encoder(0, channels)
    measured = representation.from_encoder(encoder, data)
    images = data.train.images.astype(np.float32) / 255 * 2 - 1
    expected = encoder(np.repeat(images, channels, -1), training=False)
    assert list(measured.train) == ["conv", "fc", "global"]
    for endpoint, features in measured.train.items():
        flat = expected[endpoint].numpy().reshape(300, -1)
        np.testing.assert_allclose(features, flat, atol=1e-5)
    assert measured.test["conv"].shape == (30, 4 * 4 * 4)
