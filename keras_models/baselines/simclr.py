"""SimCLR: which two views are of one image?"""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models.baselines.two_views import TwoViews
from keras_models.distribute import replicas
from keras_models.nn import layers
from keras_models.views import Augmentation


@keras.saving.register_keras_serializable(layers.PACKAGE)
class SimCLR(TwoViews):
    """Minimises the contrastive loss NT-Xent (Chen et al. 2020, eq. 1) of two views.

    Args:
        encoder: images -> endpoints.
        temperature: τ; the paper's best for CIFAR-10 is 0.5 (its appendix B.9).
        hidden_units: of each hidden layer of the projector.
        projected_units: of its output; the paper's is 128.
        augmentation: makes a view; None: with the default ranges.
        seed: of the random numbers drawn in training.
    """

    def __init__(
        self,
        encoder,
        temperature: float = 0.5,
        hidden_units: Sequence[int] = (512,),
        projected_units: int = 128,
        augmentation: Augmentation | None = None,
        seed: int = 0,
        **kwargs,
    ):
        super().__init__(encoder, hidden_units, projected_units, augmentation, seed, **kwargs)
        self.temperature = temperature

    def compare(self, first, second):
        return nt_xent(first, second, self.temperature)

    def config(self):
        return {**super().config(), "temperature": self.temperature}


def nt_xent(
    first: tf.Tensor, second: tf.Tensor, temperature: float
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The mean over all views i of -log(exp(s_ij / τ) / Σ_{k≠i} exp(s_ik / τ)).

    j is the other view of i's image, k runs over all other views of the batch, those of the other
    replicas too; s is the cosine.

    Args:
        first: float32 [N, P], this replica's projections of one view.
        second: float32 [N, P], of the other view.
        temperature: τ.

    Returns:
        The loss of this replica's views, and as "contrastive_accuracy" how often the other view of
        the image is the nearest one.
    """
    first, second = (tf.math.l2_normalize(x, axis=1) for x in (first, second))
    own = tf.concat([first, second], 0)  # [2N, P]
    everywhere = [tf.reshape(replicas.stack(x), [-1, x.shape[1]]) for x in (first, second)]
    others = tf.concat(everywhere, 0)  # [2B, P]
    count = tf.shape(first)[0]
    number = replicas.index() * count + tf.range(count)  # of this replica's images, in the batch
    itself = tf.concat([number, number + count * replicas.count()], 0)  # [2N]

    scores = tf.matmul(own, others, transpose_b=True) / temperature
    is_itself = tf.range(tf.shape(others)[0]) == itself[:, tf.newaxis]  # [2N, 2B]
    scores = tf.where(is_itself, tf.constant(float("-inf")), scores)
    joint = tf.tile(tf.reduce_sum(first * second, axis=1) / temperature, [2])  # [2N]
    loss = tf.reduce_mean(tf.reduce_logsumexp(scores, axis=1) - joint)
    partner = tf.concat([number + count * replicas.count(), number], 0)
    nearest = tf.argmax(scores, axis=1, output_type=tf.int32) == partner
    return loss, {"contrastive_accuracy": tf.reduce_mean(tf.cast(nearest, tf.float32))}
