"""Linear probes on few labels: which images they see."""

import numpy as np
import pytest
from sample_representations import NUM_CLASSES, evaluation_data, representation

from dim_tf.evaluation.measures.few_labels import FewLabels, stratified_indices
from dim_tf.evaluation.measures.probes import Probe


def test_few_labels_are_drawn_class_by_class():
    labels = np.repeat([0, 1, 2], [100, 40, 3])
    indices = stratified_indices(labels, 10, seed=0)
    assert list(np.bincount(labels[indices])) == [10, 4, 1]
    assert len(set(indices)) == 15
    assert set(indices) != set(stratified_indices(labels, 10, seed=1))


def test_few_labels_see_only_those(monkeypatch):
    seen = []

    def predict(self, features, labels, test_features, seed):
        seen.append((features, labels))
        return np.zeros((len(test_features), NUM_CLASSES))

    monkeypatch.setattr(Probe, "predict", predict)
    r = representation("random", evaluation_data())
    list(FewLabels(r, epochs=1, seeds=1).run())
    for (features, labels), count in zip(seen, (4, 26), strict=True):
        assert len(features) == len(labels) == 256
        assert len(np.unique(features, axis=0)) == pytest.approx(count, abs=2)
