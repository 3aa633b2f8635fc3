"""The mutual information gap of representations whose gap is known."""

import numpy as np
import pytest
from sample_representations import evaluation_data, measured, representation

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures.mig import MutualInformationGap, information_gaps
from dim_tf.evaluation.representation import Representation
from dim_tf.system.errors import RunError


def gap(quality, **kwargs):
    return measured(quality, MutualInformationGap, **kwargs)["mig"].value


def test_attributes_in_a_number_each_twice_and_not_at_all():
    """One-hot attributes inform of each other, so that the best gap of four is not quite 1."""
    ideal = gap("ideal", multi_label=True)
    assert 0.7 < ideal < 0.95
    assert gap("duplicated", multi_label=True) == pytest.approx(0, abs=1e-9)
    assert gap("constant", multi_label=True) == 0
    assert gap("random", multi_label=True) < 0.1


def test_a_class_is_one_factor():
    """A number that is the class has the gap 1; of one-hot numbers none is better than another."""
    data = evaluation_data()
    features = {"global": np.float32(data.test.labels)[:, None] * [1, 0]}
    measure = MutualInformationGap(Representation(features, features, data))
    assert next(iter(measure.run())).value == pytest.approx(1)
    assert "(the class)" in measure.protocol["mig"]
    assert gap("duplicated") == pytest.approx(0, abs=1e-9)


def test_independent_factors_and_a_mixture_of_them():
    """z1 = a, z2 = a + 2b: of a, z1 knows H(a) and z2 too; of b only z2 knows."""
    a, b = (x.ravel() for x in np.meshgrid([0, 1], [0, 1]))
    factors = np.stack([a, b], 1).repeat(10, 0)
    separate = factors.astype(np.float32)
    assert information_gaps(separate, factors, 20) == [pytest.approx(1), pytest.approx(1)]
    mixed = np.stack([factors[:, 0], factors[:, 0] + 2 * factors[:, 1]], 1).astype(np.float32)
    assert information_gaps(mixed, factors, 20) == [pytest.approx(0, abs=1e-9), pytest.approx(1)]


def test_against_a_plain_double_sum():
    rng = np.random.default_rng(0)
    features = rng.normal(size=(60, 3)).astype(np.float32)
    factor = (features[:, 0] + rng.normal(size=60) > 0).astype(np.int64)

    def information(values):
        edges = np.linspace(values.min(), values.max(), 6)[1:-1]
        code = np.digitize(values, edges)
        total = 0.0
        for i in range(5):
            for v in range(2):
                p = np.mean((code == i) & (factor == v))
                if p:
                    total += p * np.log(p / np.mean(code == i) / np.mean(factor == v))
        return total

    of_numbers = sorted(information(column) for column in features.T.astype(np.float64))
    p = np.mean(factor)
    entropy = -p * np.log(p) - (1 - p) * np.log(1 - p)
    (result,) = information_gaps(features, factor[:, None], 5)
    assert result == pytest.approx((of_numbers[-1] - of_numbers[-2]) / entropy)


def test_factors_with_one_value_are_left_out():
    data = evaluation_data(multi_label=True)
    labels = data.test.labels.copy()
    labels[:, 2] = 1
    split = EvaluationSplit(data.test.images, labels)
    changed = EvaluationData(data.train, split, data.label_names, "synthetic")
    features = {"global": data.test.labels.astype(np.float32)}
    assert information_gaps(features["global"], labels, 20)[2] is None
    value = next(iter(MutualInformationGap(Representation(features, features, changed)).run()))
    assert 0.5 < value.value < 1
    constant = EvaluationSplit(data.test.images, np.ones_like(labels))
    nothing = EvaluationData(data.train, constant, data.label_names, "synthetic")
    with pytest.raises(RunError, match="every factor has one value"):
        next(iter(MutualInformationGap(Representation(features, features, nothing)).run()))
    assert "4 attributes" in MutualInformationGap(representation("ideal", data)).protocol["mig"]
