"""The content of a SavedModel's assets: names of the labels, signatures."""

from collections.abc import Iterable

import tensorflow as tf


def label_lines(names: Iterable[str]) -> str:
    """One name per line; line ends within a name, which a folder's name may have, become spaces."""
    return "".join(" ".join(name.splitlines()) + "\n" for name in names)


def describe_signature(
    signature: tf.types.experimental.ConcreteFunction,
) -> dict[str, dict[str, str]]:
    """{"inputs": {"images": "float32 [N, 32, 32, 3]"}, "outputs": {...}} of a signature."""

    def tensor(spec):
        shape = ", ".join("N" if size is None else str(size) for size in spec.shape)
        return f"{spec.dtype.name} [{shape}]"

    inputs = {spec.name: tensor(spec) for spec in signature.structured_input_signature[0]}
    outputs = {name: tensor(x) for name, x in signature.structured_outputs.items()}
    return {"inputs": inputs, "outputs": outputs}
