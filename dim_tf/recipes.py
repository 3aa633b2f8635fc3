"""Recipes: sets of defaults for many flags, which the user's own values override.

`Experiment.of` applies them; experiment.json holds the resulting values and the recipe's name.
Importing this module needs no TensorFlow.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Any

from dim_tf.settings.encoder import BACKBONE_FLAGS, is_backbone
from dim_tf.system.errors import InputError

AUTO, PAPER = "auto", "paper"

# (Settings so far, settings that the user gives) -> whether the recipe's value fits.
Condition = Callable[[Mapping[str, Any], Mapping[str, Any]], bool]


@dataclass(frozen=True)
class Recipe:
    """A set of defaults for flags.

    Attributes:
        values: Values by flag name. A value that depends on another comes after it.
        conditions: When a value applies, by flag name; without a condition it always does. A
            condition is evaluated only if the user does not give the flag, and may get values that
            are not checked yet.
        encoders: Presets by the side of the images in pixels, used if --encoder is empty; for other
            sizes `encoders.for_image_size` chooses.
        models: Names of the models to which it applies; empty: all.
    """

    values: Mapping[str, Any] = field(default_factory=dict)
    conditions: Mapping[str, Condition] = field(default_factory=dict)
    encoders: Mapping[int, str] = field(default_factory=dict)
    models: tuple[str, ...] = ()


def _has_two_views(settings, explicit):
    return settings["views"] == 2


def _has_critic(settings, explicit):
    return bool(settings["alpha"] or settings["beta"])


def _has_dot_critic(settings, explicit):
    return bool(
        (settings["beta"] and settings["local_critic"] == "dot")
        or (settings["alpha"] and settings["global_critic"] == "dot")
    )


def _has_new_backbone(settings, explicit):
    return is_backbone(str(settings["encoder"])) and not settings["init_from"]


TWO_VIEWS = Recipe(
    values={
        "views": 2,
        "pairs": "global-global",
        "estimator": "infonce",
        "gamma": 0.0,
        "critic_units": 512,
        "critic_temperature": 0.2,
        "color_jitter_strength": 0.5,
        "min_crop_scale": 0.2,
        "minutes": 20.0,
        "precision": "auto",
        "batch_size": 0,
        "learning_rate": 0.0,
        "schedule": "cosine",
        "warmup_fraction": 0.05,
        "weight_decay": 0.05,
        "backbone_batch_norm": "auto",
        "frozen_steps": -1,
    },
    conditions={
        # Two views without augmentation are equal; an occluded one is not symmetric.
        "views": lambda settings, explicit: (
            settings["augmentation"] != "none"
            and not (settings["occlusion"] and settings["symmetric"])
        ),
        "pairs": lambda settings, explicit: settings["views"] == 2 and bool(settings["beta"]),
        "estimator": _has_critic,
        # A prior has an effect only with gamma above 0.
        "gamma": lambda settings, explicit: not any(name.startswith("prior") for name in explicit),
        "critic_units": _has_dot_critic,
        "critic_temperature": lambda settings, explicit: (
            bool(settings["critic_layer_norm"]) and _has_dot_critic(settings, explicit)
        ),
        "color_jitter_strength": _has_two_views,
        "min_crop_scale": _has_two_views,
        "minutes": lambda settings, explicit: (
            not {"epochs", "steps"} & set(explicit) and settings["strategy"] != "multi_worker"
        ),
        # At this rate pretrained weights would be lost unless most of the steps are frozen.
        "learning_rate": lambda settings, explicit: (
            not settings["init_from"]
            and (explicit.get("frozen_steps", -1) < 0 or not is_backbone(str(settings["encoder"])))
        ),
        "warmup_fraction": lambda settings, explicit: (
            settings["schedule"] == "cosine" and not settings["warmup_steps"]
        ),
        "backbone_batch_norm": _has_new_backbone,
        "frozen_steps": _has_new_backbone,
    },
    encoders={32: "basic32x32", 64: "basic64x64"},
    models=("dim",),
)
RECIPES: dict[str, Recipe] = {PAPER: Recipe(), "two_views": TWO_VIEWS}


def resolve(recipe: str, dataset: str, model: str) -> str:
    """The name of the recipe that --recipe means.

    Args:
        recipe: Value of --recipe: "auto", or a name.
        dataset: Value of --dataset.
        model: Value of --model.

    Raises:
        InputError: The recipe is not for that model.
    """
    if recipe == AUTO:
        return "two_views" if dataset == "folder" and model in TWO_VIEWS.models else PAPER
    models = RECIPES[recipe].models
    if models and model not in models:
        raise InputError(
            f"--recipe={recipe} is for --model={' or '.join(models)}, not {model}; leave one of "
            "the two out"
        )
    return recipe


def completed(
    recipe: Recipe, explicit: Mapping[str, Any], defaults: Mapping[str, Any]
) -> dict[str, Any]:
    """The settings that the user gives, with those values of the recipe that fit them.

    Args:
        recipe: The recipe.
        explicit: The settings that the user gives, by flag name.
        defaults: The default of every flag of the experiment.
    """
    settings = dict(explicit)
    for name, value in recipe.values.items():
        condition = recipe.conditions.get(name)
        if name in explicit:
            continue
        if condition is None or condition({**defaults, **settings}, explicit):
            settings[name] = value
    return settings


def describe(name: str, values: Mapping[str, Any]) -> str:
    """A line that describes the recipe of an experiment, with the values of the recipe's flags.

    Args:
        name: The recipe's name.
        values: All settings of the experiment, by flag name.
    """
    flags = [
        flag
        for flag in RECIPES[name].values
        if flag not in BACKBONE_FLAGS or is_backbone(str(values["encoder"]))
    ]
    if not flags:
        return f"recipe {name}: the flags' own defaults"
    return f"recipe {name}: " + " ".join(f"--{flag}={_text(values[flag])}" for flag in flags)


def values_of(flag: str) -> dict[str, str]:
    """The values of a flag in those recipes that have one, by recipe name."""
    return {
        name: _text(recipe.values[flag])
        for name, recipe in RECIPES.items()
        if flag in recipe.values
    }


def _text(value):
    return f"{value:g}" if isinstance(value, float) else str(value)
