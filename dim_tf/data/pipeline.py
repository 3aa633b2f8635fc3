"""The training pipeline: a batch is a pure function of the global step.

So there is no iterator state to save, and a run goes on from any step exactly.
"""

import numpy as np
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.crops import random_windows
from dim_tf.data.splits import Images, Split
from dim_tf.system.errors import InputError
from keras_models.distribute.randomness import derive_seed
from keras_models.objective_model import Batch

AUGMENTATIONS = ("none", "crop", "flip", "crop_flip")
AT_A_TIME = 1024  # images that are asked for of a source that is not in memory
CROP_FRACTION = 8  # a random crop moves by up to 1/8 of the side, padded by reflection


def steps_per_epoch(examples: int, batch_size: int) -> int:
    """Full batches in an epoch.

    Raises:
        InputError: the batch is larger than the data.
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
    augment: str,
    labelled: bool = False,
    numbered: bool = False,
) -> tf.data.Dataset:
    """Endless batches from global step `start_step` on.

    Each epoch is another permutation of the images; what does not fill a batch is left out.

    Args:
        split: the images, uint8 [N, H, W, C]; those of an array are kept in TensorFlow's memory,
            others are asked for batch by batch.
        batch_size: B.
        channels: that the encoder takes.
        seed: of the permutations and the augmentation.
        start_step: the number of the first batch.
        augment: one of `AUGMENTATIONS`.
        labelled: whether the labels come beside the images, which then have some.
        numbered: whether the images' rows do.

    Returns:
        A data set of float32 [B, H, W, channels] in [-1, 1]; labelled or numbered: of `Batch`.
    """
    per_epoch = steps_per_epoch(len(split), batch_size)
    # Where there is something around the images, a random crop is a window of it.
    images, change, windows = split.images, augment, False
    if split.surround is not None and "crop" in augment:
        images, change, windows = split.surround, "flip" if "flip" in augment else "none", True
    with tf.device("CPU"):
        labels = tf.constant(split.labels) if labelled else None
    order_seed = derive_seed(seed, "order")
    augment_seed = derive_seed(seed, "augment")

    def rows_of(step):
        epoch = step // per_epoch
        positions = step % per_epoch * batch_size + tf.range(batch_size, dtype=tf.int64)
        key = tf.stack([tf.constant(order_seed, tf.int64), epoch, tf.constant(0, tf.int64)])
        return tf.raw_ops.RandomIndexShuffle(
            index=positions,
            seed=tf.cast(tf.tile(key[tf.newaxis], [batch_size, 1]), tf.uint32),
            max_index=tf.fill([batch_size], tf.constant(len(split) - 1, tf.int64)),
            rounds=4,
        )

    def batch(step, rows, x):
        noise = tf.stack([tf.cast(augment_seed, tf.int64), step])
        if windows:
            x = random_windows(x, split.images.shape[1], noise)
        x = augmented(x, change, noise)
        x = image_ops.encoder_input(image_ops.to_unit(x), channels)
        if not labelled and not numbered:
            return x
        return Batch(x, tf.gather(labels, rows) if labelled else None, rows if numbered else None)

    steps = tf.data.Dataset.counter(start=start_step)
    if isinstance(images, np.ndarray):
        with tf.device("CPU"):
            pixels = tf.constant(images)

        def from_memory(step):
            rows = rows_of(step)
            return batch(step, rows, tf.gather(pixels, rows))

        dataset = steps.map(from_memory, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    else:
        counted = steps.map(lambda step: (step, rows_of(step)))
        found = _from_elsewhere(counted, images, max(AT_A_TIME // batch_size, 1))
        dataset = found.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    options = tf.data.Options()
    # Replicas get slices of one batch, those of another worker too: each makes all and takes its.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def _from_elsewhere(numbered: tf.data.Dataset, images: Images, steps: int) -> tf.data.Dataset:
    """Puts the images beside (step, rows, int64 [B]): uint8 [B, H, W, C].

    Args:
        numbered: data set of these pairs.
        images: asked for those of several steps at a time, since each time Python is waited for.
        steps: how many.
    """

    def ask(step, rows):
        flat = tf.reshape(rows, [-1])
        found = tf.numpy_function(lambda wanted: images[wanted], [flat], tf.uint8, stateful=False)
        return step, rows, tf.reshape(found, [steps, rows.shape[1], *images.shape[1:]])

    pairs = numbered.batch(steps, drop_remainder=True)  # endless: nothing remains
    return pairs.map(ask, num_parallel_calls=2, deterministic=True).unbatch()


def augmented(batch: tf.Tensor, augment: str, seed: tf.Tensor) -> tf.Tensor:
    """Random crops and horizontal flips of a batch [B, H, W, C], of its dtype.

    A crop is as large as the image, which is padded by reflection.

    Args:
        batch: the images.
        augment: one of `AUGMENTATIONS`.
        seed: int [2], decides the crops and flips.
    """
    if augment == "none":
        return batch
    _, height, width, channels = batch.shape
    n = tf.shape(batch)[0]
    rows = tf.tile(tf.range(height)[tf.newaxis], [n, 1])  # [B, H]: which of the image's rows
    columns = tf.tile(tf.range(width)[tf.newaxis], [n, 1])
    if "crop" in augment:
        rows = _shifted(rows, seed, 2)
        columns = _shifted(columns, seed, 3)
    if "flip" in augment:
        flip = tf.random.stateless_uniform([n, 1], seed + [1, 0]) < 0.5
        columns = tf.where(flip, columns[:, ::-1], columns)
    # One gather of pixels: copies of whole images for each step of the way take ten times as long.
    image = tf.range(n)[:, tf.newaxis, tf.newaxis] * (height * width)
    places = image + rows[:, :, tf.newaxis] * width + columns[:, tf.newaxis]  # [B, H, W]
    return tf.gather(tf.reshape(batch, [-1, channels]), places)


def _shifted(places, seed, purpose):
    """The rows or columns of each image, [B, S], moved at random and reflected at the edges.

    Args:
        places: those.
        seed: int [2].
        purpose: of the random numbers.
    """
    n, size = tf.shape(places)[0], places.shape[1]
    margin = size // CROP_FRACTION
    shift = tf.random.stateless_uniform(
        [n, 1], seed + [purpose, 0], maxval=2 * margin + 1, dtype=tf.int32
    )
    moved = tf.abs(places + shift - margin)
    return tf.minimum(moved, 2 * (size - 1) - moved)
