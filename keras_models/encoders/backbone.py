"""Any Keras model as an encoder: the one that you will deploy, with pretrained weights or without.

Local features are a layer's output, as the paper takes them from an early convolution (Hjelm et al.
2019, section 3, https://arxiv.org/abs/1808.06670); the global feature is a head on the pooled
output, which "fc" names.
"""

import math
from collections.abc import Sequence
from typing import Any

import keras
import tensorflow as tf

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

    A transformer's tokens [N, T, C] are folded into their g x g grid; a class token before them is
    left out.

    Args:
        backbone: a functional model (also a subclass that is one, as keras_hub's) with one image as
            input, channels last, without a classification layer. Its weights are kept. It is not
            copied: `batch_norm` and `synchronized` are set on its own layers, and those on which
            neither endpoint depends are made untrainable.
        latent_dim: D, units of the global feature.
        local_layer: name of the layer whose output is the local map; "auto": of those whose map
            has at least 7 locations a side and at least an eighth of the image's pixels a side, the
            last on which all that follows depends (so not one inside of a residual block), else the
            last of them.
        conv_layer: name of the layer whose output is "conv"; "auto": the last one that has a map.
        head: "linear", the paper's; or "mlp": dense as wide as "fc", batch norm, ReLU before it.
        input_scaling: what the backbone is given of images in [-1, 1]: a key of `INPUT_SCALINGS`,
            or (offset, scale), numbers or one a channel, for (pixel - offset) / scale of pixels in
            0..255. "caffe" turns RGB into BGR.
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
        self.backbone = backbone
        self.latent_dim = latent_dim
        self.head = head
        self.input_scaling = (
            input_scaling if isinstance(input_scaling, str) else _as_lists(input_scaling)
        )
        self.batch_norm = batch_norm
        self._offset, self._scale = _scaling(input_scaling, image_shape[-1])
        maps = _maps(backbone, image_shape)
        self.local_layer = (
            _local_layer(backbone, maps, image_shape) if local_layer == AUTO else local_layer
        )
        self.conv_layer = next(reversed(maps)) if conv_layer == AUTO else conv_layer
        for argument in (self.local_layer, self.conv_layer):
            _check_layer(backbone, argument, maps)
        operations = _operations(backbone)
        self._maps = keras.Model(
            backbone.inputs,
            [operations[name].output for name in (self.local_layer, self.conv_layer)],
            name="maps",
        )
        used = {id(layer) for layer in self._maps.layers}
        for layer in backbone.layers:
            layer.trainable = layer.trainable and id(layer) in used
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

    def encode_unit(self, images, training=False):
        # One multiplication and one addition, not two: TFLite rounds to int8 after each.
        return self._encode(self._scaled(images, 255.0, 0.0), training)

    def _encode(self, images, training):
        """The endpoints of images as the backbone takes them."""
        local, conv = self._maps(images, training=training)
        local, conv = (_as_map(x, grid) for x, grid in zip((local, conv), self._grids, strict=True))
        pooled = keras.ops.mean(conv, axis=(1, 2))
        x = pooled
        if self.hidden:
            x = keras.ops.relu(self.hidden_norm(self.hidden(x), training=training))
        return {"local": local, "conv": conv, "fc": pooled, "global": self.projection(x)}

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
            used = {id(layer) for layer in below.layers}
            for layer in self._maps.layers:
                layer.trainable = layer.trainable and id(layer) in used

    def _scaled(self, images, factor, shift):
        """Images as the backbone takes them; images * factor + shift are pixels in 0..255."""
        x = keras.ops.cast(images, "float32") * (factor / self._scale)
        x = x + (shift - self._offset) / self._scale
        x = x[..., ::-1] if self.input_scaling == "caffe" else x
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
    own = backbone.inputs[0].shape[1:]
    shape = tuple(own if wanted is None else wanted)
    if None in shape:
        raise ValueError(
            f"{backbone.name} takes images of any size; give image_shape=(height, width, channels)"
        )
    if any(size not in (None, asked) for size, asked in zip(own, shape, strict=True)):
        raise ValueError(
            f"{backbone.name} takes images of shape {own}, not {shape}; make the backbone for "
            "that shape, or give image_shape as it has it"
        )
    return shape


def _scaling(scaling, channels):
    """Offset and scale, float32 [1] or [channels]."""
    if isinstance(scaling, str):
        _check_one_of("input_scaling", scaling, tuple(INPUT_SCALINGS))
        scaling = [numbers[:channels] for numbers in INPUT_SCALINGS[scaling]]
    elif len(scaling) != 2:
        raise ValueError(f"input_scaling {scaling}; expected (offset, scale)")
    offset, scale = (
        tf.reshape(tf.constant(numbers, tf.float32), [-1]).numpy() for numbers in scaling
    )
    for numbers in (offset, scale):
        if len(numbers) not in (1, channels):
            raise ValueError(
                f"input_scaling {scaling}; expected a number or {channels}, one a channel"
            )
    if (scale == 0).any():
        raise ValueError(f"input_scaling {scaling}; a scale of 0 divides by nothing")
    return offset, scale


def _as_lists(scaling):
    """(offset, scale) as JSON has it."""
    return [list(x) if isinstance(x, Sequence) else float(x) for x in scaling]


def _maps(backbone, image_shape) -> dict[str, tuple[int, int, int]]:
    """Operations whose outputs are maps: name -> (height, width, channels), in their order."""
    images = keras.KerasTensor((None, *image_shape))
    outputs = {name: one.output for name, one in _operations(backbone).items()}
    shapes = keras.Model(backbone.inputs, outputs)(images)
    grids = {name: _grid(x.shape) for name, x in shapes.items()}
    maps = {name: grid for name, grid in grids.items() if grid}
    if not maps:
        raise ValueError(f"no layer of {backbone.name} has a map or tokens for an output")
    return maps


def _operations(backbone) -> dict[str, Any]:
    """Layers with one output, and sums and the like between them, by their names."""
    return {
        one.name: one
        for one in backbone.operations
        if not isinstance(one, _PADDING) and _has_one_output(one)
    }


def _has_one_output(operation):
    try:
        return isinstance(operation.output, keras.KerasTensor)
    except (AttributeError, ValueError):  # called several times, or never
        return False


def _grid(shape) -> tuple[int, int, int] | None:
    """(height, width, channels) of a map or of tokens in a square grid; None: neither."""
    if len(shape) == 4 and None not in shape[1:]:
        return (shape[1], shape[2], shape[3]) if min(shape[1:3]) > 1 else None
    if len(shape) == 3 and None not in shape[1:]:
        for tokens in (shape[1], shape[1] - 1):  # with a class token before them
            side = math.isqrt(max(tokens, 0))
            if side > 1 and side * side == tokens:
                return side, side, shape[2]
    return None


def _as_map(x, grid):
    """[N, h, w, C], or tokens [N, T, C] -> [N, h, w, C]."""
    if len(x.shape) == 4:
        return x
    height, width, channels = grid
    return keras.ops.reshape(x[:, x.shape[1] - height * width :], (-1, height, width, channels))


def _local_layer(backbone, maps, image_shape):
    least = max(_LEAST_SIDE, math.ceil(min(image_shape[:2]) / 8))
    large = [name for name, grid in maps.items() if min(grid[:2]) >= least]
    if not large:
        shapes = ", ".join(sorted({f"{h}x{w}" for h, w, _ in maps.values()}))
        raise ValueError(
            f"no map of at least {least}x{least} locations for images of {image_shape[0]}x"
            f"{image_shape[1]} pixels: there are {shapes}; give local_layer, or larger images"
        )
    return next((name for name in reversed(large) if _is_passed_by_all(backbone, name)), large[-1])


def _is_passed_by_all(backbone, name) -> bool:
    """Whether every way from the images to the backbone's output leads through a layer."""
    waiting = [x._keras_history.operation for x in backbone.outputs]
    images = backbone.inputs[0]._keras_history.operation
    seen = set()
    while waiting:
        operation = waiting.pop()
        if operation.name == name or id(operation) in seen:
            continue
        if operation is images:
            return False
        seen.add(id(operation))
        for node in operation._inbound_nodes:
            waiting += [parent.operation for parent in node.parent_nodes]
    return True


def _check_layer(backbone, name, maps):
    if name not in maps:
        raise ValueError(
            f"{backbone.name} has no layer {name!r} with a map; its last ones are "
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
