"""The architectures of the paper and the authors' code, as data."""

from dataclasses import dataclass
from typing import Any

from keras_models.encoders.base import Encoder
from keras_models.encoders.convnet import ConvNet
from keras_models.encoders.flow import NICE, Flow, RealNVP
from keras_models.encoders.residual import ResidualNet
from keras_models.encoders.resnet import ResNet
from keras_models.encoders.strided_crops import StridedCropsNet


@dataclass(frozen=True)
class Preset:
    """A named encoder.

    Attributes:
        family: The encoder's class.
        arguments: Arguments of its constructor, without `image_shape` if several shapes fit.
        parameters: Number of trainable parameters, as the authors' code counts them, with a global
            feature of 64 units; None if it depends on the image.
        source: Where the architecture comes from.
    """

    family: type[Encoder]
    arguments: dict[str, Any]
    parameters: int | None
    source: str

    @property
    def image_size(self) -> int | None:
        """The side of the images in pixels; None: any."""
        return self.arguments["image_shape"][0] if "image_shape" in self.arguments else None

    @property
    def several_globals(self) -> bool:
        """Whether the global feature is a map, whose size `latent_dim` does not set."""
        return self.arguments.get("latent_dim") == 0

    @property
    def is_flow(self) -> bool:
        """Whether the global feature has as many numbers as the image."""
        return issubclass(self.family, Flow)


# (filters, kernel, stride, padding), True: max pool
_ALEX_CONVOLUTIONS = (
    (96, 3, 1, 1, True),
    (192, 3, 1, 1, True),
    (384, 3, 1, 1),
    (384, 3, 1, 1),
    (192, 3, 1, 1, True),
)
# (filters, stride, blocks)
_RESNET19 = ((64, 1, 2), (128, 2, 1), (128, 1, 1), (256, 2, 1), (256, 1, 1))
_RESNET34 = ((64, 1, 3), (128, 2, 1), (128, 1, 5), (256, 2, 1), (256, 1, 2))
# A linear feature of each crop and no layers above; no batch norm, which would mix the crops.
_CROP_FEATURES = {
    "top_convolutions": (),
    "latent_dim": 0,
    "crop_dim": 64,
    "use_bias": True,
    "norm": False,
}
_AUTHORS = "authors' code (rdevon/DIM)"

PRESETS = {
    "basic28x28": Preset(
        ConvNet,
        {
            "image_shape": (28, 28, 1),
            "convolutions": ((64, 5, 2, 2), (128, 5, 2, 2)),
            "dense_units": (1024,),
            "local_layer": 1,
        },
        parameters=6_696_960,
        source=f"{_AUTHORS}, MNIST",
    ),
    "basic32x32": Preset(
        ConvNet,
        {
            "image_shape": (32, 32, 3),
            "convolutions": ((64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1)),
            "dense_units": (1024,),
            "local_layer": 1,
        },
        parameters=4_921_280,
        source="Hjelm et al. 2019, Table 1 (CIFAR-10 and CIFAR-100)",
    ),
    "basic64x64": Preset(
        ConvNet,
        {
            "image_shape": (64, 64, 3),
            "convolutions": ((64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1), (512, 4, 2, 1)),
            "dense_units": (1024,),
            "local_layer": 2,
        },
        parameters=11_213_760,
        source=f"{_AUTHORS}, 64x64 images",
    ),
    "basic": Preset(
        ConvNet,
        {},
        parameters=None,
        source="ours: basic32x32 and basic64x64 continued to images of any size",
    ),
    "alex64x64": Preset(
        ConvNet,
        {
            "image_shape": (64, 64, 3),
            "convolutions": _ALEX_CONVOLUTIONS,
            "dense_units": (4096, 4096),
            "local_layer": 2,
        },
        parameters=58_416_160,
        source="Hjelm et al. 2019, Table 2 (Tiny ImageNet and STL-10)",
    ),
    "foldalex64x64": Preset(
        StridedCropsNet,
        {
            "image_shape": (64, 64, 3),
            "crops": (16, 8),
            "convolutions": _ALEX_CONVOLUTIONS,
            "top_convolutions": ((384, 3, 2, 0),),
            "dense_units": (4096,),
            "dropout": 0.1,
            "use_bias": True,
            "kernel_stddev": 0.02,
        },
        parameters=17_921_024,
        source=f"{_AUTHORS}, comparison with CPC on STL-10",
    ),
    "foldmultialex64x64": Preset(
        StridedCropsNet,
        {
            "image_shape": (64, 64, 3),
            "crops": (16, 8),
            "convolutions": _ALEX_CONVOLUTIONS,
            "top_convolutions": ((192, 3, 1, 0), (192, 1, 1, 0)),
            "latent_dim": 0,
        },
        parameters=3_194_592,
        source=f"{_AUTHORS}, several globals on STL-10",
    ),
    "crops32x32": Preset(
        StridedCropsNet,
        {
            "image_shape": (32, 32, 3),
            "crops": (8, 4),
            "convolutions": ((64, 3, 1, 1), (128, 4, 2, 1), (256, 4, 2, 1)),
            **_CROP_FEATURES,
        },
        parameters=723_136,
        source="ours: a feature of each crop for CPC, without batch norm",
    ),
    "crops64x64": Preset(
        StridedCropsNet,
        {
            "image_shape": (64, 64, 3),
            "crops": (16, 8),
            "convolutions": ((64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1)),
            **_CROP_FEATURES,
        },
        parameters=724_480,
        source="ours: crops32x32 on crops of twice the size",
    ),
    "resnet19_32x32": Preset(
        ResNet,
        {"image_shape": (32, 32, 3), "groups": _RESNET19},
        parameters=20_281_216,
        source=_AUTHORS,
    ),
    "resnet34_32x32": Preset(
        ResNet,
        {"image_shape": (32, 32, 3), "groups": _RESNET34},
        parameters=22_589_056,
        source=_AUTHORS,
    ),
    "foldresnet19_32x32": Preset(
        ResNet,
        {"image_shape": (32, 32, 3), "groups": _RESNET19, "crops": (8, 4)},
        parameters=54_884_224,
        source=f"{_AUTHORS}, comparison with CPC on CIFAR-10",
    ),
    "foldresnet34_32x32": Preset(
        ResNet,
        {"image_shape": (32, 32, 3), "groups": _RESNET34, "crops": (8, 4)},
        parameters=57_192_064,
        source=f"{_AUTHORS}, where it lacks its strides; here with them, so the count is ours",
    ),
    "residual32x32": Preset(
        ResidualNet,
        {
            "image_shape": (32, 32, 3),
            "first_filters": 32,
            "blocks": ((64, 4, 2), (512, 2, 2), (512, 3, 1), (512, 3, 1), (64, 3, 1)),
            "local_layer": 4,
            "conv_layer": 6,
            "layer_norm": False,
        },
        parameters=12_751_808,
        source=_AUTHORS,
    ),
    "residual64x64": Preset(
        ResidualNet,
        {
            "image_shape": (64, 64, 3),
            "first_filters": 32,
            "blocks": (
                (64, 4, 2),
                (128, 4, 2),
                (512, 2, 2),
                (512, 3, 1),
                (512, 3, 1),
                (64, 3, 1),
            ),
            "local_layer": 6,
            "conv_layer": 8,
        },
        parameters=13_326_656,
        source=_AUTHORS,
    ),
    "residual32x32_wide": Preset(
        ResidualNet,
        {
            "image_shape": (32, 32, 3),
            "first_filters": 256,
            "blocks": ((512, 4, 2), (1024, 2, 2), (1024, 3, 1), (1024, 3, 1), (1024, 3, 1)),
            "local_layer": 4,
            "conv_layer": 6,
        },
        parameters=76_400_704,
        source=_AUTHORS,
    ),
    "residual64x64_wide": Preset(
        ResidualNet,
        {
            "image_shape": (64, 64, 3),
            "first_filters": 256,
            "blocks": (
                (512, 4, 2),
                (1024, 4, 2),
                (1024, 2, 2),
                (1024, 3, 1),
                (1024, 3, 1),
                (1024, 3, 1),
            ),
            "local_layer": 6,
            "conv_layer": 8,
        },
        parameters=100_528_192,
        source=_AUTHORS,
    ),
    "nice": Preset(
        NICE,
        {},
        parameters=None,
        source="ours, after Dinh et al. 2015, with smaller networks",
    ),
    "realnvp": Preset(
        RealNVP,
        {},
        parameters=None,
        source="ours, after Dinh et al. 2017, with smaller networks",
    ),
}
