"""The command line: one flag for each setting of `Experiment`, and --mode. Free of TensorFlow."""

import dataclasses
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from dim_tf import data
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError

_DEFINING: dict[Any, Callable] = {
    bool: flags.DEFINE_boolean,
    int: flags.DEFINE_integer,
    float: flags.DEFINE_float,
    str: flags.DEFINE_string,
}
MODES = ("train", "evaluate", "export", "embed", "compare", "table")
DEFAULT_MODES = MODES[:3]


class _Telling(flags.ArgumentParser):
    """A parser whose error says what is expected; absl's tell of Python's int().

    Args:
        parser: absl's.
        expected: the message.
    """

    def __init__(self, parser: flags.ArgumentParser, expected: str):
        self._parser = parser
        self._expected = f"expected {expected}"

    def parse(self, argument):
        try:
            return self._parser.parse(argument)
        except ValueError:
            raise ValueError(self._expected) from None

    def flag_type(self):
        return self._parser.flag_type()


_PARSERS: dict[Any, flags.ArgumentParser] = {
    bool: _Telling(flags.BooleanParser(), "true or false, or the flag alone, or no before it"),
    int: _Telling(flags.IntegerParser(), "a whole number, in digits alone"),
    float: _Telling(flags.FloatParser(), "a number, as 0.1 or 1e-4"),
}


def define(values: flags.FlagValues) -> None:
    """Defines all flags in `values`."""
    help_text = f"stages to run, a list of {', '.join(MODES)}"
    flags.DEFINE_string("mode", ",".join(DEFAULT_MODES), help_text, flag_values=values)
    for field in dataclasses.fields(Experiment):
        help_text = field.metadata["help"]
        choices = list(field.metadata["choices"])
        if choices and field.type is str:
            default: Any = field.default
            flags.DEFINE_enum(field.name, default, choices, help_text, flag_values=values)
        else:
            _DEFINING[field.type](field.name, field.default, help_text, flag_values=values)
            if field.type in _PARSERS:
                values[field.name].parser = _PARSERS[field.type]


def experiment(values: flags.FlagValues, arguments: list[str]) -> Experiment:
    """The experiment that the command line describes.

    Args:
        values: the parsed flags.
        arguments: the command line; its flagfile gives a run without --name its name, but not
            one on a folder of images, which gives its own.

    Raises:
        InputError: settings that are wrong or do not fit together.
    """
    given: dict[str, Any] = values.flag_values_dict()
    settings = {field.name: given[field.name] for field in dataclasses.fields(Experiment)}
    if not settings["name"]:
        of_data = data.folder_name(settings["dataset"], settings["data_dir"])
        # A flagfile of --dataset=folder serves many folders, whose runs are not one.
        own = settings["dataset"] == "folder" and settings["data_dir"]
        settings["name"] = of_data if own else _last_flagfile_stem(arguments) or of_data
    return Experiment(**settings)


def given(values: flags.FlagValues) -> dict[str, Any]:
    """The settings that the command line or its flagfiles give, without the defaults."""
    names = [field.name for field in dataclasses.fields(Experiment)]
    return {name: values[name].value for name in names if values[name].present}


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
    wanted = [mode.strip() for mode in given["mode"].split(",")]
    if any(mode not in MODES for mode in wanted):
        raise InputError(
            f"--mode={given['mode']}; expected a list of {', '.join(MODES)}, with commas between"
        )
    return [mode for mode in MODES if mode in wanted]
