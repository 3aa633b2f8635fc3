"""A probe whose labels are free: the right angle by which an image was rotated."""

from collections.abc import Iterator
from dataclasses import dataclass, replace

import numpy as np

from dim_tf.evaluation import perturbations
from dim_tf.evaluation.array_storage import ArrayStorage
from dim_tf.evaluation.evaluation_data import EvaluationSplit
from dim_tf.evaluation.label_free import PRETEXT_C, pretext_probe
from dim_tf.evaluation.measure import MetricInfo, Result, accuracy
from dim_tf.evaluation.measure_spec import Encode, MeasureSpec
from dim_tf.evaluation.representation import Representation

# As many as the reliability in docs/LABEL_FREE.md was measured with; each is encoded four times.
TRAIN_IMAGES, TEST_IMAGES = 300, 250


@dataclass(frozen=True)
class RotationProbe:
    """Logistic regression on frozen features of rotated images; the classes are the rotations.

    Among the measures without labels, this one orders representations most like probes with labels
    do (docs/LABEL_FREE.md). The value of an image is the fraction of its rotations that are
    recognised. In images that have no upright orientation, such as aerial ones, no encoder can
    recognise rotations.

    Attributes:
        representation: The representation of the images.
        encode: images -> their representation, by the same encoder.
    """

    representation: Representation
    encode: Encode

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        # It does not rank runs: only the verdict uses it, and says how reliable it is.
        return {"rotation_probe": MetricInfo("fraction", None, "rotation probe (no labels)")}

    @property
    def protocol(self) -> dict[str, str]:
        data = self.representation.data
        train, test = min(TRAIN_IMAGES, len(data.train)), min(TEST_IMAGES, len(data.test))
        angles = "0, 90, 180 or 270" if data.image_shape[0] == data.image_shape[1] else "0 or 180"
        return {
            "rotation_probe": (
                f"logistic regression (C = {PRETEXT_C:g}) of the rotation, {angles} degrees, on "
                f"the frozen features of rotated images: {train:,} training images to train it, "
                f"{test:,} test images to measure it; needs no labels"
            )
        }

    def run(self) -> Iterator[Result]:
        data = self.representation.data
        train = _rotated(data.train, TRAIN_IMAGES, data.storage)
        test = _rotated(data.test, TEST_IMAGES, data.storage)
        turns = len(test) // min(TEST_IMAGES, len(data.test))
        groups = None if test.groups is None else test.groups[: len(test) // turns]
        encoded = self.encode(replace(data, train=train, test=test))
        for endpoint in encoded.train:
            features = (encoded.train[endpoint], encoded.test[endpoint])
            correct = pretext_probe(*(x.reshape(turns, -1, x.shape[1]) for x in features))
            yield accuracy("rotation_probe", endpoint, [correct], groups)


SPEC = MeasureSpec(lambda context: RotationProbe(context.representation, context.encode))


def _rotated(split: EvaluationSplit, limit: int, storage: ArrayStorage) -> EvaluationSplit:
    """The rotated images of the whole split: all images of one rotation, then those of the next."""
    count = min(limit, len(split))
    # Not the first ones, which may all be alike in a folder.
    indices = np.linspace(0, len(split) - 1, count).astype(np.int64)
    rotations = perturbations.rotations(np.ascontiguousarray(split.images[indices]))
    images = storage.new((len(rotations) * count, *rotations.shape[2:]), rotations.dtype)
    for rotation in rotations:
        images.append(rotation)
    labels = np.concatenate([split.labels[indices]] * len(rotations))
    groups = None if split.groups is None else np.tile(split.groups[indices], len(rotations))
    return EvaluationSplit(images.finish(), labels, groups)
