"""Any Keras model as an encoder: the one that you will deploy, with pretrained weights or without.

Local features are a layer's output, as the paper takes them from an early convolution (Hjelm et al.
2019, section 3, https://arxiv.org/abs/1808.06670); the global feature is a head on the pooled
output, which "fc" names.
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import keras
import numpy as np

from keras_models.encoders.base import Encoder, serializable
from keras_models.nn import layers

AUTO = "auto"
BATCH_NORM = ("train", "frozen")
HEADS = ("linear", "mlp")
# (offset, scale) a channel, in RGB: the backbone is given (pixel - offset) / scale of pixels in
# 0..255. "torch" and "caffe" are those of keras.applications.imagenet_utils.preprocess_input.
INPUT_SCALINGS: dict[str, tuple[tuple[float, ...], tuple[float, ...]]] = {
    "-1..1": ((127.5,) * 3, (127.5,) * 3),
    "0..1": ((0.0,) * 3, (255.0,) * 3),
    "0..255": ((0.0,) * 3, (1.0,) * 3),
    "torch": ((123.675, 116.28, 103.53), (58.395, 57.12, 57.375)),
    "caffe": ((123.68, 116.779, 103.939), (1.0,) * 3),
}
_EXTRA_TOKENS = 8  # before the grid, at most: a class token, one for distillation, registers
_LEAST_SIDE = 7  # of the local map that "auto" takes, and an eighth of the image's
# Their outputs have borders or gaps that are no features.
_PADDING = (
    keras.layers.ZeroPadding2D,
    keras.layers.Cropping2D,
    keras.layers.UpSampling2D,
    keras.layers.InputLayer,
    keras.layers.Normalization,
    keras.layers.Rescaling,
)
_GLOBAL_POOLING = (keras.layers.GlobalAveragePooling2D, keras.layers.GlobalMaxPooling2D)
# Of a name scope of TensorFlow that is inside of another.
_SCOPE_NAME = re.compile(r"[A-Za-z0-9_.\\/>-]*")


@serializable
class BackboneEncoder(Encoder):
    """A Keras model whose layers can be named, with a head for the global feature.

    >>> backbone = keras.applications.MobileNetV3Small(
    ...     (96, 96, 3), include_top=False, weights=None, include_preprocessing=False)
    >>> encoder = BackboneEncoder(backbone, latent_dim=64, input_scaling="-1..1")
    >>> encoder.build()
    >>> encoder.endpoint_shapes()["local"][1:3], encoder.endpoint_shapes()["global"]
    ((12, 12), (None, 64))

    Endpoints: "local", the map of `local_layer`; "conv", that of `conv_layer`; "fc", the mean of
    "conv" over its locations; "global", the head's output.

    A transformer's tokens [N, T, C] are folded into their g x g grid; up to 8 tokens before them,
    and no more than g, are left out: a class token, registers.

    Args:
        backbone: a functional model (also a subclass that is one, as keras_hub's) or a Sequential
            with `keras.Input`, with one image as input, channels last, without a classification
            layer. Its weights are kept. It is not copied: `batch_norm` and `synchronized` are set
            on its own layers, and those on which neither endpoint depends are made untrainable. A
            model that it calls as a layer is one layer.
        latent_dim: D, units of the global feature.
        local_layer: name of the layer whose output is the local map; "auto": of those whose map
            has at least 7 locations a side and at least an eighth of the image's pixels a side, the
            last on which all that follows depends (so not one inside of a residual block), else the
            last of them.
        conv_layer: name of the layer whose output is "conv"; "auto": the last one that has a map.
        head: "linear", the paper's; or "mlp": dense as wide as "fc", batch norm, ReLU before it.
        input_scaling: what the backbone is given of images in [-1, 1]: a key of `INPUT_SCALINGS`,
            or (offset, scale), numbers or one a channel, for (pixel - offset) / scale of pixels in
            0..255. "caffe" turns RGB into BGR. A backbone that takes whole numbers takes "0..255"
            alone; pixels are then rounded.
        batch_norm: "train"; or "frozen": the backbone's keep their statistics, scales and offsets.
        synchronized: whether the backbone's batch norms take their statistics over all replicas.
        image_shape: (height, width, channels); None: the backbone's input shape.

    Raises:
        ValueError: an argument that is none of these, no such layer, a layer without a map, or a
            backbone of another kind.
    """

    def __init__(
        self,
        backbone: keras.Model,
        latent_dim: int = 64,
        local_layer: str = AUTO,
        conv_layer: str = AUTO,
        head: str = "linear",
        input_scaling: str | Sequence = "-1..1",
        batch_norm: str = "train",
        synchronized: bool = False,
        image_shape: Sequence[int] | None = None,
        **kwargs,
    ):
        image_shape = _image_shape(backbone, image_shape)
        super().__init__(image_shape, latent_dim, synchronized, **kwargs)
        _check_one_of("head", head, HEADS)
        _check_one_of("batch_norm", batch_norm, BATCH_NORM)
        _check_names(backbone)
        self.backbone = backbone
        self.latent_dim = latent_dim
        self.head = head
        self._offset, self._scale = _scaling(input_scaling, image_shape[-1])
        self.input_scaling = (
            input_scaling if isinstance(input_scaling, str) else _as_lists(input_scaling)
        )
        self._whole_numbers = _whole_numbers(backbone, self._offset, self._scale)
        self.batch_norm = batch_norm
        graph = _graph(backbone)
        outputs = _outputs(graph)
        maps = _maps(graph, outputs, image_shape)
        self.local_layer = (
            _local_layer(graph, maps, image_shape) if local_layer == AUTO else local_layer
        )
        self.conv_layer = next(reversed(maps)) if conv_layer == AUTO else conv_layer
        for argument in (self.local_layer, self.conv_layer):
            _check_layer(graph, argument, maps)
        self._maps = keras.Model(
            graph.inputs,
            [outputs[name] for name in (self.local_layer, self.conv_layer)],
            name="maps",
        )
        used = {id(layer) for layer in self._maps.layers}
        self._cut_off = sum(
            math.prod(v.shape)
            for layer in _layers_of_maps(graph)
            for v in layer.weights
            if id(layer) not in used
        )
        self._still = _numbers_of_still_layers(self._maps)
        _freeze_others(graph, used)
        for norm in _batch_norms(self._maps):
            norm.synchronized = synchronized
            norm.trainable = norm.trainable and batch_norm == "train"
        # Of the layers of a backbone that stands still, by their id.
        self._trainable_before: dict[int, bool] = {}
        self._grids = [maps[name] for name in (self.local_layer, self.conv_layer)]
        self.hidden = None
        if head == "mlp":
            units = self._grids[1][2]
            self.hidden = layers.Dense(units, use_bias=False, name="hidden")
            self.hidden_norm = layers.batch_norm(synchronized, "hidden_norm")
        self.projection = layers.Dense(latent_dim, name="global")

    @property
    def endpoint_names(self):
        return ("local", "conv", "fc", "global")

    def build(self, input_shape=None):
        shape = (None, self._grids[1][2])
        if self.hidden:
            self.hidden.build(shape)
            self.hidden_norm.build(shape)
        self.projection.build(shape)
        self.built = True

    def encode(self, images, training, random):
        return self._encode(self._scaled(images, 127.5, 127.5), training)

    def encode_unit_range(self, images, training=False):
        # One multiplication and one addition, not two: TFLite rounds to int8 after each.
        return self._encode(self._scaled(images, 255.0, 0.0), training)

    def _encode(self, images, training):
        """The endpoints of images as the backbone takes them."""
        # What stands still computes as in inference: no dropout, and no layer updates weights of
        # its own, as spectral normalization does.
        moves = training and not self._trainable_before
        local, conv = self._maps(images, training=moves)
        local, conv = (_as_map(x, grid) for x, grid in zip((local, conv), self._grids, strict=True))
        pooled = keras.ops.mean(conv, axis=(1, 2))
        x = pooled
        if self.hidden:
            x = keras.ops.relu(self.hidden_norm(self.hidden(x), training=training))
        return {"local": local, "conv": conv, "fc": pooled, "global": self.projection(x)}

    @property
    def endpoint_layers(self) -> dict[str, tuple[str, tuple[int, int, int]]]:
        """Of "local" and "conv": the layer's name and (height, width, channels) of its map."""
        names = {"local": self.local_layer, "conv": self.conv_layer}
        grids = zip(names.items(), self._grids, strict=True)
        return {endpoint: (name, grid) for (endpoint, name), grid in grids}

    @property
    def unused_weights(self) -> int:
        """How many numbers of the backbone's layers of maps no endpoint depends on.

        Layers after a global pooling or on flat features, as a classifier's, do not count.
        """
        return self._cut_off

    @property
    def frozen_weights(self) -> int:
        """How many numbers an endpoint depends on that are of layers with trainable=False.

        The backbone came with them so. Those of batch norms do not count.
        """
        return self._still

    @property
    def backbone_variables(self):
        return list(self.backbone.variables)

    def set_backbone_trainable(self, trainable):
        if trainable is not bool(self._trainable_before):
            return
        layers_ = list(self.backbone._flatten_layers())  # those that hold others come before them
        if trainable:
            for layer in layers_:
                layer.trainable = self._trainable_before[id(layer)]
            self._trainable_before = {}
        else:
            self._trainable_before = {id(layer): layer.trainable for layer in layers_}
            self.backbone.trainable = False

    def freeze_above(self, endpoint):
        if endpoint != "global":
            self.projection.trainable = False
            if self.hidden:
                self.hidden.trainable = self.hidden_norm.trainable = False
        if endpoint == "local":
            below = keras.Model(self._maps.inputs, self._maps.outputs[0])
            _freeze_others(self._maps, {id(layer) for layer in below.layers})

    def _scaled(self, images, factor, shift):
        """Images as the backbone takes them; images * factor + shift are pixels in 0..255."""
        x = keras.ops.cast(images, "float32") * (factor / self._scale)
        x = x + (shift - self._offset) / self._scale
        x = x[..., ::-1] if self.input_scaling == "caffe" else x
        if self._whole_numbers:
            return keras.ops.cast(keras.ops.round(x), self._whole_numbers)
        return keras.ops.cast(x, self.compute_dtype)

    def get_config(self):
        stands_still = bool(self._trainable_before)
        self.set_backbone_trainable(True)  # else a copy's would stand still for ever
        config = self._config()
        self.set_backbone_trainable(not stands_still)
        return config

    def _config(self):
        return {
            "name": self.name,
            "backbone": keras.saving.serialize_keras_object(self.backbone),
            "latent_dim": self.latent_dim,
            "local_layer": self.local_layer,
            "conv_layer": self.conv_layer,
            "head": self.head,
            "input_scaling": self.input_scaling,
            "batch_norm": self.batch_norm,
            "synchronized": self.synchronized,
            "image_shape": list(self.image_shape),
        }

    @classmethod
    def from_config(cls, config):
        backbone = keras.saving.deserialize_keras_object(config["backbone"])
        return cls(**{**config, "backbone": backbone})


def _image_shape(backbone, wanted) -> tuple[int, int, int]:
    if not getattr(backbone, "inputs", None):
        raise ValueError(
            f"{getattr(backbone, 'name', backbone)} is no functional Keras model, whose layers "
            "could be read; build it from keras.Input, or give its functional part"
        )
    if len(backbone.inputs) != 1 or len(backbone.inputs[0].shape) != 4:
        shapes = ", ".join(str(x.shape) for x in backbone.inputs)
        raise ValueError(
            f"{backbone.name} takes inputs of shape {shapes}; one of images [N, height, width, "
            "channels] is expected"
        )
    batch, *own = backbone.inputs[0].shape
    if batch is not None:
        raise ValueError(
            f"{backbone.name} takes batches of {batch} images; build it for any number of them, "
            "from keras.Input without batch_size"
        )
    shape = tuple(own if wanted is None else wanted)
    if None in shape:
        raise ValueError(
            f"{backbone.name} takes images of any size; give image_shape=(height, width, channels)"
        )
    if any(size not in (None, asked) for size, asked in zip(own, shape, strict=True)):
        flag = f"--image_size={own[0]}, in Python " if own[0] and own[0] == own[1] else ""
        raise ValueError(
            f"{backbone.name} takes images of {_described(own)}, not of {_described(shape)}: give "
            f"{flag}image_shape={tuple(own)}, or make the model for other images"
        )
    return shape


def _described(shape) -> str:
    height, width, channels = ("any" if size is None else size for size in shape)
    return f"{height}x{width} pixels and {channels} channel{'s' * (channels != 1)}"


def _check_names(backbone):
    for layer in backbone._flatten_layers(include_self=False):  # itself it is not called
        if not _SCOPE_NAME.fullmatch(layer.name):
            raise ValueError(
                f"TensorFlow takes no layer of the name {layer.name!r}; build the model with names "
                "of Latin letters, digits and . _ - alone"
            )


def _scaling(scaling, channels):
    """Offset and scale, float32 [1] or [channels]."""
    if isinstance(scaling, str):
        _check_one_of("input_scaling", scaling, tuple(INPUT_SCALINGS))
        if channels not in (1, 3):
            raise ValueError(
                f"input_scaling {scaling!r} is for images of 1 or 3 channels, not {channels}; give "
                "(offset, scale)"
            )
        scaling = [numbers[:channels] for numbers in INPUT_SCALINGS[scaling]]
    try:
        offset, scale = (np.ravel(np.array(numbers, np.float64)) for numbers in scaling)
    except (TypeError, ValueError) as error:
        raise ValueError(
            f"input_scaling {scaling!r}; expected (offset, scale) in numbers"
        ) from error
    for numbers in (offset, scale):
        if len(numbers) not in (1, channels):
            raise ValueError(
                f"input_scaling {scaling}; expected a number or {channels}, one a channel"
            )
    if (scale == 0).any():
        raise ValueError(f"input_scaling {scaling}; a scale of 0 divides by nothing")
    with np.errstate(all="ignore"):
        offset, scale = offset.astype(np.float32), scale.astype(np.float32)
        scaled = [(pixel - offset) / scale for pixel in (np.float32(0), np.float32(255))]
    if not np.isfinite([*offset, *scale, *np.ravel(scaled)]).all():
        raise ValueError(f"input_scaling {scaling}; expected finite numbers that fit into float32")
    return offset, scale


def _as_lists(scaling):
    """(offset, scale) as JSON has it."""
    return [np.array(numbers, np.float64).tolist() for numbers in scaling]


def _whole_numbers(backbone, offset, scale) -> str | None:
    """The dtype of pixels that the backbone takes, if it has no fractions."""
    dtype = backbone.inputs[0].dtype
    if keras.backend.is_float_dtype(dtype):
        return None
    if not keras.backend.is_int_dtype(dtype) or np.iinfo(dtype).max < 255:
        raise ValueError(
            f"{backbone.name} takes {dtype}, which does not hold pixels of 0..255; build it from "
            "keras.Input of floating-point numbers"
        )
    if offset.any() or (scale != 1).any():
        raise ValueError(
            f"{backbone.name} takes whole numbers ({dtype}), so pixels of 0..255 alone; give "
            "input_scaling 0..255"
        )
    return dtype


def _graph(backbone):
    """The functional model of its layers, which a Sequential is not itself."""
    if isinstance(backbone, keras.Sequential):
        return keras.Model(backbone.inputs, backbone.outputs, name=backbone.name)
    return backbone


def _calls(graph) -> dict[str, list]:
    """The calls of each operation in the graph; it may have been called in others."""
    calls: dict[str, list] = {}
    for nodes in graph._nodes_by_depth.values():
        for node in nodes:
            calls.setdefault(node.operation.name, []).append(node)
    return calls


def _outputs(graph) -> dict[str, keras.KerasTensor]:
    """The output of each layer, sum or the like that is called once and has one, in their order.

    That of its call in this graph; `output` of an operation is that of its first call anywhere.
    """
    calls = _calls(graph)
    outputs = {
        operation.name: calls[operation.name][0].output_tensors
        for operation in graph.operations
        if not isinstance(operation, _PADDING) and len(calls[operation.name]) == 1
    }
    return {name: tensors[0] for name, tensors in outputs.items() if len(tensors) == 1}


def _maps(graph, outputs, image_shape) -> dict[str, tuple[int, int, int]]:
    """Operations whose outputs are maps: name -> (height, width, channels), in their order."""
    images = keras.KerasTensor((None, *image_shape), graph.inputs[0].dtype)
    shapes = keras.Model(graph.inputs, outputs)(images) if outputs else {}
    grids = {name: _grid(x.shape) for name, x in shapes.items()}
    maps = {name: grid for name, grid in grids.items() if grid}
    if not maps:
        raise ValueError(f"no layer of {graph.name} has a map or tokens for an output")
    return maps


def _layers_of_maps(graph) -> list[keras.Layer]:
    """Layers whose outputs are maps, whatever their size, or lead to one."""
    depths = sorted(graph._nodes_by_depth, reverse=True)  # the images' is the largest
    nodes = [node for depth in depths for node in graph._nodes_by_depth[depth]]
    maps: set[int] = set()  # ids of tensors
    for node in nodes:
        of_maps = any(id(x) in maps for x in node.input_tensors)
        if node.is_input or (of_maps and not _pools(node)):
            maps |= {id(x) for x in node.output_tensors}
    layers_ = {}
    for node in reversed(nodes):
        if any(id(x) in maps for x in node.output_tensors):
            maps |= {id(x) for x in node.input_tensors}  # as of squeeze and excitation
            layers_[id(node.operation)] = node.operation
    return [one for one in layers_.values() if isinstance(one, keras.Layer)]


def _numbers_of_still_layers(model) -> int:
    still = {
        id(variable): math.prod(variable.shape)
        for layer in model._flatten_layers(include_self=False)
        if not (layer.trainable or isinstance(layer, keras.layers.BatchNormalization))
        for variable in layer.weights
    }
    return sum(still.values())


def _pools(node) -> bool:
    """Whether an operation leaves no locations: a global pooling, a class token, a dense layer."""
    if isinstance(node.operation, _GLOBAL_POOLING):
        return True
    places = node.output_tensors[0].shape[1:-1]
    # keras.ops.mean and max, whose classes have no public names; of one location, too.
    return not places or (type(node.operation).__name__ in ("Mean", "Max") and set(places) == {1})


def _freeze_others(model, used: set[int]):
    """Makes layers untrainable whose ids are not among the used ones."""
    for layer in model.layers:
        if id(layer) not in used:
            layer.trainable = False


def _grid(shape) -> tuple[int, int, int] | None:
    """(height, width, channels) of a map or of tokens in a square grid; None: neither."""
    if len(shape) == 4 and None not in shape[1:]:
        return (shape[1], shape[2], shape[3]) if min(shape[1:3]) > 1 else None
    if len(shape) == 3 and None not in shape[1:]:
        side = math.isqrt(shape[1])
        if side > 1 and shape[1] - side * side <= min(side, _EXTRA_TOKENS):
            return side, side, shape[2]
    return None


def _as_map(x, grid):
    """[N, h, w, C], or tokens [N, T, C] -> [N, h, w, C]."""
    if len(x.shape) == 4:
        return x
    height, width, channels = grid
    return keras.ops.reshape(x[:, x.shape[1] - height * width :], (-1, height, width, channels))


def _local_layer(graph, maps, image_shape):
    least = max(_LEAST_SIDE, math.ceil(min(image_shape[:2]) / 8))
    large = [name for name, grid in maps.items() if min(grid[:2]) >= least]
    if not large:
        shapes = ", ".join(sorted({f"{h}x{w}" for h, w, _ in maps.values()}))
        inner = [layer.name for layer in graph.layers if isinstance(layer, keras.Model)]
        hint = f"; {_of_inner(graph.name, inner[0])}" if inner else ""
        raise ValueError(
            f"no map of at least {least}x{least} locations for images of {image_shape[0]}x"
            f"{image_shape[1]} pixels: there are {shapes}; name a local_layer, or give larger "
            f"images{hint}"
        )
    return next((name for name in reversed(large) if _is_passed_by_all(graph, name)), large[-1])


def _of_inner(model: str, inner: str) -> str:
    return (
        f"layers inside of {inner!r}, a model in {model}, can be named in a file of its own: "
        f"model.get_layer({inner!r}).save({inner + '.keras'!r})"
    )


def _is_passed_by_all(graph, name) -> bool:
    """Whether every way from the images to the graph's output leads through a layer."""
    histories = [x._keras_history for x in graph.outputs]
    waiting = [one.operation._inbound_nodes[one.node_index] for one in histories]
    seen = set()
    while waiting:
        node = waiting.pop()
        if node.operation.name == name or id(node) in seen:
            continue
        if node.is_input:
            return False
        seen.add(id(node))
        waiting += node.parent_nodes
    return True


def _check_layer(graph, name, maps):
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
        raise ValueError(f"{graph.name} has no layer {name!r}; {_of_inner(graph.name, inner[0])}")
    raise ValueError(
        f"{graph.name} has no layer {name!r} with a map; its last ones are "
        f"{', '.join(list(maps)[-8:])}"
    )


def _check_one_of(argument: str, value: Any, allowed: Sequence[str]):
    if value not in allowed:
        raise ValueError(f"{argument} {value!r}; expected one of {', '.join(allowed)}")


def _batch_norms(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
