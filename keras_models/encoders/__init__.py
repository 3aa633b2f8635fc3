"""Encoders E: images -> endpoints, by name: `encoders.get("basic32x32", latent_dim=64)`."""

from keras_models.encoders import backbones
from keras_models.encoders.backbone import BackboneEncoder
from keras_models.encoders.base import Encoder
from keras_models.encoders.convnet import ConvNet, for_any_size
from keras_models.encoders.flow import NICE, Flow, RealNVP
from keras_models.encoders.presets import PRESETS, Preset
from keras_models.encoders.residual import ResidualNet
from keras_models.encoders.resnet import ResNet
from keras_models.encoders.staged import StagedEncoder
from keras_models.encoders.strided_crops import StridedCropsNet

__all__ = [
    "NICE",
    "PRESETS",
    "BackboneEncoder",
    "ConvNet",
    "Encoder",
    "Flow",
    "Preset",
    "RealNVP",
    "ResNet",
    "ResidualNet",
    "StagedEncoder",
    "StridedCropsNet",
    "backbones",
    "for_any_size",
    "for_image_size",
    "get",
]

SMALLEST = 16
_EXACT = ("basic28x28", "basic32x32", "basic64x64")


def get(name: str, /, **overrides) -> Encoder:
    """The encoder of that name.

    Args:
        name: A key of `PRESETS`; or a Keras model: keras:CLASS, keras_hub:PRESET or FILE.keras.
        **overrides: Constructor arguments in place of the preset's; "basic", "nice" and "realnvp"
            need `image_shape`, which determines their layers. For a Keras model, arguments of
            `backbones.get`.

    Raises:
        ValueError: The name is unknown; an image shape is needed but not given, or does not fit; or
            an error of `backbones.get`.
        ImportError: keras_hub is not installed.
    """
    if backbones.is_backbone(name):
        if "image_shape" not in overrides:
            raise ValueError(f"the encoder {name!r} needs image_shape=(height, width, channels)")
        return backbones.get(name, **overrides)
    if name not in PRESETS:
        raise ValueError(
            f"unknown encoder {name!r}; expected one of {', '.join(PRESETS)}, keras:CLASS, "
            "keras_hub:PRESET or FILE.keras"
        )
    preset = PRESETS[name]
    arguments = preset.arguments
    if preset.image_size is None and "image_shape" not in overrides:
        raise ValueError(f"the encoder {name!r} needs image_shape=(height, width, channels)")
    if name == "basic":
        arguments = for_any_size(overrides["image_shape"])
    return preset.family(**{"name": name, **arguments, **overrides})


def for_image_size(height: int, width: int) -> str:
    """The name of the preset for images of that size, in pixels.

    Raises:
        ValueError: The images are too small.
    """
    for name in _EXACT:
        if PRESETS[name].image_size == height == width:
            return name
    if min(height, width) < SMALLEST:
        raise ValueError(
            f"no encoder for images of {height}x{width} pixels; they need at least {SMALLEST} a "
            "side"
        )
    return "basic"
