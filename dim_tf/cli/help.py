"""--help: the flags that most runs need, by section; --help=SECTION; --helpfull."""

import dataclasses
import textwrap
from dataclasses import dataclass
from typing import Any

from dim_tf import recipes, registry
from dim_tf.cli.flags import ALIASES, DEFAULT_MODES, MODE_HELP, MODEL_DETAILS, MODEL_HELP
from dim_tf.experiment import Experiment, groups_of, model_settings
from dim_tf.settings.config_field import Settings, config_field, kind_of
from dim_tf.system.errors import InputError

WIDTH = 100
_INDENT = 26
_NAMES = ("h", "help", "helpshort", "helpfull", "helpxml", "?")

_USAGE = """Deep InfoMax: images in, a measured, exported encoder out.

usage: python -m dim_tf.main --data_dir=FOLDER_OF_IMAGES [flags]
       python -m dim_tf.main --flagfile=flags/NAME.cfg [flags]
       python -m dim_tf.main --mode=curate,search --data_dir=FOLDER --query=IMAGE [flags]

A later flag overrides an earlier one and the flagfile's."""


def requested(arguments: list[str]) -> str | None:
    """The help that the command line asks for: a section, "full", or "" (short); None: no help.

    Args:
        arguments: Without the program's name.
    """
    for argument in arguments:
        name, _, value = argument.lstrip("-").partition("=")
        if argument.startswith("-") and name in _NAMES:
            return "full" if name == "helpfull" else value
    return None


def text(section: str) -> str:
    """The help of that section; "" is the short help, "full" all of it.

    Raises:
        InputError: The section does not exist.
    """
    sections = flags_by_section()
    if section in ("", "full"):
        is_full = section == "full"
        shown = [
            _section(name, fields, is_full)
            for name, fields in sections.items()
            if is_full or any(field.metadata["common"] for field in fields.values())
        ]
        return "\n\n".join([_USAGE, *shown, *([] if is_full else [_more(sections)])])
    if section not in sections:
        raise InputError(f"--help={section}; expected one of {', '.join(sections)}; or --helpfull")
    return _section(section, sections[section], is_full=True)


def flags_by_section() -> dict[str, dict[str, dataclasses.Field]]:
    """The flags of each section, by name. A model's own flags are a section with its name."""
    sections = {"run": {**_Stages.flags(), **Experiment.flags()}}
    for name, group in groups_of(model_settings("dim")).items():
        if name == "model":
            sections[name] = _Model.flags()
            sections |= {model: model_settings(model).flags() for model in registry.MODELS}
        else:
            sections[name] = group.flags()
    return sections


@dataclass(frozen=True)
class _Stages(Settings):
    mode: str = config_field(",".join(DEFAULT_MODES), MODE_HELP, common=True)


@dataclass(frozen=True)
class _Model(Settings):
    model: str = config_field("dim", MODEL_HELP, details=MODEL_DETAILS, common=True)


def _section(name, fields, is_full):
    lines = [f"{name}:"]
    for flag, field in fields.items():
        if is_full or field.metadata["common"]:
            lines += _flag(flag, field, is_full)
    if not fields:
        lines.append("  no settings of its own")
    return "\n".join(lines)


@dataclass(frozen=True)
class FlagText:
    """The text that describes a flag.

    Attributes:
        name: As it is typed after the dashes: "[no]resume", "seed".
        default: Its value if it is not given; "true" or "false" for a flag without a value.
        sentence: What it means, its choices and its other names.
    """

    name: str
    default: str
    sentence: str


def flag_text(name: str, field: dataclasses.Field, is_full: bool) -> FlagText:
    """The text that describes a flag.

    Args:
        name: The flag's name.
        field: Its `config_field`.
        is_full: Whether the sentence has the field's details.
    """
    kind = kind_of(field)
    default: Any = field.default
    sentence = field.metadata["help"]
    if is_full and field.metadata["details"]:
        sentence += f" {field.metadata['details']}"
    if field.metadata["choices"] and ":" not in sentence:
        sentence += f" One of {', '.join(map(str, field.metadata['choices']))}."
    for recipe, value in recipes.values_of(name).items():
        sentence += f" --recipe={recipe}: {value}."
    for alias, original in ALIASES.items():
        if original == name:
            sentence += f" Also --{alias}."
    if kind is bool:
        return FlagText(f"[no]{name}", str(default).lower(), sentence)
    if kind is tuple:
        return FlagText(name, ",".join(map(str, default)), sentence)
    return FlagText(name, f"{default:g}" if kind is float else str(default), sentence)


def _flag(name, field, is_full):
    flag = flag_text(name, field, is_full)
    if kind_of(field) is bool:
        head, sentence = f"  --{flag.name}", f"{flag.sentence} Default: {flag.default}."
    else:
        head, sentence = f"  --{flag.name}={flag.default}", flag.sentence
    body = textwrap.wrap(sentence, WIDTH - _INDENT)
    if len(head) < _INDENT - 1:
        head, body = head.ljust(_INDENT) + body[0], body[1:]
    return [head, *(" " * _INDENT + line for line in body)]


def _more(sections):
    listing = textwrap.fill(
        ", ".join(sections), WIDTH - 2, initial_indent="  ", subsequent_indent="  "
    )
    return f"--helpfull shows all flags, --help=SECTION those of a section or model:\n{listing}"
