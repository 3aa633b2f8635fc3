"""The architectures of the paper and the authors' code, as data."""

from dataclasses import dataclass
from typing import Any


@dataclass(frozen=True)
class Preset:
    """A named encoder.

    Attributes:
        arguments: of the encoder's constructor.
        parameters: how many the authors' code counts, with a global feature of 64 units
            (trainable ones: the moving statistics of batch norm are no parameters there).
        source: where the architecture stands.
    """

    arguments: dict[str, Any]
    parameters: int
    source: str

    @property
    def image_size(self) -> int:
        return self.arguments["image_shape"][0]


# convolutions: (filters, kernel, stride, padding)
PRESETS = {
    "basic28x28": Preset(
        {
            "image_shape": (28, 28, 1),
            "convolutions": ((64, 5, 2, 2), (128, 5, 2, 2)),
            "dense_units": (1024,),
            "local_layer": 1,
        },
        parameters=6_696_960,
        source="authors' code (rdevon/DIM), MNIST",
    ),
    "basic32x32": Preset(
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
        {
            "image_shape": (64, 64, 3),
            "convolutions": ((64, 4, 2, 1), (128, 4, 2, 1), (256, 4, 2, 1), (512, 4, 2, 1)),
            "dense_units": (1024,),
            "local_layer": 2,
        },
        parameters=11_213_760,
        source="authors' code (rdevon/DIM), 64x64 images",
    ),
}
