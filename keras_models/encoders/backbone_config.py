"""The architecture of a Keras model as JSON, rebuilt under another precision policy."""

from collections import Counter
from collections.abc import Iterator
from typing import Any

import keras

_POLICY = "DTypePolicy"


def serialize(model: keras.Model) -> dict[str, Any]:
    """Everything about a Keras model except its weights, ready for JSON."""
    return keras.saving.serialize_keras_object(model)


def deserialize(config: dict[str, Any]) -> Any:
    """A Keras model or layer with new random weights, which computes under Keras' current policy.

    Args:
        config: Result of `serialize`, under any policy. Layers whose policy is not that of most
            layers keep theirs. Seeds of initial weights are ignored: the weights are drawn anew.
    """
    policies = Counter(policy["config"]["name"] for policy in _configs_of_class(config, _POLICY))
    usual = policies.most_common(1)[0][0] if policies else None
    config = _replaced(config, usual, keras.config.dtype_policy().name)
    return keras.saving.deserialize_keras_object(config, safe_mode=True)


def _configs_of_class(config: Any, class_name: str) -> Iterator[dict]:
    if isinstance(config, dict):
        if config.get("class_name") == class_name:
            yield config
        for inner in config.values():
            yield from _configs_of_class(inner, class_name)
    elif isinstance(config, list | tuple):
        for inner in config:
            yield from _configs_of_class(inner, class_name)


def _replaced(config: Any, usual: str | None, policy: str) -> Any:
    """A copy of a config with `policy` in place of `usual`, without seeds of initial weights."""
    if isinstance(config, list | tuple):
        return [_replaced(inner, usual, policy) for inner in config]
    if not isinstance(config, dict):
        return config
    copy = {key: _replaced(inner, usual, policy) for key, inner in config.items()}
    if copy.get("class_name") == _POLICY and copy["config"]["name"] == usual:
        copy["config"]["name"] = policy
    if copy.get("module") == "keras.initializers" and copy["config"].get("seed") is not None:
        copy["config"]["seed"] = None
    return copy
