"""The training pipeline: a batch is a pure function of the global step.

So there is no iterator state to save, and a run resumes exactly from any step.
"""

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.crops import random_crops
from dim_tf.data.splits import Images, Split
from dim_tf.system.errors import InputError
from keras_models.distribute.randomness import derive_seed
from keras_models.objective_model import Batch
from keras_models.views import KINDS

PREFETCH_IMAGES = 1024  # read at a time from a source that is not in memory
CROP_FRACTION = 8  # a random crop moves by up to 1/8 of each side, padded by reflection


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """The number of full batches in an epoch.

    Raises:
        InputError: The batch is larger than the data.
    """
    if batch_size > examples:
        raise InputError(
            f"--batch_size={batch_size} is larger than the {examples} training images; "
            f"give at most {examples}"
        )
    return examples // batch_size


def training_batches(
    split: Split,
    batch_size: int,
    channels: int,
    seed: int,
    start_step: int,
    augmentation: str,
    with_labels: bool = False,
    with_indices: bool = False,
) -> tf.data.Dataset:
    """Endless batches from global step `start_step` on.

    Each epoch is another permutation of the images; an incomplete last batch is dropped.

    Args:
        split: The images, [N, H, W, C]; an array is kept in TensorFlow's memory, others are read
            during training.
        batch_size: B.
        channels: Channels of the encoder's input.
        seed: Seed of the permutations and the augmentation.
        start_step: The number of the first batch.
        augmentation: One of `registry.AUGMENTATIONS`.
        with_labels: Whether to return the images' labels, which they then must have.
        with_indices: Whether to return the images' indices in `split`.

    Returns:
        A data set of float32 [B, H, W, channels] in [-1, 1]; with labels or indices, of `Batch`.
    """
    per_epoch = steps_per_epoch(len(split), batch_size)
    # Uncropped images are cropped at random; others are shifted, and padded by reflection.
    uncropped = split.uncropped if augmentation != "none" else None
    images = split.images if uncropped is None else uncropped
    with tf.device("CPU"):
        labels = tf.constant(split.labels) if with_labels else None
    order_seed = derive_seed(seed, "order")
    augment_seed = derive_seed(seed, "augment")

    def indices_of(step):
        epoch = step // per_epoch
        rows = step % per_epoch * batch_size + tf.range(batch_size, dtype=tf.int64)
        key = tf.stack([tf.constant(order_seed, tf.int64), epoch, tf.constant(0, tf.int64)])
        return tf.raw_ops.RandomIndexShuffle(
            index=rows,
            seed=tf.cast(tf.tile(key[tf.newaxis], [batch_size, 1]), tf.uint32),
            max_index=tf.fill([batch_size], tf.constant(len(split) - 1, tf.int64)),
            rounds=4,
        )

    def make_batch(step, indices, x):
        step_seed = tf.stack([tf.cast(augment_seed, tf.int64), step])
        if uncropped is not None:
            x = random_crops(x, split.images.shape[1:3], step_seed)
        x = apply_augmentation(x, augmentation, step_seed, shifts=uncropped is None)
        x = image_ops.encoder_input(image_ops.to_unit(x), channels)
        if not with_labels and not with_indices:
            return x
        batch_labels = tf.gather(labels, indices) if with_labels else None
        return Batch(x, batch_labels, indices if with_indices else None)

    steps = tf.data.Dataset.counter(start=start_step)
    if isinstance(images, np.ndarray):
        with tf.device("CPU"):
            pixels = tf.constant(images)

        def from_memory(step):
            indices = indices_of(step)
            return make_batch(step, indices, tf.gather(pixels, indices))

        dataset = steps.map(from_memory, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    else:
        indexed = steps.map(lambda step: (step, indices_of(step)))
        batches = _read_images(indexed, images, max(PREFETCH_IMAGES // batch_size, 1))
        dataset = batches.map(make_batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    options = tf.data.Options()
    # Replicas get slices of one batch, on all workers: each worker builds it and takes its part.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    # Its thread sleeps for up to a minute, and an iterator waits for it when a run ends.
    options.autotune.enabled = False
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def _read_images(indexed: tf.data.Dataset, images: Images, steps: int) -> tf.data.Dataset:
    """Adds the images, [B, H, W, C], to the number and indices, int64 [B], of each step.

    Args:
        indexed: Data set of (step, indices).
        images: Images of a source that is not in memory.
        steps: Number of steps to read at a time, because each call enters Python.
    """

    def read(step, indices):
        flat = tf.reshape(indices, [-1])
        pixels = tf.numpy_function(lambda i: images[i], [flat], images.dtype, stateful=False)
        return step, indices, tf.reshape(pixels, [steps, indices.shape[1], *images.shape[1:]])

    pairs = indexed.batch(steps, drop_remainder=True)  # endless: nothing remains
    return pairs.map(read, num_parallel_calls=2, deterministic=True).unbatch()


def apply_augmentation(
    batch: tf.Tensor, augmentation: str, seed: tf.Tensor, shifts: bool = True
) -> tf.Tensor:
    """Random shifts of a batch [B, H, W, C], of any dtype, and other changes that suit its images.

    Natural images are mirrored left to right. Aerial and microscopic images are also mirrored top
    to bottom and, if they are square, transposed, which gives all turns by multiples of 90 degrees.
    Documents are only shifted. A shifted image is padded by reflection.

    Args:
        batch: The images.
        augmentation: One of `registry.AUGMENTATIONS`.
        seed: int [2], determines the shifts and flips.
        shifts: Whether to shift the images.
    """
    if augmentation == "none":
        return batch
    _, height, width, channels = batch.shape
    n = tf.shape(batch)[0]
    rows = tf.tile(tf.range(height)[tf.newaxis], [n, 1])  # [B, H]: of each image
    columns = tf.tile(tf.range(width)[tf.newaxis], [n, 1])
    if shifts:
        rows = _shift(rows, seed, 2)
        columns = _shift(columns, seed, 3)
    kind = KINDS[augmentation]
    if kind.is_mirrored or kind.is_turned:
        columns = tf.where(_half(n, seed, 1), columns[:, ::-1], columns)
    if kind.is_turned:
        rows = tf.where(_half(n, seed, 4), rows[:, ::-1], rows)
    # One gather of pixels: copying whole images for crop and flip takes ten times as long.
    image = tf.range(n)[:, tf.newaxis, tf.newaxis] * (height * width)
    pixels = image + rows[:, :, tf.newaxis] * width + columns[:, tf.newaxis]  # [B, H, W]
    if kind.is_turned and height == width:
        is_transposed = _half(n, seed, 5)[:, :, tf.newaxis]
        pixels = tf.where(is_transposed, tf.transpose(pixels, [0, 2, 1]), pixels)
    return tf.gather(tf.reshape(batch, [-1, channels]), pixels)


def _half(n, seed, purpose):
    """Whether, with probability 1/2: bool [n, 1]."""
    return tf.random.stateless_uniform([n, 1], seed + [purpose, 0]) < 0.5


def _shift(lines, seed, purpose):
    """Shifts the rows or columns of each image at random, reflected at the edges.

    Args:
        lines: int [B, S].
        seed: int [2].
        purpose: Separates the random numbers of rows and columns.
    """
    n, size = tf.shape(lines)[0], lines.shape[1]
    margin = size // CROP_FRACTION
    shift = tf.random.stateless_uniform(
        [n, 1], seed + [purpose, 0], maxval=2 * margin + 1, dtype=tf.int32
    )
    shifted = tf.abs(lines + shift - margin)
    return tf.minimum(shifted, 2 * (size - 1) - shifted)
