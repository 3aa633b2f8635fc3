"""The features of an encoder."""

import numpy as np
import pytest
from sample_representations import random_splits, small_encoder

from dim_tf.evaluation import representation
from dim_tf.evaluation.array_storage import ArrayStorage
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.system.errors import RunError


@pytest.mark.parametrize("channels", [1, 3])
def test_features_are_those_of_the_encoder(channels):
    """Over several batches, with batch norm's moving statistics."""
    data = EvaluationData.from_splits(random_splits())
    encoder = small_encoder(0, channels)
    measured = representation.from_encoder(encoder, data)
    images = data.train.images.astype(np.float32) / 255 * 2 - 1
    expected = encoder(np.repeat(images, channels, -1), training=False)
    assert list(measured.train) == ["conv", "fc", "global", "local_pooled"]
    expected["local_pooled"] = np.mean(expected["local"], axis=(1, 2))
    for endpoint, features in measured.train.items():
        flat = np.reshape(expected[endpoint], (300, -1))
        np.testing.assert_allclose(features, flat, atol=1e-5)
    assert measured.test["conv"].shape == (30, 4 * 4 * 4)


def test_features_beyond_the_memory_are_the_same_in_files(tmp_path):
    """The largest endpoint is the first to go to a file."""
    encoder, splits = small_encoder(0), random_splits()
    in_memory = representation.from_encoder(encoder, EvaluationData.from_splits(splits))
    small = 4 * (300 + 30) * (8 + 5 + 4)  # bytes of fc, global and local_pooled
    storage = ArrayStorage(small, tmp_path)
    mapped = representation.from_encoder(
        encoder, EvaluationData.from_splits(splits, storage=storage)
    )
    assert list(mapped.train) == ["conv", "fc", "global", "local_pooled"]
    for mine, theirs in ((mapped.train, in_memory.train), (mapped.test, in_memory.test)):
        assert [name for name in mine if isinstance(mine[name], np.memmap)] == ["conv"]
        for name in theirs:
            np.testing.assert_array_equal(mine[name], theirs[name])


def test_large_images_are_encoded_in_small_batches(monkeypatch):
    data = EvaluationData.from_splits(random_splits(60))
    encoder = small_encoder(0)
    whole = representation.from_encoder(encoder, data)
    monkeypatch.setattr(representation, "BATCH_PIXELS", 7 * 8 * 8)
    sizes = []
    constant = representation.tf.constant

    def spy(images):
        sizes.append(len(images))
        return constant(images)

    monkeypatch.setattr(representation.tf, "constant", spy)
    in_batches = representation.from_encoder(encoder, data)
    assert sizes == [7] * 8 + [4] + [7] * 4 + [2]
    for name in whole.train:
        np.testing.assert_allclose(in_batches.train[name], whole.train[name], atol=1e-5)


def test_some_endpoints_are_taken_of_a_representation():
    data = EvaluationData.from_splits(random_splits(60))
    whole = representation.from_encoder(small_encoder(0), data, max_features=16)
    some = whole.only(["global", "conv", "pixels"])
    assert list(some.train) == list(some.test) == ["conv", "global"]
    assert some.train["conv"] is whole.train["conv"]
    assert some.pooling == {"conv": "4x4x4 pooled to 2x2x4"}
    assert whole.only(["fc"]).pooling == {}


def test_features_that_are_not_finite_are_an_error():
    data = EvaluationData.from_splits(random_splits())
    encoder = small_encoder(0, 3)
    encoder.variables[0].assign(np.nan * encoder.variables[0])
    with pytest.raises(RunError, match="endpoint conv has numbers that are not finite"):
        representation.from_encoder(encoder, data)
