"""A probe whose labels are free: which transformation an image went through."""

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace

import numpy as np

from dim_tf.evaluation import perturbations
from dim_tf.evaluation.array_storage import ArrayStorage
from dim_tf.evaluation.evaluation_data import EvaluationSplit
from dim_tf.evaluation.label_free import pretext_probe
from dim_tf.evaluation.measure import MetricInfo, Result, mean_accuracy
from dim_tf.evaluation.measure_spec import Encode, MeasureSpec
from dim_tf.evaluation.representation import Representation

MAX_IMAGES = 500  # of each split, each of which is encoded eight times
TASKS: tuple[Callable[[np.ndarray], np.ndarray], ...] = (
    perturbations.rotations,
    perturbations.quadrants,
)


@dataclass(frozen=True)
class PretextProbe:
    """Logistic regression on frozen features, whose classes are transformations of the images.

    Four rotations by right angles, and the four quadrants; an image's value is the fraction of its
    eight transformations that are recognised. Of the measures without labels, this one orders
    representations most as probes with labels do: docs/LABEL_FREE.md.

    Attributes:
        representation: of the images.
        encode: images -> their representation, by the same encoder.
    """

    representation: Representation
    encode: Encode

    @property
    def metrics(self) -> dict[str, MetricInfo]:
        return {"pretext_probe": MetricInfo("fraction", "higher", "pretext probe (no labels)")}

    @property
    def protocol(self) -> dict[str, str]:
        data = self.representation.data
        train, test = (min(MAX_IMAGES, len(split)) for split in (data.train, data.test))
        return {
            "pretext_probe": (
                "logistic regression (C = 3) on the frozen features of transformed images: which "
                "of the rotations by right angles, and which quadrant; mean of both tasks; trained "
                f"on {train:,} training images, measured on {test:,} test images"
            )
        }

    def run(self) -> Iterator[Result]:
        data = self.representation.data
        train, counts = _transformed(data.train, data.storage)
        test, _ = _transformed(data.test, data.storage)
        encoded = self.encode(replace(data, train=train, test=test))
        for endpoint in encoded.train:
            splits = [
                _by_task(features[endpoint], counts) for features in (encoded.train, encoded.test)
            ]
            correct = np.mean([pretext_probe(*task) for task in zip(*splits, strict=True)], axis=0)
            yield Result("pretext_probe", endpoint, *mean_accuracy([correct]))


SPEC = MeasureSpec(lambda context: PretextProbe(context.representation, context.encode))


def _transformed(split: EvaluationSplit, storage: ArrayStorage) -> tuple[EvaluationSplit, list]:
    """Images of all tasks, one transformation after the other, and the transformations of each."""
    count = min(MAX_IMAGES, len(split))
    # From the whole split: the first images of a folder may all be alike.
    indices = np.linspace(0, len(split) - 1, count).astype(np.int64)
    images = np.ascontiguousarray(split.images[indices])
    by_task = [task(images) for task in TASKS]
    counts = [len(transformed) for transformed in by_task]
    all_images = storage.new((sum(counts) * count, *images.shape[1:]), images.dtype)
    for transformed in by_task:
        for one in transformed:
            all_images.append(np.ascontiguousarray(one))
    labels = np.concatenate([split.labels[indices]] * sum(counts))
    return EvaluationSplit(all_images.finish(), labels), counts


def _by_task(features: np.ndarray, counts: list) -> list[np.ndarray]:
    """Features [T, N, F] of each task."""
    by_transformation = features.reshape(sum(counts), -1, features.shape[1])
    return np.split(by_transformation, np.cumsum(counts)[:-1])
