"""References: which there are, and what is measured of them."""

import numpy as np
import pytest
from sample_representations import random_splits, small_encoder

from dim_tf.evaluation import evaluate
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.references import DESCRIPTIONS, references
from dim_tf.experiment import Experiment


@pytest.fixture(scope="module")
def splits():
    return random_splits(60)


def test_references_have_a_description_and_its_order():
    encoder = small_encoder(0)
    assert list(references(100, encoder, encoder)) == list(DESCRIPTIONS)
    assert list(references(100, random_encoder=encoder)) == ["random_weights", "pixels"]
    assert list(references(100)) == ["pixels"]


def test_each_reference_is_the_representation_of_its_encoder(splits):
    data = EvaluationData.from_splits(splits)
    random_encoder, start_encoder = small_encoder(1), small_encoder(2)
    by_name = references(2**14, random_encoder, start_encoder)
    inputs = data.test.images.astype(np.float32) / 127.5 - 1
    for name, encoder in (("random_weights", random_encoder), ("start_weights", start_encoder)):
        expected = encoder(inputs, training=False)["global"]
        np.testing.assert_allclose(by_name[name](data).test["global"], expected, atol=1e-5)
    pixels = by_name["pixels"](data).test["pixels"]
    np.testing.assert_allclose(pixels, inputs.reshape(30, -1), atol=1e-5)


def test_all_are_pooled_to_as_many_features_as_the_encoder(splits):
    data = EvaluationData.from_splits(splits)
    for encode in references(16, small_encoder(0), small_encoder(1)).values():
        assert all(features.shape[1] <= 16 for features in encode(data).test.values())


def test_only_the_quick_measures_are_taken_of_references(splits):
    settings = Experiment.of(name="a", measures="knn,svm")
    by_name = references(settings.evaluation.max_features)
    content = evaluate.run_measures(by_name["pixels"], by_name, splits, settings).content
    assert "svm" in content
    assert set(content["references"]["pixels"]) == {"knn"}
