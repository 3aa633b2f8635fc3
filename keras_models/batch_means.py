"""The metrics of an evaluation: the mean over its images of what each batch gives."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

IMAGES = "images of the batch"  # the entry of a step's metrics with their number


class BatchMeans:
    """Means that go on from batch to batch until they are reset."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Forgets all batches."""
        self._sums: dict[str, Any] = {}
        self._images: Any = 0.0

    def after(self, metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """The means after one more batch.

        Args:
            metrics: of that batch, with its number of images as `IMAGES`.
        """
        images = metrics[IMAGES]
        self._images = self._images + images
        for name, value in metrics.items():
            if name != IMAGES:
                self._sums[name] = self._sums.get(name, 0.0) + value * images
        return {name: total / self._images for name, total in self._sums.items()}

    def of(self, function: Callable, steps: int) -> Callable:
        """Keras' test function, giving the means after it.

        Args:
            function: iterator -> the metrics of the next batch.
            steps: how many batches one call takes.
        """

        def averaged(iterator):
            means = {}
            several = isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator)
            for _ in range(steps if several else 1):
                try:
                    means = self.after(function(iterator))
                except (StopIteration, tf.errors.OutOfRangeError):
                    if not means:
                        raise
                    break
            return means

        return averaged
