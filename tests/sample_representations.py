"""Representations of known quality, for the tests of the measures."""

import numpy as np

from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.representation import Representation

CLASSES = 4


def splits(train=256, test=128, *, multi_label=False, labelled=True):
    rng = np.random.default_rng(0)

    def split(count):
        classes = rng.integers(0, CLASSES, count)
        labels = np.eye(CLASSES, dtype=np.int64)[classes] if multi_label else classes
        if not labelled:
            labels = np.zeros((count, 0), np.int64)
        return EvaluationSplit(rng.integers(0, 256, (count, 4, 4, 1), np.uint8), labels)

    return EvaluationData(split(train), split(test), tuple("abcd") if labelled else (), "sample")


def representation(kind, data):
    """Features that are the label ("ideal"), the label twice, constant, or random."""
    rng = np.random.default_rng(1)

    def features(split):
        one_hot = np.eye(CLASSES)[split.labels] if data.has_classes else split.labels
        values = {
            "ideal": one_hot,
            "duplicated": np.concatenate([one_hot, one_hot], axis=1),
            "constant": np.ones((len(split), 3)),
            "random": rng.normal(size=(len(split), 8)),
        }[kind]
        return {"global": values.astype(np.float32)}

    return Representation(features(data.train), features(data.test), data)


def measured(kind, make, **kwargs):
    """The results, by name, of the measure that `make` builds for a representation."""
    data = splits(**kwargs)
    return {r.metric: r for r in make(representation(kind, data)).run()}


class LazyImages:
    """Images that are read when they are indexed, like those of a folder."""

    def __init__(self, images):
        self._images = images
        self.shape = images.shape

    def __len__(self):
        return len(self._images)

    def __getitem__(self, indices):
        return self._images[indices]
