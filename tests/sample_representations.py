"""Representations of known quality, for the tests of the measures."""

import keras
import numpy as np

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.representation import Representation
from keras_models import encoders

NUM_CLASSES = 4


def evaluation_data(train=256, test=128, *, multi_label=False, labelled=True, size=4):
    """Random images of four classes, or with four attributes, or without labels."""
    rng = np.random.default_rng(0)

    def split(count):
        classes = rng.integers(0, NUM_CLASSES, count)
        labels = np.eye(NUM_CLASSES, dtype=np.int64)[classes] if multi_label else classes
        if not labelled:
            labels = np.zeros((count, 0), np.int64)
        return EvaluationSplit(rng.integers(0, 256, (count, size, size, 1), np.uint8), labels)

    return EvaluationData(split(train), split(test), tuple("abcd") if labelled else (), "synthetic")


def representation(quality, data):
    """Features that contain the label, contain it twice, are constant, or are noise."""
    rng = np.random.default_rng(1)

    def features(split):
        one_hot = np.eye(NUM_CLASSES)[split.labels] if data.has_classes else split.labels
        vectors = {
            "ideal": one_hot,
            "duplicated": np.concatenate([one_hot, one_hot], axis=1),
            "constant": np.ones((len(split), 3)),
            "random": rng.normal(size=(len(split), 8)),
        }[quality]
        return {"global": vectors.astype(np.float32)}

    return Representation(features(data.train), features(data.test), data)


def measured(quality, build, **kwargs):
    """The results of the measure that `build` makes of such a representation, by metric."""
    data = evaluation_data(**kwargs)
    return {r.metric: r for r in build(representation(quality, data)).run()}


class LazyImages:
    """Images that are read when they are indexed, like those of a folder."""

    def __init__(self, images):
        self._images = images
        self.shape = images.shape
        self.dtype = images.dtype

    def __len__(self):
        return len(self._images)

    def __getitem__(self, indices):
        return self._images[indices]


def random_splits(train=300, test=30):
    """A data set of random images of 8x8 pixels and three classes."""
    rng = np.random.default_rng(0)

    def split(count):
        return Split(rng.integers(0, 256, (count, 8, 8, 1), np.uint8), np.arange(count) % 3)

    return Splits("random", split(train), split(test), ("a", "b", "c"), "a note")


def small_encoder(seed, channels=1):
    """An encoder of images of 8x8 pixels, with the endpoints conv, fc and global."""
    keras.utils.set_random_seed(seed)
    encoder = encoders.ConvNet((8, 8, channels), ((4, 4, 2, 1),), (8,), 0, 5)
    encoder.build()
    return encoder
