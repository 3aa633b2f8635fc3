"""Critics T: they score pairs of a local and a global feature (Hjelm et al. 2019, appendix A)."""

import functools
from collections.abc import Callable

import keras

from keras_models.critics.dot_product import DotProductCritic, NoisyIdentity, Projection
from keras_models.critics.pair_networks import ConcatCritic, GlobalCritic
from keras_models.critics.pairs import flat_globals, following
from keras_models.critics.scores import (
    ChunkedScores,
    PairScores,
    all_dot_products,
    without_own,
)

__all__ = [
    "GLOBAL_NAMES",
    "LOCAL_NAMES",
    "ChunkedScores",
    "ConcatCritic",
    "DotProductCritic",
    "GlobalCritic",
    "NoisyIdentity",
    "PairScores",
    "Projection",
    "all_dot_products",
    "flat_globals",
    "following",
    "get",
    "without_own",
]

_CRITICS: dict[str, Callable[..., keras.Model]] = {
    "dot": DotProductCritic,
    "concat": ConcatCritic,
    "conv": GlobalCritic,
    "dense": functools.partial(GlobalCritic, filters=()),
}
LOCAL_NAMES = ("dot", "concat")
GLOBAL_NAMES = ("conv", "dense", "dot")


def get(name: str, /, **arguments) -> keras.Model:
    """Makes the critic of that name: `critics.get("dot", units=512)`.

    Args:
        name: of `LOCAL_NAMES`, critics of single places, or of `GLOBAL_NAMES`, critics of whole
            maps ("dot" is one with `whole_map=True`).
        **arguments: of its constructor.

    Raises:
        ValueError: unknown name.
    """
    if name not in _CRITICS:
        raise ValueError(f"unknown critic {name!r}; expected one of {', '.join(_CRITICS)}")
    return _CRITICS[name](**{"name": "critic", **arguments})
