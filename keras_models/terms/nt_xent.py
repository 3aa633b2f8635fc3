"""NT-Xent, the contrastive loss of SimCLR."""

from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models import estimators
from keras_models.distribute import replicas
from keras_models.nn import layers
from keras_models.terms.projected import ProjectedTerm


@keras.saving.register_keras_serializable(layers.PACKAGE)
class NTXent(ProjectedTerm):
    """Normalised temperature-scaled cross-entropy of two views (Chen et al. 2020, eq. 1).

    https://arxiv.org/abs/2002.05709

    >>> from keras_models import DeepInfoMax, encoders, terms
    >>> from keras_models.views import Augmentation, Views
    >>> views = Views(Augmentation(), shared_flip=False)
    >>> model = DeepInfoMax(encoders.get("basic32x32"), [terms.NTXent(0.5)], views)

    Args:
        temperature: τ; the paper's best for CIFAR-10 is 0.5 (its appendix B.9).
        hidden_units: Units of each hidden layer of the projector.
        projected_units: P, units of its output; the paper's 128.
        **kwargs: Arguments of `ProjectedTerm`.
    """

    def __init__(
        self,
        temperature: float = 0.5,
        hidden_units: Sequence[int] = (512,),
        projected_units: int = 128,
        name: str = "nt_xent",
        **kwargs,
    ):
        super().__init__(hidden_units, projected_units, name=name, **kwargs)
        self.temperature = temperature

    def compare(self, first, second):
        return nt_xent(first, second, self.temperature)

    def get_config(self):
        return {**super().get_config(), "temperature": self.temperature}


def nt_xent(
    first: tf.Tensor, second: tf.Tensor, temperature: float
) -> tuple[tf.Tensor, dict[str, tf.Tensor]]:
    """The mean over all views i of -log(exp(s_ij / τ) / Σ_{k≠i} exp(s_ik / τ)).

    j is the other view of i's image, k runs over all other views of the global batch, and s is the
    cosine similarity.

    Args:
        first: float32 [N, P], this replica's projections of the first view.
        second: float32 [N, P], its projections of the second view.
        temperature: τ.

    Returns:
        The loss of this replica's views, and "accuracy": how often the nearest view is of the same
        image.
    """
    first, second = (tf.math.l2_normalize(x, axis=1) for x in (first, second))
    queries = tf.concat([first, second], 0) / temperature  # [2N, P]
    keys = tf.concat([replicas.concat(first), replicas.concat(second)], 0)  # [2B, P]
    count = tf.shape(first)[0]
    in_first = replicas.index() * count + tf.range(count)  # rows of this replica's images in keys
    in_second = in_first + count * replicas.count()
    loss, accuracy = estimators.info_nce_of_vectors(
        queries,
        keys,
        positive=tf.concat([in_second, in_first], 0),
        excluded=tf.concat([in_first, in_second], 0),
    )
    return loss, {"accuracy": accuracy}
