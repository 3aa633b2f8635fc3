"""`Experiment`: every setting of a run, validated, in frozen dataclasses grouped by use."""

import dataclasses
import json
import os
import pkgutil
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf import recipes, registry
from dim_tf.models.base import ModelSettings
from dim_tf.models.dim import DIM
from dim_tf.settings.anomaly import AnomalySettings
from dim_tf.settings.collection import CollectionSettings
from dim_tf.settings.config_field import Settings, checked, config_field, quoted
from dim_tf.settings.curation import CurationSettings
from dim_tf.settings.data import DataSettings
from dim_tf.settings.encoder import EncoderSettings
from dim_tf.settings.evaluation import EvaluationSettings
from dim_tf.settings.export import ExportSettings
from dim_tf.settings.finetuning import FineTuningSettings
from dim_tf.settings.search import SearchSettings
from dim_tf.settings.table import TableSettings
from dim_tf.settings.training import AUTOMATIC, TrainingSettings
from dim_tf.system.errors import InputError
from dim_tf.system.json_files import parse_json_object

LONGEST_NAME = 200  # bytes of a folder's name; file systems take 255


@dataclass(frozen=True)
class Experiment(Settings):
    """The settings of a run.

    >>> experiment = Experiment.of(name="tiny", model="simclr", **{"simclr.temperature": 0.2})
    >>> experiment.model.temperature, experiment.training.batch_size
    (0.2, 64)

    Attributes:
        data: The images.
        encoder: The network that is trained.
        model: How it is trained: the settings of one of `registry.MODELS`.
        training: How long it is trained, and on which devices.
        evaluation: What is measured.
        export: What is exported.
        finetuning: Settings of --mode=finetune.
        collection: What --mode=embed embeds.
        curation: Settings of --mode=curate.
        anomaly: Settings of --mode=anomaly.
        search: Settings of --mode=search.
        table: Settings of --mode=table.
        automatic: Flags of `AUTOMATIC` whose values training has chosen, in order.
    """

    name: str = config_field(
        "",
        "Name of the run and of the export; empty: the flagfile's name without its ending, or the "
        "name of the folder of images.",
        common=True,
        hyperparameter=False,
    )
    run_dir: str = config_field(
        "", "Run folder; empty: runs/NAME.", common=True, is_path=True, hyperparameter=False
    )
    recipe: str = config_field(
        recipes.AUTO,
        "Defaults of other flags: two_views; paper, each flag's own default; auto: two_views for "
        "--dataset=folder with --model=dim, else paper.",
        details="two_views contrasts two augmented views of each image. Values of the recipe that "
        "do not fit flags that you give are left out.",
        common=True,
        choices=(recipes.AUTO, *recipes.RECIPES),
        hyperparameter=False,  # its values are
    )
    data: DataSettings = dataclasses.field(default_factory=DataSettings)
    encoder: EncoderSettings = dataclasses.field(default_factory=EncoderSettings)
    model: ModelSettings = dataclasses.field(default_factory=DIM)
    training: TrainingSettings = dataclasses.field(default_factory=TrainingSettings)
    evaluation: EvaluationSettings = dataclasses.field(default_factory=EvaluationSettings)
    export: ExportSettings = dataclasses.field(default_factory=ExportSettings)
    finetuning: FineTuningSettings = dataclasses.field(default_factory=FineTuningSettings)
    collection: CollectionSettings = dataclasses.field(default_factory=CollectionSettings)
    curation: CurationSettings = dataclasses.field(default_factory=CurationSettings)
    anomaly: AnomalySettings = dataclasses.field(default_factory=AnomalySettings)
    search: SearchSettings = dataclasses.field(default_factory=SearchSettings)
    table: TableSettings = dataclasses.field(default_factory=TableSettings)
    automatic: tuple[str, ...] = ()

    @classmethod
    def of(cls, **settings: Any) -> "Experiment":
        """The experiment with these settings; all others are those of the recipe, or defaults.

        Args:
            **settings: By flag name, such as batch_size or simclr.temperature; "model" names the
                model.

        Raises:
            InputError: A setting does not exist or the model does not have it, a value is not
                allowed, or two settings exclude each other.
        """
        if settings.get("minutes") and settings.get("steps"):
            raise InputError("--minutes and --steps are both given; give one of them")
        settings = cls._with_recipe(settings)
        if settings.get("minutes"):
            settings = {"epochs": 0, **settings}
        return cls._of(settings)

    @classmethod
    def _of(cls, settings: Mapping[str, Any]) -> "Experiment":
        """The experiment with these settings; all others have their defaults."""
        settings = dict(settings)
        model = model_settings(settings.pop("model", DIM.NAME))
        groups = groups_of(model)
        check_known(settings, model)
        arguments: dict[str, Any] = _of_flags(cls, settings)
        for attribute, group in groups.items():
            arguments[attribute] = group(**_of_flags(group, settings))
        return cls(**arguments)

    @classmethod
    def _with_recipe(cls, settings: Mapping[str, Any]) -> dict[str, Any]:
        """The settings, together with those values of their recipe that fit them."""
        model = model_settings(settings.get("model", DIM.NAME))
        check_known(settings, model)
        field = cls.flags()["recipe"]
        recipe = checked("--recipe", field, settings.get("recipe", field.default))
        recipe = recipes.resolve(recipe, settings.get("dataset", ""), model.NAME)
        settings = {**settings, "recipe": recipe}
        defaults = {
            name: field.default
            for group in groups_of(model).values()
            for name, field in group.flags().items()
        }
        return recipes.completed(recipes.RECIPES[recipe], settings, defaults)

    def replace(self, **settings: Any) -> "Experiment":
        """The experiment with other values for these settings, by flag name.

        All other settings stay, so no recipe is applied. Settings of another model have that
        model's defaults. A new length (epochs, minutes) replaces the old one; with minutes, the
        number of steps is not known yet.
        """
        before = self.to_dict()
        if settings.get("minutes"):
            before |= {"epochs": 0, "steps": 0}
        elif self.training.minutes and not {"epochs", "minutes"}.isdisjoint(settings):
            before |= {"minutes": 0.0, "epochs": default_of("epochs"), "steps": 0}
        if settings.get("model", self.model.NAME) != self.model.NAME:  # has settings of its own
            before = {
                name: value for name, value in before.items() if name not in self.model.flags()
            }
            before["recipe"] = recipes.PAPER
        experiment = self._of({**before, **settings})
        automatic = tuple(name for name in self.automatic if name not in settings)
        return dataclasses.replace(experiment, automatic=automatic)

    def check(self):
        """Checks the name and the run folder, and that the groups fit together."""
        if not self.name:
            raise InputError("--name is empty and no --flagfile gives one; give a name")
        if self.name == "serving":
            raise InputError("--name=serving is the folder of the server's configuration; rename")
        _check_name(self.name)
        _check_no_pattern("run_dir" if self.run_dir else "name", str(self.run_path))
        values, fields = self.to_dict(), self._fields()
        self.model.check_used(n for n in self.model.UNUSED if values[n] != fields[n].default)
        self.model.check_encoder(self.encoder)
        if self.model.has_two_views and self.augmentation == "none":
            raise InputError(
                "--augmentation=none makes both views of an image the same; give another "
                "--augmentation, or a --model of one view"
            )
        if self.model.DEPENDS_ON_LENGTH and self.training.minutes:
            raise InputError(
                f"--minutes: the steps of --model={self.model.NAME} take different times, so they "
                "cannot be measured beforehand; give --epochs or --steps"
            )
        self.training.check_multiple("frozen_steps", max(0, self.encoder.frozen_steps))

    @property
    def run_path(self) -> Path:
        """The run folder."""
        return Path(self.run_dir or Path("runs") / self.name)

    @property
    def augmentation(self) -> str:
        """The augmentation of the training images, after resolving --augmentation."""
        if "augmentation" in self.model.UNUSED:
            return "none"
        if self.data.augmentation != "auto":
            return self.data.augmentation
        if self.model.has_two_views:
            return "natural"
        source = registry.SOURCES.get(self.data.dataset)
        return source.augmentation if source else "none"

    @property
    def pipeline_augmentation(self) -> str:
        """The augmentation in the input pipeline: none if the model makes two views."""
        return "none" if self.model.has_two_views else self.augmentation

    @property
    def hyperparameters(self) -> dict[str, Any]:
        """The settings that distinguish experiments: no folders, no devices, no lengths."""
        fields, values = self._fields(), self.used_settings
        hyperparameters = {"model": self.model.NAME} | {
            name: values[name]
            for name, setting in fields.items()
            if name in values and setting.metadata["hyperparameter"]
        }
        for name, path in self.encoder.files.items():  # wherever it is; its hash is compared
            hyperparameters[name] = f"FILE{path.suffix}"
        # The learning rate falls over the length of the run, or layers share it.
        if self.training.schedule != "constant" or self.model.DEPENDS_ON_LENGTH:
            length = ("epochs", "minutes", "steps")
            hyperparameters |= {name: values[name] for name in length}
        return hyperparameters | {"augmentation": self.augmentation}

    @property
    def used_settings(self) -> dict[str, Any]:
        """The values of `to_dict` without those that have no effect on the model."""
        return {k: value for k, value in self.to_dict().items() if k not in self.model.UNUSED}

    def differences(self, other: "Experiment") -> list[str]:
        """Settings that make `other` a different experiment, as 'name: theirs -> mine'."""
        mine, theirs = self.hyperparameters, other.hyperparameters
        return [
            f"{name}: {theirs[name]!r} -> {mine[name]!r}"
            for name in mine  # one that either lacks depends on another that is different
            if name in theirs and mine[name] != theirs[name]
        ]

    def to_dict(self) -> dict[str, Any]:
        """All values, by flag name; `of` makes the experiment from it."""
        values = {"model": self.model.NAME, **self.values()}
        for group in self._groups().values():
            values |= group.values()
        return values

    def to_json(self) -> str:
        """All values by groups, as JSON."""
        groups = {
            attribute: {"name": group.NAME, **dataclasses.asdict(group)}
            if isinstance(group, ModelSettings)
            else dataclasses.asdict(group)
            for attribute, group in self._groups().items()
        }
        content = {**self.values(), **groups, "automatic": self.automatic}
        return json.dumps(content, indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Experiment":
        """Reads what `to_json` wrote; missing settings get their default, not a recipe's value.

        Raises:
            InputError: The text is not from `to_json`, has a setting that this version does not
                know, or a value of a wrong type or one that is not allowed.
        """
        try:
            return cls(**_from_json(parse_json_object(text)))
        except ValueError as error:
            raise InputError(f"not an experiment.json of this version: {error}") from error

    def _groups(self) -> dict[str, Settings]:
        return {name: getattr(self, name) for name in groups_of(type(self.model))}

    def _fields(self) -> dict[str, dataclasses.Field]:
        fields = self.flags()
        for group in self._groups().values():
            fields |= group.flags()
        return fields


def _of_flags(group: type[Settings], settings: Mapping[str, Any]) -> dict[str, Any]:
    """Those of the settings that belong to the group, by field name."""
    return {field.name: settings[flag] for flag, field in group.flags().items() if flag in settings}


def groups_of(model: type[ModelSettings]) -> dict[str, type[Settings]]:
    """The groups of an experiment with that model, by attribute, in the order of --help."""
    return {
        "data": DataSettings,
        "encoder": EncoderSettings,
        "model": model,
        "training": TrainingSettings,
        "evaluation": EvaluationSettings,
        "export": ExportSettings,
        "finetuning": FineTuningSettings,
        "collection": CollectionSettings,
        "curation": CurationSettings,
        "anomaly": AnomalySettings,
        "search": SearchSettings,
        "table": TableSettings,
    }


def model_settings(name: str) -> type[ModelSettings]:
    """The settings of the model of that name.

    Raises:
        InputError: The model does not exist.
    """
    if not isinstance(name, str) or name not in registry.MODELS:
        raise InputError(
            f"--model={quoted(name)}; expected one of {', '.join(map(repr, registry.MODELS))}"
        )
    return pkgutil.resolve_name(registry.MODELS[name])


def all_fields() -> dict[str, dataclasses.Field]:
    """The fields of all settings, including those of every model, by flag name."""
    fields = Experiment.flags()
    for group in groups_of(DIM).values():
        fields |= group.flags()
    for model in registry.MODELS:
        fields |= model_settings(model).flags()
    return fields


def default_of(flag: str) -> Any:
    """The default of any setting, including --model."""
    return DIM.NAME if flag == "model" else all_fields()[flag].default


def known_settings(model: type[ModelSettings]) -> set[str]:
    """The settings of an experiment with that model, by flag name."""
    known = {"model", *Experiment.flags()}
    for group in groups_of(model).values():
        known |= set(group.flags())
    return known


def check_known(settings: Mapping[str, Any], model: type[ModelSettings]) -> None:
    """Checks that an experiment with that model has all these settings.

    Args:
        settings: By flag name.
        model: The model's settings.

    Raises:
        InputError: A setting is unknown, or belongs to another model.
    """
    known = known_settings(model)
    for name in settings:
        if name in known:
            continue
        owners = [key for key in registry.MODELS if name in model_settings(key).flags()]
        if not owners:
            raise InputError(f"there is no setting {quoted(name)}; see --helpfull")
        flags = ", ".join(f"--{flag}" for flag in model.flags()) or "none of its own"
        raise InputError(
            f"--{name} is a setting of --model={owners[0]}, not of {model.NAME}, which has {flags}"
            "; leave it out, also in the flagfile"
        )


def _from_json(values: dict[str, Any]) -> dict[str, Any]:
    """The arguments of `Experiment`.

    Raises:
        InputError: A value is not allowed.
        ValueError: A setting is unknown, or something is not an object.
    """
    arguments: dict[str, Any] = {}
    model = _object(values.get("model", {}), "model")
    groups = groups_of(model_settings(str(model.get("name", DIM.NAME))))
    for name, value in values.items():
        if name in groups:
            group, fields = groups[name], dict(_object(value, name))
            if name == "model":
                fields.pop("name", None)
            unknown = set(fields) - {known.name for known in group.flags().values()}
            if unknown:
                setting = quoted(f"{name}.{min(unknown)}")
                raise ValueError(f"it has the setting {setting}, which is unknown here")
            arguments[name] = group(**fields)
        elif name == "automatic":
            if not isinstance(value, list) or any(entry not in [*AUTOMATIC] for entry in value):
                raise ValueError(f"automatic is {quoted(value)}; expected some of {[*AUTOMATIC]}")
            arguments[name] = tuple(value)
        elif name in Experiment.flags():
            arguments[name] = value
        else:
            raise ValueError(f"it has the setting {name!r}, which is unknown here")
    if "model" not in arguments:
        arguments["model"] = groups["model"]()
    return {"recipe": recipes.PAPER, **arguments}


def _object(value, name):
    if not isinstance(value, dict):
        raise ValueError(f"{name} is {quoted(value)}; expected an object of settings")
    return value


def _check_no_pattern(name, path):
    """Refuses patterns: TensorFlow finds checkpoints by patterns that start with the run folder."""
    signs = [sign for sign in path if sign in "*?[]\\"]
    if signs:
        raise InputError(
            f"--{name}: the run folder {quoted(path)} has {signs[0]!r} in its path, which stands "
            "for other files where TensorFlow looks for checkpoints; leave it out"
        )


def _check_name(name):
    """A name is that of a folder in runs/ and in EXPORT_DIR, and an entry in the list --runs."""
    reason = ""
    if any(sign in name for sign in "/,"):
        reason = "is a folder's name, and one of a list in --runs; leave out '/' and ','"
    elif name.startswith("."):
        reason = "is the name of a hidden folder; leave out the '.' before it"
    elif name != name.strip():
        reason = "begins or ends with a space; leave it out"
    elif len(os.fsencode(name)) > LONGEST_NAME:
        reason = f"has more than {LONGEST_NAME} bytes; give a shorter one"
    if reason:
        raise InputError(f"--name={quoted(name)} {reason}")
