"""What one replica of a `tf.distribute` strategy needs of the others.

On one device, and outside of a replica (while a model is built), there is one replica, number 0,
and every function here is the identity.
"""

import tensorflow as tf


def count() -> int:
    """How many replicas run this step."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def index():
    """This replica's number, from 0: an int or an int32 scalar tensor."""
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def between_workers() -> bool:
    """Whether other processes take part in this step."""
    context = tf.distribute.get_replica_context()
    return context is not None and isinstance(
        context.strategy, tf.distribute.MultiWorkerMirroredStrategy
    )


def stack(x: tf.Tensor) -> tf.Tensor:
    """Every replica's `x`, in the replicas' order.

    An all-reduce of zero-padded values, which is exact (x + 0 = x), has an exact gradient, and
    unlike an all-gather can also be compiled by XLA.

    Args:
        x: float [...], of the same shape on every replica.

    Returns:
        [replicas, ...], the same on every replica.
    """
    if count() == 1:
        return x[tf.newaxis]
    mine = tf.one_hot(index(), count(), dtype=x.dtype)  # [R]
    padded = tf.tensordot(mine, x, axes=0)  # [R, ...]
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, padded)


def concat(x: tf.Tensor) -> tf.Tensor:
    """Every replica's rows, in the replicas' order: [N, D] -> [replicas·N, D]."""
    return tf.reshape(stack(x), [-1, x.shape[1]])


def mean(values):
    """The mean over the replicas of each tensor of a nest."""
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def of_the_others(x: tf.Tensor) -> tf.Tensor:
    """`x` of the other replicas, from the next replica on, after each other.

    Args:
        x: float [N, ...], of the same shape on every replica.

    Returns:
        [(replicas - 1)·N, ...].
    """
    everywhere = tf.roll(stack(x), -index(), axis=0)  # [R, N, ...]
    return tf.reshape(everywhere[1:], tf.concat([[-1], tf.shape(x)[1:]], 0))
