"""Mutual information of local and global features, estimated from a critic's scores."""

import keras
import tensorflow as tf

from keras_models import critics, estimators, layers
from keras_models.randomness import StepRandom
from keras_models.terms.output import TermOutput


@keras.saving.register_keras_serializable(layers.PACKAGE)
class LocalMutualInformation(keras.layers.Layer):
    """DIM(L): mean over locations of the mutual information of local and global features.

    Hjelm et al. 2019, section 3.2, eq. 6.

    Args:
        critic: scores pairs of local and global features.
        estimator: a name of `estimators.NAMES`.
        weight: β.
    """

    def __init__(self, critic, estimator: str, weight: float = 1.0, **kwargs):
        kwargs.setdefault("name", "local_mutual_information")
        super().__init__(**kwargs)
        self.critic = critic
        self.estimator = estimators.get(estimator)
        self.weight = weight

    @property
    def adversary_variables(self):
        return []

    def build(self, local_shapes, global_shapes):
        if not self.critic.built:
            self.critic.build(local_shapes["local"], global_shapes["global"])
        self.built = True

    def call(self, local_endpoints, global_endpoints, random: StepRandom) -> TermOutput:
        scores = self.critic(local_endpoints["local"], global_endpoints["global"], training=True)
        value = self.estimator(scores)
        metrics = {
            "local_mi": value,
            "joint_score": tf.reduce_mean(scores.joint),
            "product_score": scores.mean_product(),
        }
        return TermOutput(-value, None, metrics)

    def get_config(self):
        return {
            "name": self.name,
            "critic": keras.saving.serialize_keras_object(self.critic),
            "estimator": self.estimator.name,
            "weight": self.weight,
        }

    @classmethod
    def from_config(cls, config):
        critic = keras.saving.deserialize_keras_object(config["critic"])
        return cls(**{**config, "critic": critic})


def local_mutual_information(
    critic: str, units: int, estimator: str, weight: float = 1.0, synchronized: bool = False
) -> LocalMutualInformation:
    """DIM(L)'s term, its critic made by name."""
    made = critics.get(critic, units=units, synchronized=synchronized, name="critic")
    return LocalMutualInformation(made, estimator, weight)
