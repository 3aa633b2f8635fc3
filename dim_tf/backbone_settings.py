"""What the settings of an encoder's backbone may be. Free of TensorFlow."""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from dim_tf.errors import InputError
from dim_tf.names import ENCODERS, INPUT_SCALINGS
from dim_tf.settings.config_field import LARGEST, check_file_names, told

if TYPE_CHECKING:
    from dim_tf.settings import Experiment

KERAS, HUB, FILE = "keras:", "keras_hub:", ".keras"
AUTO, RANDOM, IMAGENET = "auto", "random", "imagenet"
OF_BACKBONES = (
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


def is_backbone(encoder: str) -> bool:
    """Whether --encoder is a Keras model, and not a preset of ours."""
    return encoder.startswith((KERAS, HUB)) or encoder.endswith(FILE)


def is_file(encoder: str) -> bool:
    """Whether --encoder is a .keras file."""
    return is_backbone(encoder) and not encoder.startswith((KERAS, HUB))


def has_weights_file(weights: str) -> bool:
    """Whether --encoder_weights is a file."""
    return weights not in (AUTO, RANDOM, IMAGENET)


def check(experiment: "Experiment") -> None:
    """Checks an experiment's encoder and the settings of its backbone.

    Raises:
        InputError: an unknown encoder; settings that only a backbone has, of another encoder; or
            wrong ones.
    """
    encoder = experiment.encoder
    if experiment.model == "generator" and (experiment.init_from or is_backbone(encoder)):
        name = "init_from" if experiment.init_from else "encoder"
        raise InputError(f"--model=generator has no encoder; leave --{name} out")
    if not is_backbone(encoder):
        if encoder and encoder not in ENCODERS:
            raise InputError(
                f"--encoder={told(encoder)}; expected one of {', '.join(ENCODERS)}; or "
                "keras:CLASS, keras_hub:PRESET or FILE.keras"
            )
        _check_defaults(experiment)
        return
    if encoder in (KERAS, HUB):
        raise InputError(
            f"--encoder={encoder} names no model; give {KERAS}ResNet50V2, {HUB}PRESET or FILE.keras"
        )
    _check_weights(encoder, experiment.encoder_weights)
    for name in experiment.encoder_files:
        check_file_names(name, getattr(experiment, name))
    scaling(experiment.input_scaling)
    if experiment.frozen_steps % experiment.steps_per_execution:
        raise InputError(
            f"--frozen_steps={experiment.frozen_steps} is not a multiple of --steps_per_execution="
            f"{experiment.steps_per_execution}; nothing can be done between its steps"
        )


def _check_defaults(experiment):
    fields = experiment.__dataclass_fields__
    for name in OF_BACKBONES:
        if getattr(experiment, name) != fields[name].default:
            own = f"--encoder={experiment.encoder}" if experiment.encoder else "no --encoder"
            raise InputError(
                f"--{name} is for --encoder={KERAS}CLASS, {HUB}PRESET or FILE.keras, not for "
                f"{own}; leave it out"
            )


def _check_weights(encoder, weights):
    if weights == IMAGENET and not encoder.startswith(KERAS):
        raise InputError(
            f"--encoder_weights=imagenet is for --encoder={KERAS}CLASS; {encoder} has weights of "
            "its own: leave --encoder_weights out"
        )
    if has_weights_file(weights) and not weights.endswith(_WEIGHTS):
        raise InputError(
            f"--encoder_weights={told(weights)}; expected auto, random, imagenet, or a file "
            f"{', '.join(_WEIGHTS)}"
        )


def scaling(text: str) -> str | tuple[Sequence[float], Sequence[float]] | None:
    """What --input_scaling means: a name, or (offset, scale); None: what the backbone says.

    Raises:
        InputError: it is none of these.
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
    right = (
        len(numbers) % 2 == 0
        and channels in _CHANNELS
        and all(abs(number) <= LARGEST[float] for number in numbers)
    )
    if not right or 0 in numbers[channels:]:
        raise InputError(
            f"--input_scaling={told(text)}; expected auto, {', '.join(INPUT_SCALINGS)}, or "
            "OFFSET,SCALE of pixels in 0..255 as 127,128, or three of each for (pixel - OFFSET) / "
            "SCALE"
        )
    return numbers[:channels], numbers[channels:]
