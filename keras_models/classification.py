"""Losses and accuracy of predicted labels: one class per image, or several attributes."""

import tensorflow as tf


def losses_and_correct(
    logits: tf.Tensor, labels: tf.Tensor, multi_label: bool
) -> tuple[tf.Tensor, tf.Tensor]:
    """The cross-entropy of each label, and whether its prediction is correct.

    Args:
        logits: float32 [N, C], of classes or of attributes.
        labels: Classes, int [N]; or attributes, int [N, C], present where above 0.
        multi_label: Whether the labels are attributes.

    Returns:
        Losses (float32) and correctness (bool): [N], or [N, C] for attributes.
    """
    if multi_label:
        truth = labels > 0
        losses = tf.nn.sigmoid_cross_entropy_with_logits(tf.cast(truth, tf.float32), logits)
        return losses, (logits > 0) == truth
    losses = tf.nn.sparse_softmax_cross_entropy_with_logits(labels, logits)
    return losses, tf.argmax(logits, axis=1) == tf.cast(labels, tf.int64)
