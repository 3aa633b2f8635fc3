"""The metrics of an evaluation: means over its images of each batch's metrics."""

from collections.abc import Callable
from typing import Any

import tensorflow as tf

BATCH_SIZE = "images of the batch"  # key of a step's metrics: the number of its images


class BatchMeans:
    """Running means over batches, until they are reset."""

    def __init__(self):
        self.reset()

    def reset(self) -> None:
        """Forgets all batches."""
        self._sums: dict[str, Any] = {}
        self._images: Any = 0.0

    def update(self, metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
        """Adds a batch and returns the means.

        Args:
            metrics: Metrics of the batch, with its number of images as `BATCH_SIZE`.
        """
        images = metrics[BATCH_SIZE]
        self._images = self._images + images
        for name, value in metrics.items():
            if name != BATCH_SIZE:
                self._sums[name] = self._sums.get(name, 0.0) + value * images
        return {name: total / self._images for name, total in self._sums.items()}

    def averaged(self, function: Callable, steps: int) -> Callable:
        """A test function for Keras that returns the running means.

        Args:
            function: Iterator -> the metrics of the next batch.
            steps: Batches per call.
        """

        def test_function(iterator):
            means = {}
            several = isinstance(iterator, tf.data.Iterator | tf.distribute.DistributedIterator)
            for _ in range(steps if several else 1):
                try:
                    means = self.update(function(iterator))
                except (StopIteration, tf.errors.OutOfRangeError):
                    if not means:
                        raise
                    break
            return means

        return test_function
