"""Which features are paired: the globals of an image, and each image's negatives.

N images, G global features per image, R replicas with N images each, K product samples per global
feature. The K sampled negatives of an image are the next K images of the global batch, which is in
random order: replica after replica, and cyclically from the last image to the first.
"""

import tensorflow as tf

from keras_models.distribute import replicas

TOO_FEW_NEGATIVES = (
    "a batch has fewer other images than each image is to be paired with (--negatives); give fewer "
    "negatives, another batch_size, or leave the last batch of an epoch out (tf.data: "
    "drop_remainder=True)"
)


def shifted_negatives(features: tf.Tensor, count: int) -> list[tf.Tensor]:
    """The features of each image's negatives: the global batch shifted by 1 to K images.

    Args:
        features: Features of this replica's images, [N, ...].
        count: K; fewer than all replicas' images and at most N.

    Returns:
        K tensors [N, ...]. Row n of the k-th, from 0, is image n + k + 1 of the global batch,
        counted cyclically from this replica's first image.

    Raises:
        ValueError: There are too few images.
        tf.errors.InvalidArgumentError: The same, if the number of images is known only in the step.
    """
    n, replica_count = features.shape[0], replicas.count()
    if n is not None and not 1 <= count <= min(n, n * replica_count - 1):
        raise ValueError(
            f"each image is to be paired with {count} others (--negatives); with {n} images on "
            f"each of {replica_count} replicas, give at most {min(n, n * replica_count - 1)}"
        )
    if n is None:
        size = tf.shape(features)[0]
        enough = count <= tf.minimum(size, size * replica_count - 1)
        with tf.control_dependencies([tf.debugging.Assert(enough, [TOO_FEW_NEGATIVES])]):
            features = tf.identity(features)
    next_replica = (replicas.index() + 1) % replica_count
    extended = tf.concat([features, replicas.all_gather(features[:count])[next_replica]], 0)
    size = tf.shape(features)[0]
    return [extended[k + 1 : k + 1 + size] for k in range(count)]


def flatten_globals(global_features: tf.Tensor) -> tf.Tensor:
    """[N, D] or [N, g, g, D] -> [N, G, D] with G = 1 or g·g."""
    return tf.reshape(
        global_features, [tf.shape(global_features)[0], -1, global_features.shape[-1]]
    )


def check_images(local_features):
    """Raises ValueError if there are fewer than two images."""
    n = local_features.shape[0]
    if n is not None and n < 2:
        raise ValueError(f"product samples need at least 2 images on a replica, got {n}")
