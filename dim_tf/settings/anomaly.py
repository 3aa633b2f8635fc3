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
        details="Where one of the folders is named good, normal or ok, the others are defects, and "
        "AUROCs are stated, also of each type of defect; of pixels by masks in ../ground_truth, as "
        "MVTec AD has them.",
        is_path=True,
        hyperparameter=False,
    )
    false_alarms: float = config_field(
        0.05,
        "Fraction of normal images that may be called anomalous.",
        details="The threshold is chosen on normal images that are not in the memory bank; of a "
        "rate r it takes at least 1/r - 1.",
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
        "Size of the memory bank: fraction of the patches of normal images.",
        above=0.0,
        maximum=1.0,
        hyperparameter=False,
    )
    patches: int = config_field(
        2**18,
        "Patches of normal images, at most, that the bank is chosen from.",
        minimum=2,
        maximum=10**8,
        hyperparameter=False,
    )
    neighbourhood: int = config_field(
        3,
        "Locations a side that a patch is averaged over: 1, 3, 5, ...",
        minimum=1,
        maximum=31,
        hyperparameter=False,
    )

    def check(self):
        """Checks that a neighbourhood has a middle."""
        if self.neighbourhood % 2 == 0:
            raise InputError(
                f"--anomaly_neighbourhood={self.neighbourhood}; expected an odd number, as 3"
            )
