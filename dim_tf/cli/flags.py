"""The command line: one flag for each setting of `Experiment`, and --mode."""

import itertools
import types
from collections.abc import Callable
from pathlib import Path
from typing import Any

from absl import flags

from dim_tf import recipes, registry
from dim_tf.data import folder_name
from dim_tf.experiment import Experiment, all_fields, known_settings, model_settings
from dim_tf.settings.anomaly import AnomalySettings
from dim_tf.settings.config_field import kind_of
from dim_tf.settings.curation import CurationSettings
from dim_tf.settings.data import DataSettings
from dim_tf.settings.finetuning import FineTuningSettings, check_classifier_export
from dim_tf.settings.search import SearchSettings
from dim_tf.system.console import say
from dim_tf.system.errors import InputError

MODES = (
    "train",
    "evaluate",
    "export",
    "finetune",
    "embed",
    "curate",
    "anomaly",
    "search",
    "compare",
    "table",
)
DEFAULT_MODES = MODES[:3]
MODE_HELP = f"Stages to run, a list of {', '.join(MODES)}."
MODEL_HELP = "Model: how the encoder is trained; --help lists the models."
MODEL_DETAILS = f"One of {', '.join(registry.MODELS)}."
ALIASES = {"mi_units": "critic_units"}
FLAGS_OF_MODES = {  # refused without the mode
    "finetune": tuple(FineTuningSettings.flags()),
    "embed": ("embed_feature",),
    "anomaly": tuple(AnomalySettings.flags()),
    "search": tuple(SearchSettings.flags()),
    "curate": tuple(CurationSettings.flags()),
}


class _Parser(flags.ArgumentParser):
    """A parser whose error says what is expected; absl's message is that of Python's int().

    Args:
        parse: Takes text, or a value of the right type; raises ValueError.
        flag_type: The type shown in absl's help.
        expected: What the error message says is expected.
    """

    def __init__(self, parse: Callable[[Any], Any], flag_type: str, expected: str):
        self._parse = parse
        self._flag_type = flag_type
        self._expected = f"expected {expected}"

    def parse(self, argument):
        try:
            return self._parse(argument)
        except ValueError:
            raise ValueError(self._expected) from None

    def flag_type(self):
        return self._flag_type


def _numbers(value: Any) -> tuple[int, ...]:
    if value == "":
        return ()
    parts = value.split(",") if isinstance(value, str) else value
    return tuple(flags.IntegerParser().parse(part) for part in parts)


def _size(value: Any) -> int | tuple[int, ...]:
    numbers = _numbers(value) if isinstance(value, str) else value
    return numbers[0] if isinstance(numbers, tuple) and len(numbers) == 1 else numbers


_PARSERS: dict[type, _Parser] = {
    bool: _Parser(
        flags.BooleanParser().parse, "bool", "true or false, or the flag alone, or no before it"
    ),
    int: _Parser(flags.IntegerParser().parse, "int", "a whole number, in digits alone"),
    float: _Parser(flags.FloatParser().parse, "float", "a number, such as 0.1 or 1e-4"),
    tuple: _Parser(_numbers, "whole numbers", "whole numbers with commas between, such as 512,512"),
    types.UnionType: _Parser(
        _size, "size", "a whole number, or height and width with a comma between, such as 96,160"
    ),
}


def define(values: flags.FlagValues) -> None:
    """Defines all flags in `values`, including those of every model."""
    flags.DEFINE_string("mode", ",".join(DEFAULT_MODES), MODE_HELP, flag_values=values)
    flags.DEFINE_enum("model", "dim", list(registry.MODELS), MODEL_DETAILS, flag_values=values)
    for name, field in all_fields().items():
        _define(values, name, field)
    for alias, name in ALIASES.items():
        flags.DEFINE_alias(alias, name, flag_values=values)


def _define(values, name, field):
    kind, text = kind_of(field), field.metadata["help"]
    choices = list(field.metadata["choices"])
    default: Any = field.default
    if choices and kind is str:
        flags.DEFINE_enum(name, default, choices, text, flag_values=values)
    elif kind is bool:
        flags.DEFINE_boolean(name, default, text, flag_values=values)
        values[name].parser = _PARSERS[bool]
    elif kind is str:
        flags.DEFINE_string(name, default, text, flag_values=values)
    else:
        flags.DEFINE(
            _PARSERS[kind], name, default, text, values, serializer=flags.ArgumentSerializer()
        )


def experiment(values: flags.FlagValues, arguments: list[str]) -> Experiment:
    """The experiment that the command line describes.

    Args:
        values: The parsed flags.
        arguments: The command line. Its flagfile names a run that has no --name, except a run on a
            folder of images, which is named after the folder.

    Raises:
        InputError: Settings are wrong or do not fit together.
    """
    settings = present(values)
    _check_modes_of(settings, modes(values))
    settings["model"] = values["model"].value
    model_settings(settings["model"]).check_used(settings)
    if "table" in modes(values):  # its rows are of several models
        known = known_settings(model_settings(settings["model"]))
        settings = {name: value for name, value in settings.items() if name in known}
        settings.setdefault("recipe", recipes.PAPER)
    on_data = {*DEFAULT_MODES, "finetune", "curate", "anomaly", "search", "table"}
    reads_data = on_data & set(modes(values))
    if reads_data and "data_dir" in settings and "dataset" not in settings:
        if not settings["data_dir"]:  # a variable of the shell that is not set
            raise InputError(
                "--data_dir= is empty; give the folder of your images, or --dataset=NAME"
            )
        settings["dataset"] = "folder"
        say(f"--data_dir={settings['data_dir']} implies --dataset=folder")
    if not settings.get("name"):
        dataset = settings.get("dataset", DataSettings.default("dataset"))
        data_dir = settings.get("data_dir", "")
        of_data = folder_name(dataset, data_dir)
        # A flagfile with --dataset=folder serves many folders; each folder needs a run of its own.
        is_own_folder = dataset == "folder" and data_dir
        settings["name"] = of_data if is_own_folder else _last_flagfile_stem(arguments) or of_data
    return Experiment.of(**settings)


def _check_modes_of(settings: dict[str, Any], wanted: list[str]) -> None:
    """Raises InputError for a flag that is read only by stages that will not run."""
    for mode, names in FLAGS_OF_MODES.items():
        given = [name for name in names if name in settings]
        if given and mode not in wanted:
            raise InputError(
                f"--{given[0]} is of --mode={mode}, and --mode={','.join(wanted)} does not read "
                f"it; add {mode} to --mode, or leave the flag out, also in the flagfile"
            )
    if "finetune" in wanted and "export" not in wanted:
        check_classifier_export(settings)


def present(values: flags.FlagValues) -> dict[str, Any]:
    """The settings that the command line or its flagfiles give, without the defaults."""
    names = [*all_fields(), "model"]
    return {name: values[name].value for name in names if values[name].present}


def _last_flagfile_stem(arguments):
    # absl replaces --flagfile by the file's lines and does not keep its name.
    stem = ""
    for argument, successor in itertools.pairwise([*arguments, ""]):
        name, equals, value = argument.partition("=")
        if name in ("--flagfile", "-flagfile"):
            stem = Path(value if equals else successor).stem
    return stem


def modes(values: flags.FlagValues) -> list[str]:
    """The stages to run, in their order.

    Raises:
        InputError: An unknown stage, or none.
    """
    text = str(values["mode"].value)
    wanted = [mode.strip() for mode in text.split(",")]
    if any(mode not in MODES for mode in wanted):
        raise InputError(
            f"--mode={text}; expected a list of {', '.join(MODES)}, with commas between"
        )
    return [mode for mode in MODES if mode in wanted]
