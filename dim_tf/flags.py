"""The command line: one flag for each setting of `Experiment`, and --mode. Free of TensorFlow."""

import dataclasses
import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from dim_tf.errors import InputError
from dim_tf.experiment import Experiment

_DEFINING: dict[Any, Callable] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}
MODES = ("train", "evaluate", "export", "embed", "compare")
DEFAULT_MODES = MODES[:3]


def define(values: flags.FlagValues) -> None:
    """Defines all flags in `values`."""
    flags.DEFINE_list(
        "mode", ",".join(DEFAULT_MODES), f"stages to run, of {', '.join(MODES)}", flag_values=values
    )
    for field in dataclasses.fields(Experiment):
        help_text = field.metadata["help"]
        choices = list(field.metadata["choices"])
        if choices and field.type is str:
            default: Any = field.default
            flags.DEFINE_enum(field.name, default, choices, help_text, flag_values=values)
        else:
            _DEFINING[field.type](field.name, field.default, help_text, flag_values=values)


def experiment(values: flags.FlagValues, arguments: list[str]) -> Experiment:
    """The experiment that the command line describes.

    Args:
        values: the parsed flags.
        arguments: the command line; its flagfile gives a run without --name its name.

    Raises:
        InputError: settings that are wrong or do not fit together.
    """
    given: dict[str, Any] = values.flag_values_dict()
    settings = {field.name: given[field.name] for field in dataclasses.fields(Experiment)}
    if not settings["name"]:
        settings["name"] = _last_flagfile_stem(arguments) or _of_data(settings)
    return Experiment(**settings)


def _of_data(settings):
    """The data set's name; of a folder its own."""
    if settings["dataset"] == "folder" and settings["data_dir"]:
        name = Path(settings["data_dir"]).expanduser().resolve().name
        # What a folder of exports and an address of a server can be called.
        return re.sub(r"[^\w.-]+", "-", name).strip(".-") or "folder"
    return settings["dataset"]


def _last_flagfile_stem(arguments):
    # absl replaces --flagfile by the file's lines and does not keep its name.
    stem = ""
    for argument, following in zip(arguments, [*arguments[1:], ""], strict=True):
        name, equals, value = argument.partition("=")
        if name in ("--flagfile", "-flagfile"):
            stem = Path(value if equals else following).stem
    return stem


def modes(values: flags.FlagValues) -> list[str]:
    """The stages to run, in their order.

    Raises:
        InputError: an unknown stage, or none.
    """
    given: dict[str, Any] = values.flag_values_dict()
    wanted = [mode.strip() for mode in given["mode"]]
    unknown = [mode for mode in wanted if mode not in MODES]
    if unknown or not wanted:
        raise InputError(
            f"--mode={','.join(wanted)}; expected a list of {', '.join(MODES)} without spaces"
        )
    return [mode for mode in MODES if mode in wanted]
