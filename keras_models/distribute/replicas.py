"""Exchange of tensors between the replicas of a `tf.distribute` strategy.

On one device, and outside a replica context (while a model is built), there is one replica, number
0, and every function here is the identity up to shape.
"""

import tensorflow as tf


def count() -> int:
    """The number of replicas that run this step."""
    context = tf.distribute.get_replica_context()
    return 1 if context is None else context.num_replicas_in_sync


def index():
    """This replica's number, counted from 0: an int or an int32 scalar tensor."""
    context = tf.distribute.get_replica_context()
    return 0 if context is None else context.replica_id_in_sync_group


def is_multi_worker() -> bool:
    """Whether the replicas of this step run in several processes."""
    context = tf.distribute.get_replica_context()
    return context is not None and isinstance(
        context.strategy, tf.distribute.MultiWorkerMirroredStrategy
    )


def all_gather(x: tf.Tensor) -> tf.Tensor:
    """Stacks every replica's `x` along a new first axis, in the order of the replicas.

    It is an all-reduce of zero-padded values: exact (x + 0 = x), with an exact gradient, and unlike
    TensorFlow's all-gather, XLA can compile it.

    Args:
        x: float [...], of the same shape on every replica.

    Returns:
        [replicas, ...], the same on every replica.
    """
    if count() == 1:
        return x[tf.newaxis]
    position = tf.one_hot(index(), count(), dtype=x.dtype)  # [R]
    padded = tf.tensordot(position, x, axes=0)  # [R, ...]
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.SUM, padded)


def concat(x: tf.Tensor) -> tf.Tensor:
    """Concatenates every replica's rows, in their order: [N, D] -> [replicas·N, D]."""
    return tf.reshape(all_gather(x), [-1, x.shape[1]])


def mean(values):
    """The mean over the replicas of each tensor in a nest."""
    if count() == 1:
        return values
    return tf.distribute.get_replica_context().all_reduce(tf.distribute.ReduceOp.MEAN, values)


def mean_metrics(metrics: dict[str, tf.Tensor]) -> dict[str, tf.Tensor]:
    """The replicas' means of scalars, with shape [1] on several workers: `fit` needs an axis."""
    metrics = mean(metrics)
    if is_multi_worker():
        metrics = {name: x[tf.newaxis] for name, x in metrics.items()}
    return metrics


def gather_other_replicas(x: tf.Tensor) -> tf.Tensor:
    """Concatenates `x` of the other replicas, cyclically from the next replica on.

    Args:
        x: float [N, ...], of the same shape on every replica.

    Returns:
        [(replicas - 1)·N, ...].
    """
    gathered = tf.roll(all_gather(x), -index(), axis=0)  # [R, N, ...]
    return tf.reshape(gathered[1:], tf.concat([[-1], tf.shape(x)[1:]], 0))
