"""The training pipeline: a batch is a pure function of the global step.

So there is no iterator state to save, and a run goes on from any step exactly.
"""

import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.splits import Split
from dim_tf.errors import InputError
from keras_models.randomness import derive_seed

AUGMENTATIONS = ("none", "crop", "flip", "crop_flip")
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
) -> tf.data.Dataset:
    """Endless batches from global step `start_step` on.

    Each epoch is another permutation of the images; what does not fill a batch is left out.

    Args:
        split: the images, uint8 [N, H, W, C].
        batch_size: B.
        channels: that the encoder takes.
        seed: of the permutations and the augmentation.
        start_step: the number of the first batch.
        augment: one of `AUGMENTATIONS`.
        labelled: whether the labels come beside the images.

    Returns:
        A data set of float32 [B, H, W, channels] in [-1, 1]; labelled: of those images with their
        labels, int64 [B, ...].
    """
    per_epoch = steps_per_epoch(len(split), batch_size)
    with tf.device("CPU"):
        pixels = tf.constant(split.images)
        labels = tf.constant(split.labels)
    order_seed = derive_seed(seed, "order")
    augment_seed = derive_seed(seed, "augment")

    def batch(step):
        epoch = step // per_epoch
        positions = step % per_epoch * batch_size + tf.range(batch_size, dtype=tf.int64)
        key = tf.stack([tf.constant(order_seed, tf.int64), epoch, tf.constant(0, tf.int64)])
        rows = tf.raw_ops.RandomIndexShuffle(
            index=positions,
            seed=tf.cast(tf.tile(key[tf.newaxis], [batch_size, 1]), tf.uint32),
            max_index=tf.fill([batch_size], tf.constant(len(split) - 1, tf.int64)),
            rounds=4,
        )
        x = tf.gather(pixels, rows)
        x = augmented(x, augment, tf.stack([tf.cast(augment_seed, tf.int64), step]))
        x = image_ops.encoder_input(image_ops.to_unit(x), channels)
        return (x, tf.gather(labels, rows)) if labelled else x

    steps = tf.data.Dataset.counter(start=start_step)
    dataset = steps.map(batch, num_parallel_calls=tf.data.AUTOTUNE, deterministic=True)
    options = tf.data.Options()
    # Replicas get slices of one batch, those of another worker too: each makes all and takes its.
    options.experimental_distribute.auto_shard_policy = tf.data.experimental.AutoShardPolicy.DATA
    return dataset.prefetch(tf.data.AUTOTUNE).with_options(options)


def augmented(batch: tf.Tensor, augment: str, seed: tf.Tensor) -> tf.Tensor:
    """Random crops and horizontal flips of a batch [B, H, W, C], of its dtype.

    Args:
        batch: the images.
        augment: one of `AUGMENTATIONS`.
        seed: int [2], decides the crops and flips.
    """
    if "crop" in augment:
        batch = _random_crop(batch, seed)
    if "flip" in augment:
        n = tf.shape(batch)[0]
        flip = tf.random.stateless_uniform([n, 1, 1, 1], seed + [1, 0]) < 0.5
        batch = tf.where(flip, batch[:, :, ::-1], batch)
    return batch


def _random_crop(batch, seed):
    n, height, width, channels = batch.shape
    n = tf.shape(batch)[0] if n is None else n
    margin_y, margin_x = height // CROP_FRACTION, width // CROP_FRACTION
    edges = [[0, 0], [margin_y, margin_y], [margin_x, margin_x], [0, 0]]
    padded = tf.pad(batch, edges, mode="REFLECT")

    def corners(margin, purpose):
        return tf.random.stateless_uniform(
            [n, 1], seed + [purpose, 0], maxval=2 * margin + 1, dtype=tf.int32
        )

    rows = corners(margin_y, 2) + tf.range(height)  # [n, height]
    columns = corners(margin_x, 3) + tf.range(width)
    batch = tf.gather(tf.gather(padded, rows, batch_dims=1), columns, axis=2, batch_dims=1)
    return tf.ensure_shape(batch, [None, height, width, channels])
