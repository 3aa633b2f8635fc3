"""Which features are paired: globals of an image, and images that follow each other in a batch.

N images, G global features of an image, R replicas with N images each, K product samples of each
global feature. With K sampled negatives, an image's globals are paired with the local features of
the K images that follow in the batch, which is in random order (the last are followed by the first,
on replicas by the next replica's).
"""

import tensorflow as tf

from keras_models.distribute import replicas

TOO_FEW_OTHERS = (
    "a batch has fewer other images than each image is to be paired with (--negatives); give fewer "
    "negatives, another batch_size, or leave the last batch of an epoch out (tf.data: "
    "drop_remainder=True)"
)


def following(features: tf.Tensor, count: int) -> list[tf.Tensor]:
    """The features of the images that follow each image in the global batch.

    Args:
        features: [N, ...] of this replica's images.
        count: K, less than all replicas' images and at most N.

    Returns:
        K tensors [N, ...]; row n of the k-th, from 0, is of the (n + k + 1)-th image of the global
        batch, from this replica's first; after the last comes the first.

    Raises:
        ValueError: there are not as many images.
        tf.errors.InvalidArgumentError: the same, where that is known in the step only.
    """
    n, everywhere = features.shape[0], replicas.count()
    if n is not None and not 1 <= count <= min(n, n * everywhere - 1):
        raise ValueError(
            f"each image is to be paired with {count} others (--negatives); with {n} images on "
            f"each of {everywhere} replicas, give at most {min(n, n * everywhere - 1)}"
        )
    if n is None:
        rows = tf.shape(features)[0]
        enough = count <= tf.minimum(rows, rows * everywhere - 1)
        with tf.control_dependencies([tf.debugging.Assert(enough, [TOO_FEW_OTHERS])]):
            features = tf.identity(features)
    after = replicas.stack(features[:count])[(replicas.index() + 1) % everywhere]
    row = tf.concat([features, after], 0)
    rows = tf.shape(features)[0]
    return [row[k + 1 : k + 1 + rows] for k in range(count)]


def flat_globals(global_features: tf.Tensor) -> tf.Tensor:
    """[N, D] or [N, g, g, D] -> [N, G, D] with G = 1 or g·g."""
    return tf.reshape(
        global_features, [tf.shape(global_features)[0], -1, global_features.shape[-1]]
    )


def check_images(local_features):
    """Raises ValueError if there are fewer than two images."""
    n = local_features.shape[0]
    if n is not None and n < 2:
        raise ValueError(f"product samples need at least 2 images on a replica, got {n}")
