"""Encoders E: images -> endpoints, made by name: `encoders.get("basic32x32", latent_dim=64)`."""

from keras_models.encoders.convnet import ConvNet
from keras_models.encoders.presets import PRESETS, Preset

__all__ = ["PRESETS", "ConvNet", "Preset", "for_image_size", "get"]


def get(name: str, /, **overrides) -> ConvNet:
    """Makes the encoder of that name.

    Args:
        name: a key of `PRESETS`.
        **overrides: constructor arguments that replace the preset's.

    Raises:
        ValueError: unknown name.
    """
    if name not in PRESETS:
        raise ValueError(f"unknown encoder {name!r}; expected one of {', '.join(PRESETS)}")
    return ConvNet(**{"name": name, **PRESETS[name].arguments, **overrides})


def for_image_size(size: int) -> str:
    """The name of the preset for square images of `size` pixels a side.

    Raises:
        ValueError: no preset takes images of that size.
    """
    for name, preset in PRESETS.items():
        if preset.image_size == size:
            return name
    sizes = ", ".join(str(preset.image_size) for preset in PRESETS.values())
    raise ValueError(f"no encoder for images of {size}x{size} pixels; sizes with one: {sizes}")
