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

    def predict(self, features, labels, test_features, indices):
        seen.extend(indices)
        return np.zeros((len(indices), len(test_features), NUM_CLASSES))

    monkeypatch.setattr(Probe, "predict", predict)
    r = representation("random", evaluation_data())
    list(FewLabels(r, epochs=1, seeds=2).run())
    assert [len(indices) for indices in seen] == [256] * 4  # as many steps as on all
    counts = [len(np.unique(indices)) for indices in seen]
    assert counts == pytest.approx([4, 4, 26, 26], abs=2)
    assert set(seen[2]) != set(seen[3])
