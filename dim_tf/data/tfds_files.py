"""Reads data sets of TensorFlow Datasets, with an error that says how to get a missing one."""

import numpy as np
import tensorflow as tf

from dim_tf.data import Request, image_ops
from dim_tf.data.splits import Split
from dim_tf.errors import InputError


def prepare(name: str, request: Request, by_hand: str):
    """A TFDS builder whose files are in place.

    Args:
        name: of the TFDS data set.
        request: its `data_dir` is TFDS's folder; empty: TFDS's default.
        by_hand: what the error tells the user to do without a network.

    Raises:
        InputError: there is no such data set, or its files are missing and could not be
            downloaded.
    """
    import tensorflow_datasets as tfds

    try:
        builder = tfds.builder(name, data_dir=request.data_dir or None)
    except Exception as error:  # ValueError, AssertionError, ImportError: as the name is wrong
        reason = (" ".join(str(error).split()) or type(error).__name__)[:200]
        raise InputError(
            f"TensorFlow Datasets has no {name!r} ({reason}); its catalog tells the names"
        ) from error
    if builder.is_prepared():
        return builder
    where = builder.data_dir
    if not request.download:
        raise InputError(f"{name} is not in {where} and --nodownload was given. {by_hand}")
    try:
        builder.download_and_prepare()
    except Exception as error:  # TFDS passes on whatever its network and archive code raises
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"{name} is not in {where} and its download failed "
            f"({type(error).__name__}: {reason}). {by_hand}"
        ) from error
    return builder


def read(builder, split: str, image_size: int, labels) -> Split:
    """Reads a split into memory, in the order of its files.

    Args:
        builder: of `prepare`.
        split: its name.
        image_size: images are fitted to that many pixels a side.
        labels: a function from an example to its label tensor.
    """

    def parse(example):
        return image_ops.to_bytes(image_ops.fit(example["image"], image_size)), labels(example)

    examples = builder.as_dataset(split=split, shuffle_files=False)
    batches = examples.map(parse, num_parallel_calls=tf.data.AUTOTUNE).batch(1024)
    pixels, targets = zip(*batches.as_numpy_iterator(), strict=True)
    return Split(np.concatenate(pixels), np.concatenate(targets).astype(np.int64))
