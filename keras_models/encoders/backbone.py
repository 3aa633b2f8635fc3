"""Any Keras model as an encoder: the model that you will deploy, pretrained or not.

Local features are a layer's output, as the paper takes them from an early convolution (Hjelm et al.
2019, section 3, https://arxiv.org/abs/1808.06670); the global feature is a head on the pooled
output, the endpoint "fc".
"""

import math
import re
from collections.abc import Sequence
from typing import Any

import keras

from keras_models.encoders import feature_maps, input_scaling
from keras_models.encoders.base import Encoder, serializable
from keras_models.nn import layers

AUTO = "auto"
BATCH_NORM = ("train", "frozen")
HEADS = ("linear", "mlp")
# Valid names of TensorFlow's nested name scopes.
_SCOPE_NAME = re.compile(r"[A-Za-z0-9_.\\/>-]*")


@serializable
class BackboneEncoder(Encoder):
    """A Keras model whose layers have names, with a head for the global feature.

    >>> backbone = keras.applications.MobileNetV3Small(
    ...     (96, 96, 3), include_top=False, weights=None, include_preprocessing=False)
    >>> encoder = BackboneEncoder(backbone, latent_dim=64, input_scaling="-1..1")
    >>> encoder.build()
    >>> encoder.endpoint_shapes()["local"][1:3], encoder.endpoint_shapes()["global"]
    ((12, 12), (None, 64))

    Endpoints: "local", the map of `local_layer`; "conv", the map of `conv_layer`; "fc", the mean of
    "conv" over its locations; "global", the head's output.

    A transformer's tokens [N, T, C] are folded into their g x g grid, without up to min(8, g)
    tokens before it (a class token, registers).

    Args:
        backbone: A functional model (or a functional subclass, as in KerasHub), or a Sequential
            with `keras.Input`. It takes one image, channels last, and has no classification layer.
            It keeps its weights. It is not copied: `batch_norm` and `synchronized` are set on its
            layers, and layers on which no endpoint depends become untrainable. A model called as a
            layer counts as one layer.
        latent_dim: D, units of the global feature.
        local_layer: Name of the layer whose output is the local map. "auto" takes a layer whose map
            has at least 7 locations a side and at least an eighth of the image's side: the last one
            on which everything after it depends (so not inside a residual block), or else the last
            one.
        conv_layer: Name of the layer whose output is "conv"; "auto": the last layer with a map.
        head: "linear", as in the paper; or "mlp", with a dense layer as wide as "fc", batch norm
            and ReLU before it.
        input_scaling: The pixel values that the backbone takes: a key of `INPUT_SCALINGS`, or
            (offset, scale), numbers or one per channel, for (pixel - offset) / scale of pixels in
            0..255. "caffe" also turns RGB into BGR. A backbone with integer inputs takes only
            "0..255", and gets rounded pixels.
        batch_norm: "train"; or "frozen": the backbone's batch norms keep their statistics, scales
            and offsets.
        synchronized: Whether the backbone's batch norms take their statistics over all replicas.
        image_shape: (height, width, channels); None: the backbone's input shape.

    Raises:
        ValueError: An argument is invalid, a layer is unknown or has no map, or the backbone is of
            another kind.
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
        _check_layer_names(backbone)
        self.backbone = backbone
        self.latent_dim = latent_dim
        self.head = head
        self._set_input_scaling(input_scaling)
        self.batch_norm = batch_norm
        graph = feature_maps.functional(backbone)
        outputs = feature_maps.output_tensors(graph)
        maps = feature_maps.map_grids(graph, outputs, image_shape)
        self.local_layer = (
            feature_maps.find_local_layer(graph, maps, image_shape)
            if local_layer == AUTO
            else local_layer
        )
        self.conv_layer = next(reversed(maps)) if conv_layer == AUTO else conv_layer
        for name in (self.local_layer, self.conv_layer):
            feature_maps.check_layer(graph, name, maps)
        self._maps = keras.Model(
            graph.inputs,
            [outputs[name] for name in (self.local_layer, self.conv_layer)],
            name="maps",
        )
        used = {id(layer) for layer in self._maps.layers}
        self._unused_weights = sum(
            math.prod(v.shape)
            for layer in feature_maps.map_layers(graph)
            for v in layer.weights
            if id(layer) not in used
        )
        self._frozen_weights = _count_frozen_weights(self._maps)
        _freeze_all_but(used, graph)
        for norm in _batch_norms(self._maps):
            norm.synchronized = synchronized
            norm.trainable = norm.trainable and batch_norm == "train"
        # `trainable` of each layer of a frozen backbone before it was frozen, by id.
        self._trainable_before: dict[int, bool] = {}
        self._grids = [maps[name] for name in (self.local_layer, self.conv_layer)]
        self.hidden = None
        if head == "mlp":
            units = self._grids[1][2]
            self.hidden = layers.Dense(units, use_bias=False, name="hidden")
            self.hidden_norm = layers.batch_norm(synchronized, "hidden_norm")
        self.projection = layers.Dense(latent_dim, name="global")

    def _set_input_scaling(self, scaling):
        self._offset, self._scale = input_scaling.offset_and_scale(scaling, self.image_shape[-1])
        self.input_scaling = (
            scaling if isinstance(scaling, str) else input_scaling.as_lists(scaling)
        )
        self._integer_dtype = input_scaling.integer_dtype(self.backbone, self._offset, self._scale)

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
        """The endpoints of images scaled for the backbone."""
        # A frozen backbone computes as in inference: no dropout, and no layer updates weights of
        # its own, as spectral normalization does.
        backbone_training = training and not self._trainable_before
        maps = self._maps(images, training=backbone_training)
        local, conv = (
            feature_maps.as_map(x, grid) for x, grid in zip(maps, self._grids, strict=True)
        )
        pooled = keras.ops.mean(conv, axis=(1, 2))
        x = pooled
        if self.hidden:
            x = keras.ops.relu(self.hidden_norm(self.hidden(x), training=training))
        return {"local": local, "conv": conv, "fc": pooled, "global": self.projection(x)}

    @property
    def endpoint_layers(self) -> dict[str, tuple[str, tuple[int, int, int]]]:
        """Layer name and (height, width, channels) of the maps "local" and "conv"."""
        names = {"local": self.local_layer, "conv": self.conv_layer}
        grids = zip(names.items(), self._grids, strict=True)
        return {endpoint: (name, grid) for (endpoint, name), grid in grids}

    @property
    def unused_weights(self) -> int:
        """Number of weights of the backbone on which no endpoint depends.

        Layers after a global pooling or on flat features, such as those of a classifier, do not
        count.
        """
        return self._unused_weights

    @property
    def frozen_weights(self) -> int:
        """Number of weights behind the endpoints in layers that were given with trainable=False.

        Weights of batch norms do not count.
        """
        return self._frozen_weights

    @property
    def backbone_variables(self):
        return list(self.backbone.variables)

    def set_backbone_trainable(self, trainable):
        if trainable is not bool(self._trainable_before):
            return
        layers_ = list(self.backbone._flatten_layers())  # outer layers before inner ones
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
            _freeze_all_but({id(layer) for layer in below.layers}, self._maps)

    def _scaled(self, images, factor, shift):
        """Images scaled for the backbone; images * factor + shift are pixels in 0..255."""
        x = keras.ops.cast(images, "float32") * (factor / self._scale)
        x = x + (shift - self._offset) / self._scale
        x = x[..., ::-1] if self.input_scaling == "caffe" else x
        if self._integer_dtype:
            return keras.ops.cast(keras.ops.round(x), self._integer_dtype)
        return keras.ops.cast(x, self.compute_dtype)

    def get_config(self):
        frozen = bool(self._trainable_before)
        self.set_backbone_trainable(True)  # else a copy's backbone would stay frozen
        config = self._config()
        self.set_backbone_trainable(not frozen)
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


def _image_shape(backbone, image_shape) -> tuple[int, int, int]:
    """The shape of the backbone's images, which must agree with `image_shape` unless that is None.

    Raises:
        ValueError: They disagree, or the backbone is not a functional model of one image.
    """
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
    batch, *input_shape = backbone.inputs[0].shape
    if batch is not None:
        raise ValueError(
            f"{backbone.name} takes batches of {batch} images; build it for any number of them, "
            "from keras.Input without batch_size"
        )
    shape = tuple(input_shape if image_shape is None else image_shape)
    if None in shape:
        raise ValueError(
            f"{backbone.name} takes images of any size; give image_shape=(height, width, channels)"
        )
    if any(size not in (None, n) for size, n in zip(input_shape, shape, strict=True)):
        square = input_shape[0] and input_shape[0] == input_shape[1]
        flag = f"--image_size={input_shape[0]}, in Python " if square else ""
        raise ValueError(
            f"{backbone.name} takes images of {_shape_text(input_shape)}, not of "
            f"{_shape_text(shape)}: give {flag}image_shape={tuple(input_shape)}, or make the model "
            "for other images"
        )
    return shape


def _shape_text(shape) -> str:
    height, width, channels = ("any" if size is None else size for size in shape)
    return f"{height}x{width} pixels and {channels} channel{'s' * (channels != 1)}"


def _check_layer_names(backbone):
    for layer in backbone._flatten_layers(include_self=False):  # TensorFlow never sees its own name
        if not _SCOPE_NAME.fullmatch(layer.name):
            raise ValueError(
                f"TensorFlow takes no layer of the name {layer.name!r}; build the model with names "
                "of Latin letters, digits and . _ - alone"
            )


def _check_one_of(argument: str, value: Any, allowed: Sequence[str]):
    if value not in allowed:
        raise ValueError(f"{argument} {value!r}; expected one of {', '.join(allowed)}")


def _count_frozen_weights(model) -> int:
    frozen = {
        id(variable): math.prod(variable.shape)
        for layer in model._flatten_layers(include_self=False)
        if not (layer.trainable or isinstance(layer, keras.layers.BatchNormalization))
        for variable in layer.weights
    }
    return sum(frozen.values())


def _freeze_all_but(used: set[int], model):
    """Makes layers untrainable unless their id is in `used`."""
    for layer in model.layers:
        if id(layer) not in used:
            layer.trainable = False


def _batch_norms(model):
    return [
        layer
        for layer in model._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
