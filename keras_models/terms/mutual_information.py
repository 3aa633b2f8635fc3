"""Mutual information of local and global features, estimated from a critic's scores."""

from typing import Any

import keras
import tensorflow as tf

from keras_models import critics, estimators
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.terms.output import TermOutput


@keras.saving.register_keras_serializable(layers.PACKAGE)
class MutualInformation(keras.layers.Layer):
    """Mutual information of the local map and the global feature of an image.

    What the critic scores decides which: single places give DIM(L), the mean over locations of
    local mutual information (Hjelm et al. 2019, section 3.2, eq. 6); whole maps give DIM(G)
    (section 3.1).

    Args:
        critic: scores pairs of local and global features.
        estimator: a name of `estimators.NAMES`.
        weight: β of local mutual information, α of global.
        locations: S, how many places of the map are scored in a step, drawn at random, the same in
            all images; 0: all.
        name: of the term; its metrics are NAME_mi, NAME_joint_score and NAME_product_score.

    Raises:
        ValueError: unknown estimator; when built, more locations than the map has.
    """

    def __init__(
        self,
        critic,
        estimator: str,
        weight: float = 1.0,
        locations: int = 0,
        name: str = "local",
        **kwargs,
    ):
        super().__init__(name=name, **kwargs)
        self.critic = critic
        self.estimator = estimators.get(estimator)
        self.weight = weight
        self.locations = locations

    @property
    def adversary_variables(self):
        return []

    def build(self, local_shapes, global_shapes):
        shape = local_shapes["local"]
        places = shape[1] * shape[2]
        if self.locations > places:
            raise ValueError(
                f"{self.locations} locations are to be drawn (--locations) from a local map of "
                f"{shape[1]}x{shape[2]}; give at most {places}, or 0 for all"
            )
        if not self.critic.built:
            self.critic.build(shape, global_shapes["global"])
        self.built = True

    def call(
        self, local_endpoints, global_endpoints, random: StepRandom, training: bool = True
    ) -> TermOutput:
        features, stands_for = self._some_places(local_endpoints["local"], random)
        scores = self.critic(features, global_endpoints["global"], training=training)
        value = self.estimator(scores, stands_for)
        metrics = {
            f"{self.name}_mi": value,
            f"{self.name}_joint_score": tf.reduce_mean(scores.joint),
            f"{self.name}_product_score": scores.mean_product(),
        }
        return TermOutput(-value, None, metrics)

    def _some_places(self, local_map, random):
        """[N, M, M, C] as it is or [N, S, 1, C], and how many places each of those stands for."""
        if not self.locations:
            return local_map, 1.0
        places = local_map.shape[1] * local_map.shape[2]
        rows = tf.reshape(local_map, [-1, places, local_map.shape[3]])
        chosen = random.choice(f"{self.name} locations", places, self.locations)
        return tf.gather(rows, chosen, axis=1)[:, :, tf.newaxis], places / self.locations

    def get_config(self):
        return {
            "name": self.name,
            "critic": keras.saving.serialize_keras_object(self.critic),
            "estimator": self.estimator.name,
            "weight": self.weight,
            "locations": self.locations,
        }

    @classmethod
    def from_config(cls, config):
        critic = keras.saving.deserialize_keras_object(config["critic"])
        return cls(**{**config, "critic": critic})


def local_mutual_information(
    critic: str, estimator: str, weight: float = 1.0, *, locations: int = 0, **of_critic: Any
) -> MutualInformation:
    """DIM(L)'s term (section 3.2, eq. 6), its critic made by a name of `critics.LOCAL_NAMES`.

    Args:
        critic: the name.
        estimator: a name of `estimators.NAMES`.
        weight: β.
        locations: S; 0: all.
        **of_critic: the critic's own: those of `critics.DotProductCritic` for "dot", of
            `critics.ConcatCritic` for "concat".

    Raises:
        ValueError: unknown critic or estimator, or an argument that this critic does not have.
    """
    made = critics.get(critic, **of_critic)
    return MutualInformation(made, estimator, weight, locations, name="local")


def global_mutual_information(
    critic: str, estimator: str, weight: float = 1.0, **of_critic: Any
) -> MutualInformation:
    """DIM(G)'s term (section 3.1), its critic made by a name of `critics.GLOBAL_NAMES`.

    Args:
        critic: the name.
        estimator: a name of `estimators.NAMES`.
        weight: α.
        **of_critic: the critic's own: those of `critics.DotProductCritic` but `whole_map` for
            "dot", of `critics.GlobalCritic` for the others.

    Raises:
        ValueError: unknown critic or estimator, or an argument that this critic does not have.
    """
    if critic == "dot":
        of_critic = {"whole_map": True, **of_critic}
    made = critics.get(critic, **of_critic)
    return MutualInformation(made, estimator, weight, name="global")
