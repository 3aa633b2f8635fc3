"""Labels told from logits: of one class an image, or of attributes."""

import tensorflow as tf


def losses_and_hits(
    logits: tf.Tensor, labels: tf.Tensor, multi_label: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """The cross-entropy of each label, and whether it is told right.

    Args:
        logits: float32 [N, C], of classes or of attributes.
        labels: int [N], or [N, C] of attributes, of which those above 0 are there.
        multi_label: whether they are attributes.

    Returns:
        float32 and bool, [N] or [N, C] of attributes.
    """
    if multi_label:
        truth = labels > 0
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(truth, tf.float32), logits)
        return losses, (logits > 0) == truth
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return losses, tf.argmax(logits, axis=1) == tf.cast(labels, tf.int64)
