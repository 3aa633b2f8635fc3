"""Which layers of a functional Keras model output feature maps, read from its graph.

A map is an output [N, h, w, C] or tokens [N, T, C] in a square grid. Graphs are read through
Keras' nodes, because a layer may be called several times, in this model and in others.
"""

import math

import keras

_MAX_EXTRA_TOKENS = 8  # before the grid: a class token, one for distillation, registers
_MIN_LOCAL_SIDE = 7  # of the automatic local map, which has at least an eighth of the image's side
# Their outputs have borders or gaps without features.
_NO_FEATURES = (
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.UpSampling2D,
    keras.layers.InputLayer,
    keras.layers.Normalization,
    keras.layers.Rescaling,
)
_GLOBAL_POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)

Grid = tuple[int, int, int]  # height, width, channels


def functional(model: keras.Model) -> keras.Model:
    """The functional model of a model's layers; a Sequential itself is not functional."""
    if isinstance(model, keras.Sequential):
        return keras.Model(model.inputs, model.outputs, name=model.name)
    return model


def output_tensors(graph: keras.Model) -> dict[str, keras.KerasTensor]:
    """Outputs by name, of layers and operations called once and with one output, in graph order.

    An output is that of the call in this graph; `operation.output` would be that of its first call
    anywhere.
    """
    calls = _calls(graph)
    outputs = {
        operation.name: calls[operation.name][0].output_tensors
        for operation in graph.operations
        if not isinstance(operation, _NO_FEATURES) and len(calls[operation.name]) == 1
    }
    return {name: tensors[0] for name, tensors in outputs.items() if len(tensors) == 1}


def map_grids(
    graph: keras.Model, outputs: dict[str, keras.KerasTensor], image_shape: Grid
) -> dict[str, Grid]:
    """The grids of those outputs that are maps, by name, in the same order.

    Raises:
        ValueError: No output is a map.
    """
    images = keras.KerasTensor((None, *image_shape), graph.inputs[0].dtype)
    shapes = keras.Model(graph.inputs, outputs)(images) if outputs else {}
    grids = {name: _grid(x.shape) for name, x in shapes.items()}
    maps = {name: grid for name, grid in grids.items() if grid}
    if not maps:
        raise ValueError(f"no layer of {graph.name} has a map or tokens for an output")
    return maps


def find_local_layer(graph: keras.Model, maps: dict[str, Grid], image_shape: Grid) -> str:
    """The layer of the local map, chosen as `BackboneEncoder` does for "auto".

    Raises:
        ValueError: No map is large enough.
    """
    side = max(_MIN_LOCAL_SIDE, math.ceil(min(image_shape[:2]) / 8))
    large = [name for name, grid in maps.items() if min(grid[:2]) >= side]
    if not large:
        shapes = ", ".join(sorted({f"{h}x{w}" for h, w, _ in maps.values()}))
        inner = [layer.name for layer in graph.layers if isinstance(layer, keras.Model)]
        hint = f"; {_inner_model_hint(graph.name, inner[0])}" if inner else ""
        raise ValueError(
            f"no map of at least {side}x{side} locations for images of {image_shape[0]}x"
            f"{image_shape[1]} pixels: there are {shapes}; name a local_layer, or give larger "
            f"images{hint}"
        )
    return next((name for name in reversed(large) if _is_bottleneck(graph, name)), large[-1])


def check_layer(graph: keras.Model, name: str, maps: dict[str, Grid]) -> None:
    """Raises ValueError, with the reason, if `name` is not a key of `maps`."""
    if name in maps:
        return
    calls = len(_calls(graph).get(name, []))
    if calls > 1:
        raise ValueError(
            f"layer {name!r} of {graph.name} is called {calls} times, so its name does not say "
            f"which map; give one that is called once, of the last {', '.join(list(maps)[-8:])}"
        )
    inner = [
        layer.name
        for layer in graph.layers
        if isinstance(layer, keras.Model) and name in {x.name for x in layer._flatten_layers()}
    ]
    if inner and name != inner[0]:
        raise ValueError(
            f"{graph.name} has no layer {name!r}; {_inner_model_hint(graph.name, inner[0])}"
        )
    raise ValueError(
        f"{graph.name} has no layer {name!r} with a map; its last ones are "
        f"{', '.join(list(maps)[-8:])}"
    )


def map_layers(graph: keras.Model) -> list[keras.Layer]:
    """The layers whose outputs are maps of any size, or lead to a map."""
    depths = sorted(graph._nodes_by_depth, reverse=True)  # the images' depth is the largest
    nodes = [node for depth in depths for node in graph._nodes_by_depth[depth]]
    maps: set[int] = set()  # ids of tensors
    for node in nodes:
        from_map = any(id(x) in maps for x in node.input_tensors)
        if node.is_input or (from_map and not _removes_locations(node)):
            maps |= {id(x) for x in node.output_tensors}
    layers = {}
    for node in reversed(nodes):
        if any(id(x) in maps for x in node.output_tensors):
            maps |= {id(x) for x in node.input_tensors}  # for example, squeeze and excitation
            layers[id(node.operation)] = node.operation
    return [layer for layer in layers.values() if isinstance(layer, keras.Layer)]


def as_map(x, grid: Grid):
    """[N, h, w, C] unchanged, or tokens [N, T, C] as [N, h, w, C]."""
    if len(x.shape) == 4:
        return x
    height, width, channels = grid
    return keras.ops.reshape(x[:, x.shape[1] - height * width :], (-1, height, width, channels))


def _calls(graph) -> dict[str, list]:
    """The nodes of each operation in this graph; it may have others elsewhere."""
    calls: dict[str, list] = {}
    for nodes in graph._nodes_by_depth.values():
        for node in nodes:
            calls.setdefault(node.operation.name, []).append(node)
    return calls


def _grid(shape) -> Grid | None:
    """(height, width, channels) of a map, or of tokens in a square grid; None: neither."""
    if len(shape) == 4 and None not in shape[1:]:
        return (shape[1], shape[2], shape[3]) if min(shape[1:3]) > 1 else None
    if len(shape) == 3 and None not in shape[1:]:
        side = math.isqrt(shape[1])
        if side > 1 and shape[1] - side * side <= min(side, _MAX_EXTRA_TOKENS):
            return side, side, shape[2]
    return None


def _removes_locations(node) -> bool:
    """Whether an operation leaves no locations: global pooling, a class token, a dense layer."""
    if isinstance(node.operation, _GLOBAL_POOLING):
        return True
    locations = node.output_tensors[0].shape[1:-1]
    # keras.ops.mean and max, also over one location; their classes have no public names.
    is_mean_or_max = type(node.operation).__name__ in ("Mean", "Max")
    return not locations or (is_mean_or_max and set(locations) == {1})


def _is_bottleneck(graph, name) -> bool:
    """Whether every path from the images to the graph's output passes through a layer."""
    histories = [x._keras_history for x in graph.outputs]
    pending = [history.operation._inbound_nodes[history.node_index] for history in histories]
    visited = set()
    while pending:
        node = pending.pop()
        if node.operation.name == name or id(node) in visited:
            continue
        if node.is_input:
            return False
        visited.add(id(node))
        pending += node.parent_nodes
    return True


def _inner_model_hint(model: str, inner: str) -> str:
    return (
        f"layers inside of {inner!r}, a model in {model}, can be named in a file of its own: "
        f"model.get_layer({inner!r}).save({inner + '.keras'!r})"
    )
