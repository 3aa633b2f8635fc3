"""Mutual information between two features of an image, estimated from a critic's scores."""

from typing import Any

import keras
import tensorflow as tf

from keras_models import critics, estimators
from keras_models.distribute.randomness import StepRandom
from keras_models.nn import layers
from keras_models.terms.base import Term, TermOutput, as_map, map_shape


@keras.saving.register_keras_serializable(layers.PACKAGE)
class MutualInformation(Term):
    """Mutual information between a query and a context.

    DIM(L): between the global feature and each location of the local map, averaged over locations
    (Hjelm et al. 2019, section 3.2, eq. 6). DIM(G): between the global feature and the whole local
    map, with a critic of whole maps (section 3.1). Other pairs of endpoints are AMDIM's n-to-m
    tasks (Bachman et al. 2019, multiscale mutual information); a vector is a map of one location.

    Args:
        critic: Scores pairs of a context's location and a query.
        estimator: A name of `estimators.NAMES`.
        weight: β of local mutual information, α of global.
        query: Endpoint that is compared with all locations of the context.
        context: Endpoint whose locations are scored.
        locations: S, number of the context's locations scored in a step, drawn at random, the same
            in all images; 0: all.
        name: Name of the term; its metrics are NAME_mi, NAME_joint_score and NAME_product_score.

    Raises:
        ValueError: Unknown estimator; when built, more locations than the map has.
    """

    def __init__(
        self,
        critic,
        estimator: str,
        weight: float = 1.0,
        query: str = "global",
        context: str = "local",
        locations: int = 0,
        name: str = "local",
        **kwargs,
    ):
        super().__init__(weight, name=name, **kwargs)
        self.critic = critic
        self.estimator = estimators.get(estimator)
        self.query = query
        self.context = context
        self.locations = locations

    @property
    def endpoints(self):
        return (self.query, self.context)

    def build(self, shapes):
        shape = map_shape(shapes[self.context])
        if self.locations > shape[1] * shape[2]:
            raise ValueError(
                f"{self.locations} locations are to be drawn (--locations) from a {self.context} "
                f"map of {shape[1]}x{shape[2]}; give at most {shape[1] * shape[2]}, or 0 for all"
            )
        if not self.critic.built:
            self.critic.build(shape, shapes[self.query])
        self.built = True

    def call(self, query, context, random: StepRandom, training: bool = True) -> TermOutput:
        features, sample_weight = self._sample_locations(as_map(context[self.context]), random)
        scores = self.critic(features, query[self.query], training=training)
        value = self.estimator(scores, sample_weight)
        metrics = {
            f"{self.name}_mi": value,
            f"{self.name}_joint_score": tf.reduce_mean(scores.joint),
            f"{self.name}_product_score": scores.mean_product(),
        }
        return TermOutput(-value, None, metrics)

    def _sample_locations(self, features, random):
        """All locations [N, M, M', C] or a sample [N, S, 1, C], and the weight of each."""
        if not self.locations:
            return features, 1.0
        total = features.shape[1] * features.shape[2]
        flat = tf.reshape(features, [-1, total, features.shape[3]])
        indices = random.choice(f"{self.name} locations", total, self.locations)
        return tf.gather(flat, indices, axis=1)[:, :, tf.newaxis], total / self.locations

    def get_config(self):
        return {
            **super().get_config(),
            "critic": keras.saving.serialize_keras_object(self.critic),
            "estimator": self.estimator.name,
            "query": self.query,
            "context": self.context,
            "locations": self.locations,
        }

    @classmethod
    def from_config(cls, config):
        critic = keras.saving.deserialize_keras_object(config["critic"])
        return cls(**{**config, "critic": critic})


def local_mutual_information(
    critic: str,
    estimator: str,
    weight: float = 1.0,
    *,
    query: str = "global",
    context: str = "local",
    locations: int = 0,
    **critic_arguments: Any,
) -> MutualInformation:
    """The term of DIM(L) (section 3.2, eq. 6), or of another pair of endpoints.

    Args:
        critic: A name of `critics.LOCAL_NAMES`.
        estimator: A name of `estimators.NAMES`.
        weight: β.
        query: Endpoint that is compared with all locations of the context.
        context: Endpoint whose locations are scored.
        locations: S; 0: all.
        **critic_arguments: Arguments of `critics.DotProductCritic` for "dot", of
            `critics.ConcatCritic` for "concat".

    Returns:
        The term, called "local" for the paper's pair and QUERY_CONTEXT otherwise.

    Raises:
        ValueError: Unknown critic or estimator, or an argument that this critic does not have.
    """
    name = "local" if (query, context) == ("global", "local") else f"{query}_{context}"
    return MutualInformation(
        critics.get(critic, **critic_arguments), estimator, weight, query, context, locations, name
    )


def global_mutual_information(
    critic: str, estimator: str, weight: float = 1.0, **critic_arguments: Any
) -> MutualInformation:
    """The term of DIM(G) (section 3.1): global feature and whole local map.

    Args:
        critic: A name of `critics.GLOBAL_NAMES`.
        estimator: A name of `estimators.NAMES`.
        weight: α.
        **critic_arguments: Arguments of `critics.DotProductCritic` except `whole_map` for "dot", of
            `critics.GlobalCritic` otherwise.

    Raises:
        ValueError: Unknown critic or estimator, or an argument that this critic does not have.
    """
    if critic == "dot":
        critic_arguments = {"whole_map": True, **critic_arguments}
    return MutualInformation(
        critics.get(critic, **critic_arguments), estimator, weight, name="global"
    )
