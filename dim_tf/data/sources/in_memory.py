"""Reads images into memory once, unless they cannot fit."""

import math

import numpy as np
import tensorflow as tf

from dim_tf.data.splits import Split
from dim_tf.system.errors import InputError
from dim_tf.system.memory import of_the_machine

_BATCH = 1024


def collect(examples: tf.data.Dataset, count: int) -> Split:
    """Reads all images, and their labels if they have any, from a `tf.data.Dataset`.

    Args:
        examples: Examples (image,) or (image, label); images uint8 [H, W, C], with known shape.
        count: Number of examples.

    Raises:
        InputError: They do not fit into the machine's memory, or there are fewer or more.
    """
    spec = examples.element_spec[0]
    needed = count * math.prod(spec.shape)
    memory = of_the_machine()
    if memory is not None and needed > memory:
        raise InputError(
            f"{count} images of {spec.shape[0]}x{spec.shape[1]} pixels take {needed / 2**30:.1f} "
            f"GiB; this machine has {memory / 2**30:.1f} GiB of memory; give a smaller --image_size"
        )
    # Filled batch by batch, because joining the batches at the end would take twice the memory.
    images = np.empty((count, *spec.shape), np.uint8)
    labels = []
    start = 0
    for pixels, *targets in examples.batch(_BATCH).as_numpy_iterator():
        if start + len(pixels) > count:
            raise InputError(f"more than the {count} images that the data set's files promise")
        images[start : start + len(pixels)] = pixels
        labels += targets
        start += len(pixels)
    if start < count:
        raise InputError(f"{start} images, and not the {count} that the data set's files promise")
    return Split(images, np.concatenate(labels).astype(np.int64) if labels else None)
