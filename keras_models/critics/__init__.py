"""Critics T, which score pairs of a local and a global feature (Hjelm et al. 2019, appendix A)."""

import functools
from collections.abc import Callable

import keras

from keras_models.critics.fast import FastDotProductCritic, FastProjection
from keras_models.critics.pair_networks import ConcatCritic, GlobalCritic
from keras_models.critics.pairs import flatten_globals, shifted_negatives
from keras_models.critics.reference import DotProductCritic, NoisyIdentity, Projection
from keras_models.critics.scores import (
    ChunkedScores,
    PairScores,
    all_dot_products,
    drop_positives,
)

__all__ = [
    "DOT_PRODUCT",
    "GLOBAL_NAMES",
    "LOCAL_NAMES",
    "ChunkedScores",
    "ConcatCritic",
    "DotProductCritic",
    "FastDotProductCritic",
    "FastProjection",
    "GlobalCritic",
    "NoisyIdentity",
    "PairScores",
    "Projection",
    "all_dot_products",
    "drop_positives",
    "flatten_globals",
    "get",
    "shifted_negatives",
]

# The encode-and-dot-product critic: as in the paper, and the same with less work.
DOT_PRODUCT: dict[str, Callable[..., keras.Model]] = {
    "fast": FastDotProductCritic,
    "reference": DotProductCritic,
}
_CRITICS: dict[str, Callable[..., keras.Model]] = {
    "concat": ConcatCritic,
    "conv": GlobalCritic,
    "dense": functools.partial(GlobalCritic, filters=()),
}
LOCAL_NAMES = ("dot", "concat")
GLOBAL_NAMES = ("conv", "dense", "dot")


def get(name: str, /, *, implementation: str = "fast", **arguments) -> keras.Model:
    """The critic of that name: `critics.get("dot", units=512)`.

    Args:
        name: One of `LOCAL_NAMES`, critics of single locations, or of `GLOBAL_NAMES`, critics of
            whole maps ("dot" is one with `whole_map=True`).
        implementation: A key of `DOT_PRODUCT`, for "dot".
        **arguments: Arguments of the critic's constructor.

    Raises:
        ValueError: Unknown name or implementation.
    """
    critics = _CRITICS
    if name == "dot":
        critics, name = DOT_PRODUCT, implementation
    if name not in critics:
        expected = critics if critics is DOT_PRODUCT else ("dot", *critics)
        raise ValueError(f"unknown critic {name!r}; expected one of {', '.join(expected)}")
    return critics[name](**{"name": "critic", **arguments})
