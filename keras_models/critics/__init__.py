"""Critics T: they score pairs of a local and a global feature (Hjelm et al. 2019, appendix A)."""

import functools
from collections.abc import Callable

import keras

from keras_models.critics.fast import FastDotProductCritic, FastProjection
from keras_models.critics.pair_networks import ConcatCritic, GlobalCritic
from keras_models.critics.pairs import flat_globals, following
from keras_models.critics.reference import DotProductCritic, NoisyIdentity, Projection
from keras_models.critics.scores import (
    ChunkedScores,
    PairScores,
    all_dot_products,
    without_own,
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
    "flat_globals",
    "following",
    "get",
    "without_own",
]

# The encode-and-dot-product critic as the paper has it, and with less work.
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
    """Makes the critic of that name: `critics.get("dot", units=512)`.

    Args:
        name: of `LOCAL_NAMES`, critics of single places, or of `GLOBAL_NAMES`, critics of whole
            maps ("dot" is one with `whole_map=True`).
        implementation: of "dot", a name of `DOT_PRODUCT`.
        **arguments: of its constructor.

    Raises:
        ValueError: unknown name or implementation.
    """
    critics = _CRITICS
    if name == "dot":
        critics, name = DOT_PRODUCT, implementation
    if name not in critics:
        expected = critics if critics is DOT_PRODUCT else ("dot", *critics)
        raise ValueError(f"unknown critic {name!r}; expected one of {', '.join(expected)}")
    return critics[name](**{"name": "critic", **arguments})
