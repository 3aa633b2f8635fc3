"""Settings of evaluation."""

import os
from dataclasses import dataclass
from pathlib import Path

from dim_tf.registry import DEFAULT_MEASURES, MAX_FEATURES, MEASURES, REFERENCE_TITLES
from dim_tf.settings.config_field import Settings, config_field
from dim_tf.system.errors import InputError

# Names of the references that are measured without --reference.
RESERVED_NAMES = (*REFERENCE_TITLES, "encoder")


@dataclass(frozen=True)
class EvaluationSettings(Settings):
    """What is measured, for which encoder, and how."""

    measures: str = config_field(
        ",".join(DEFAULT_MEASURES),
        "Measures, with commas between; or all.",
        details=f"All: {', '.join(MEASURES)}.",
        common=True,
        hyperparameter=False,
    )
    encoder_path: str = config_field(
        "",
        "Encoder for --mode=evaluate, any SavedModel or .keras file; or for --mode=finetune, "
        "embed, curate, anomaly and search, a version of an export; empty: the run's.",
        is_path=True,
        hyperparameter=False,
    )
    references: bool = config_field(
        True,
        "Measure random weights, the weights that training began with, and raw pixels as well.",
        hyperparameter=False,
    )
    reference: str = config_field(
        "",
        "Models to compare with, commas between: .keras files or SavedModels.",
        details="NAME=PATH names one; otherwise its name is that of the file or folder, or "
        "NAME/VERSION for an export. The models take images in [0, 1], as for --encoder_path.",
        common=True,
        hyperparameter=False,
    )
    probe: str = config_field(
        "auto",
        "How probes are trained: authors, the recipe of Deep InfoMax; fast, a convex solver and "
        "large batches, which converge on few images too; auto: fast for --dataset=folder, authors "
        "for others.",
        choices=("auto", "authors", "fast"),
        hyperparameter=False,
    )
    probe_epochs: int = config_field(
        10,
        "Epochs of each probe's training by --probe=authors.",
        minimum=1,
        maximum=10**6,
        hyperparameter=False,
    )
    probe_seeds: int = config_field(
        2,
        "Probes trained for each value of the encoder.",
        minimum=1,
        maximum=1000,
        hyperparameter=False,
    )
    probe_learning_rate: float = config_field(
        1e-4,
        "Learning rate of each probe with --probe=authors; the authors' is 1e-4.",
        above=0,
        hyperparameter=False,
    )
    max_features: int = config_field(
        MAX_FEATURES,
        "Largest size of an endpoint; larger ones are averaged over their locations.",
        minimum=3,  # a pixel's
        hyperparameter=False,
    )
    memory: float = config_field(
        0.0,
        "GiB of images and features kept in memory; the rest goes to files in the run folder; 0: "
        "half of the free memory.",
        minimum=0,
        maximum=2**20,
        hyperparameter=False,
    )
    fine_tuning_epochs: int = config_field(
        10,
        "Epochs of the measure fine_tuning, at --learning_rate.",
        minimum=1,
        maximum=10**6,
        hyperparameter=False,
    )
    fine_tuning_fraction: float = config_field(
        1.0,
        "Fraction of the training images whose labels fine_tuning sees.",
        above=0,
        maximum=1,
        hyperparameter=False,
    )
    runs: str = config_field(
        "",
        "Runs that --mode=compare compares: folders or names under runs/, with commas between; the "
        "page is written to --run_dir, or to runs/compare-NAMES.",
        hyperparameter=False,
    )

    def check(self):
        """Checks the names of the measures and of the references."""
        if self.reference and not self.references:
            raise InputError("--reference and --noreferences are both given; leave one out")
        _ = self.reference_paths
        unknown = [name for name in self.measure_names if name not in MEASURES]
        if unknown:
            raise InputError(
                f"--measures has no {unknown[0]!r}; expected all, or a list of "
                f"{', '.join(MEASURES)}, with commas between"
            )
        if len(set(self.measure_names)) < len(self.measure_names):
            raise InputError(f"--measures={self.measures} names a measure twice; name it once")

    @property
    def reference_paths(self) -> dict[str, str]:
        """The paths of the models in `reference`, by name.

        Raises:
            InputError: A path or a name is missing, or a name is given twice or is reserved.
        """
        paths: dict[str, str] = {}
        for entry in self.reference.split(",") if self.reference else ():
            name, path = _named_path(entry.strip())
            if not name or not path:
                raise InputError(
                    f"--reference={self.reference} has an empty name or path; give paths, or "
                    "NAME=PATH, with commas between"
                )
            if name in paths or name in RESERVED_NAMES:
                why = "names two models" if name in paths else "is the name of something else"
                raise InputError(
                    f"--reference={self.reference}: {name!r} {why}; give another one by NAME=PATH"
                )
            paths[name] = path
        return paths

    @property
    def measure_names(self) -> tuple[str, ...]:
        """The names in `measures`."""
        if self.measures == "all":
            return tuple(MEASURES)
        return tuple(name.strip() for name in self.measures.split(","))


def _named_path(entry: str) -> tuple[str, str]:
    """Name and path of NAME=PATH or PATH. Write ./ before a path whose first folder has a "="."""
    name, sign, path = entry.partition("=")
    if sign and "/" not in name:
        return name.strip(), os.path.expanduser(path.strip())
    path = os.path.expanduser(entry)
    file = Path(path)
    if file.name.isdecimal():  # the version of an export
        return "/".join(file.parts[-2:]).lstrip("/"), path
    return file.stem if file.suffix == ".keras" else file.name, path
