"""Settings of --mode=curate."""

from dataclasses import dataclass

from dim_tf.settings.config_field import Settings, config_field
from dim_tf.system.errors import InputError

SUBSET_METHODS = ("coverage", "typical")
APPLY_METHODS = ("", "copy", "symlink")


@dataclass(frozen=True)
class CurationSettings(Settings):
    """What --mode=curate looks for, and whether it writes a clean folder."""

    duplicate_recall: float = config_field(
        0.98,
        "Fraction of augmented copies whose similarity reaches the threshold of duplicates.",
        details="Candidates above the threshold are then compared by pixels.",
        above=0.0,
        maximum=1.0,
        hyperparameter=False,
    )
    duplicate_pixels: bool = config_field(
        True,
        "Compare candidates by pixels; without, duplicates are found by features alone.",
        hyperparameter=False,
    )
    duplicate_false_rate: float = config_field(
        0.001,
        "Fraction of images that may be matched falsely when pixels are not compared.",
        above=0.0,
        maximum=0.2,
        hyperparameter=False,
    )
    duplicate_candidates: int = config_field(
        100_000,
        "Most similar pairs that are compared by pixels; each takes up to 6 kB of memory.",
        minimum=1,
        maximum=10**8,
        hyperparameter=False,
    )
    outlier_neighbours: int = config_field(
        10,
        "Number of nearest neighbours whose mean distance decides whether an image is an outlier.",
        minimum=1,
        maximum=1000,
        hyperparameter=False,
    )
    outlier_false_rate: float = config_field(
        0.1,
        "Expected fraction of false alarms among the outliers.",
        above=0.0,
        maximum=0.5,
        hyperparameter=False,
    )
    label_precision: float = config_field(
        0.9,
        "Doubtful labels are named while this fraction of them may be wrong; 0: all candidates.",
        details="An upper estimate, from labels that are swapped on purpose; see docs/CURATE.md.",
        minimum=0.0,
        maximum=1.0,
        hyperparameter=False,
    )
    subset_size: int = config_field(
        100,
        "Number of images in the subset that represents the whole folder.",
        minimum=1,
        maximum=10**6,
        hyperparameter=False,
    )
    subset_method: str = config_field(
        "typical",
        "How the subset is chosen: typical, the middle of each cluster; coverage, the images "
        "farthest from those chosen before.",
        choices=SUBSET_METHODS,
        hyperparameter=False,
    )
    apply: str = config_field(
        "",
        "Write a clean folder with one of each group of duplicates: copy or symlink; empty: none.",
        choices=APPLY_METHODS,
        hyperparameter=False,
    )
    apply_dir: str = config_field(
        "",
        "The clean folder for --apply; new or empty, and outside the folder of images.",
        is_path=True,
        hyperparameter=False,
    )
    apply_without_outliers: bool = config_field(
        False, "Leave outliers out of the clean folder, too.", hyperparameter=False
    )

    def check(self):
        """Checks that --apply and --apply_dir are given together."""
        if self.apply and not self.apply_dir:
            raise InputError(
                f"--apply={self.apply} needs a folder to write to; give --apply_dir, new or empty"
            )
        if self.apply_dir and not self.apply:
            raise InputError("--apply_dir without --apply; give --apply=copy or --apply=symlink")
