"""Settings of the encoder."""

import os
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from dim_tf.registry import BATCH_NORM, ENCODER_HEADS, ENCODERS, INPUT_SCALINGS
from dim_tf.settings.config_field import LARGEST, Settings, check_file_names, config_field, quoted
from dim_tf.system.errors import InputError

KERAS, HUB, FILE = "keras:", "keras_hub:", ".keras"
AUTO, RANDOM, IMAGENET = "auto", "random", "imagenet"
BACKBONE_FLAGS = (
    "encoder_weights",
    "local_layer",
    "conv_layer",
    "encoder_head",
    "input_scaling",
    "backbone_batch_norm",
    "frozen_steps",
    "backbone_learning_rate_scale",
)
_WEIGHTS = (".weights.h5", ".h5", ".keras")
_CHANNELS = (1, 3)


@dataclass(frozen=True)
class EncoderSettings(Settings):
    """The network that is trained and exported: one of ours, or a Keras model (a backbone)."""

    name: str = config_field(
        "",
        "Encoder: a Keras model, such as keras:MobileNetV3Small of keras.applications, "
        "keras_hub:PRESET, or FILE.keras; or a preset; empty: a preset chosen by the image size.",
        details=f"Presets: {', '.join(ENCODERS)}.",
        flag="encoder",
        common=True,
    )
    weights: str = config_field(
        "auto",
        "Weights that a Keras model starts from: random; imagenet, for keras:CLASS; a file "
        ".weights.h5 or .keras of the same model; auto: random for keras:CLASS, else its own.",
        flag="encoder_weights",
        common=True,
    )
    local_layer: str = config_field(
        "auto",
        "Layer of a Keras model whose output is the local map; auto: the last one whose map has at "
        "least 7 locations a side and an eighth of the image's pixels a side.",
    )
    conv_layer: str = config_field(
        "auto",
        "Layer of a Keras model whose output is the endpoint conv; the head of the global feature "
        "takes its mean; auto: the last map.",
    )
    head: str = config_field(
        "linear",
        "Head of a Keras model, which computes the global feature: linear, one dense layer; mlp, "
        "two, with batch norm and ReLU between them.",
        flag="encoder_head",
        choices=ENCODER_HEADS,
    )
    input_scaling: str = config_field(
        "auto",
        f"Pixel values that a Keras model takes: {', '.join(INPUT_SCALINGS)}, or OFFSET,SCALE for "
        "(pixel - OFFSET) / SCALE of pixels in 0..255, or three of each; auto: what keras:CLASS or "
        "keras_hub:PRESET was trained on.",
    )
    backbone_batch_norm: str = config_field(
        "train",
        "Batch norm of a Keras model: train; frozen, with its statistics, scales and offsets "
        "fixed; auto: frozen if its weights are pretrained.",
        choices=(AUTO, *BATCH_NORM),
    )
    frozen_steps: int = config_field(
        0,
        "First steps in which a Keras model is frozen while its head and the critics learn; -1: "
        "four fifths of all steps if its weights are pretrained, else none.",
        minimum=-1,
    )
    backbone_learning_rate_scale: float = config_field(
        1.0, "Factor of the learning rate of a Keras model.", minimum=0, maximum=1000
    )
    init_from: str = config_field(
        "",
        "Run folder or exported encoder from whose encoder weights training starts.",
        is_path=True,
    )
    latent_dim: int = config_field(64, "Units of the global feature.", minimum=1, maximum=2**16)

    def check(self):
        """Checks the encoder's name and files; only a backbone may have a backbone's settings."""
        for name, path in self.files.items():  # not always paths, so the fields have no is_path
            field = self.flags()[name].name
            object.__setattr__(self, field, os.path.expanduser(path))
        if not self.is_backbone:
            if self.name and self.name not in ENCODERS:
                raise InputError(
                    f"--encoder={quoted(self.name)}; expected one of {', '.join(ENCODERS)}; or "
                    "keras:CLASS, keras_hub:PRESET or FILE.keras"
                )
            self._check_no_backbone_flags()
            return
        if self.name in (KERAS, HUB):
            raise InputError(
                f"--encoder={self.name} names no model; give {KERAS}ResNet50V2, {HUB}PRESET or "
                "FILE.keras"
            )
        self._check_weights()
        for name, path in self.files.items():
            check_file_names(f"--{name}", str(path))
        scaling(self.input_scaling)

    def _check_no_backbone_flags(self):
        fields, values = self.flags(), self.values()
        for name in BACKBONE_FLAGS:
            if values[name] != fields[name].default:
                encoder = f"--encoder={self.name}" if self.name else "no --encoder"
                raise InputError(
                    f"--{name} is for --encoder={KERAS}CLASS, {HUB}PRESET or FILE.keras, not for "
                    f"{encoder}; leave it out"
                )

    def _check_weights(self):
        if self.weights == IMAGENET and not self.name.startswith(KERAS):
            raise InputError(
                f"--encoder_weights=imagenet is for --encoder={KERAS}CLASS; {self.name} has "
                "weights of its own: leave --encoder_weights out"
            )
        if self._has_weights_file and not self.weights.endswith(_WEIGHTS):
            raise InputError(
                f"--encoder_weights={quoted(self.weights)}; expected auto, random, imagenet, or a "
                f"file {', '.join(_WEIGHTS)}"
            )

    @property
    def is_backbone(self) -> bool:
        """Whether the encoder is a Keras model and not one of our presets."""
        return is_backbone(self.name)

    @property
    def _has_weights_file(self):
        return self.weights not in (AUTO, RANDOM, IMAGENET)

    @property
    def files(self) -> dict[str, Path]:
        """The backbone's files, by the name of the flag that gives each."""
        files = {}
        if self.is_backbone and not self.name.startswith((KERAS, HUB)):
            files["encoder"] = Path(self.name)
        if self._has_weights_file:
            files["encoder_weights"] = Path(self.weights)
        return files


def is_backbone(name: str) -> bool:
    """Whether an encoder of that name is a Keras model and not one of our presets."""
    return name.startswith((KERAS, HUB)) or name.endswith(FILE)


def scaling(text: str) -> str | tuple[Sequence[float], Sequence[float]] | None:
    """What --input_scaling means: a name or (offset, scale); None: what the backbone expects.

    Raises:
        InputError: It is none of these.
    """
    if text == AUTO:
        return None
    if text in INPUT_SCALINGS:
        return text
    try:
        numbers = [float(part) for part in text.split(",")]
    except ValueError:
        numbers = []
    channels = len(numbers) // 2
    is_valid = (
        len(numbers) % 2 == 0
        and channels in _CHANNELS
        and all(abs(number) <= LARGEST[float] for number in numbers)
        and 0 not in numbers[channels:]
    )
    if not is_valid:
        raise InputError(
            f"--input_scaling={quoted(text)}; expected auto, {', '.join(INPUT_SCALINGS)}, or "
            "OFFSET,SCALE of pixels in 0..255 as 127,128, or three of each for (pixel - OFFSET) / "
            "SCALE"
        )
    return numbers[:channels], numbers[channels:]
