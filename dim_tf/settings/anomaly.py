"""Settings of --mode=anomaly."""

from dataclasses import dataclass
from typing import ClassVar

from dim_tf.settings.config_field import Settings, config_field
from dim_tf.system.errors import InputError

NORMAL_NAMES = ("good", "normal", "ok")  # of folders of normal images, in any case


@dataclass(frozen=True)
class AnomalySettings(Settings):
    """How --mode=anomaly learns normal images, and which images it scores."""

    PREFIX: ClassVar[str] = "anomaly_"

    input: str = config_field(
        "",
        "Folder of images that --mode=anomaly scores, or several with commas; those of --data_dir "
        "are the normal ones.",
        details="If a folder in it, or one of several, is named good, normal or ok, all other "
        "folders hold defects, and AUROCs are reported, also for each type of defect; for pixels, "
        "if ../ground_truth has masks as in MVTec AD.",
        is_path=True,
        hyperparameter=False,
    )
    false_alarms: float = config_field(
        0.05,
        "Fraction of normal images that may be called anomalous.",
        details="The threshold is chosen on normal images that are not in the memory bank; a rate "
        "r needs at least 1/r - 1 of them.",
        above=0.0,
        maximum=0.5,
        hyperparameter=False,
    )
    calibration: float = config_field(
        0.3,
        "Fraction of the normal images that choose the threshold; the others fill the bank.",
        above=0.0,
        maximum=0.9,
        hyperparameter=False,
    )
    bank: float = config_field(
        0.1,
        "Size of the memory bank, as a fraction of the patches of normal images.",
        above=0.0,
        maximum=1.0,
        hyperparameter=False,
    )
    patches: int = config_field(
        2**18,
        "Largest number of patches of normal images from which the bank is chosen.",
        minimum=2,
        maximum=10**8,
        hyperparameter=False,
    )
    neighbourhood: int = config_field(
        3,
        "Size of the square of locations over which a patch is averaged, per side: 1, 3, 5, ...",
        minimum=1,
        maximum=31,
        hyperparameter=False,
    )

    def check(self):
        """Checks that a neighbourhood has a middle."""
        if self.neighbourhood % 2 == 0:
            raise InputError(
                f"--anomaly_neighbourhood={self.neighbourhood}; expected an odd number, such as 3"
            )
