"""Settings of the export."""

from dataclasses import dataclass

from dim_tf.registry import FEATURES, TFLITE
from dim_tf.settings.config_field import Settings, config_field
from dim_tf.system.errors import InputError

AUTO = "auto"


@dataclass(frozen=True)
class ExportSettings(Settings):
    """What is exported, and where."""

    export_dir: str = config_field(
        "exported",
        "Folder of exported models.",
        common=True,
        is_path=True,
        hyperparameter=False,
    )
    feature: str = config_field(
        AUTO,
        "Feature that the exported encoder returns: global, fc, conv, local_pooled (the mean of "
        "local); auto: the best on labelled training images.",
        details="--mode=evaluate measures it by the mean accuracy or AUC of nearest neighbours "
        "and a linear probe, and takes the smallest feature within one standard error of the "
        "best. Without labels, auto is global. A feature that the encoder lacks is refused before "
        "training.",
        common=True,
        choices=(AUTO, *FEATURES),
        hyperparameter=False,
    )
    keep_versions: int = config_field(
        0,
        "Number of newest exported versions that are kept; 0: all.",
        minimum=0,
        hyperparameter=False,
    )
    license: str = config_field(
        "", "License of the weights, for the model card.", hyperparameter=False
    )
    card_note: str = config_field(
        "", "A sentence of yours for the model card.", hyperparameter=False
    )
    quantized: bool = config_field(
        False, "Export the signature quantized: features as bytes.", hyperparameter=False
    )
    neighbours_index: str = config_field(
        "",
        "Export the signature neighbours, which finds an image's neighbours among: train, the "
        "training images; or the embeddings in a folder that --mode=embed wrote.",
        is_path=True,
        hyperparameter=False,
    )
    neighbours: int = config_field(
        10,
        "Neighbours that the signature returns.",
        minimum=1,
        maximum=10**6,
        hyperparameter=False,
    )
    tflite: str = config_field(
        "all",
        "TFLite files of the export, with commas between; or all, or none.",
        details=f"All: {', '.join(TFLITE)}.",
        hyperparameter=False,
    )
    tflite_endpoints: bool = config_field(
        False, "Export a TFLite file of all endpoints as well.", hyperparameter=False
    )

    def check(self):
        """Checks the names of the TFLite files."""
        unknown = [name for name in self.tflite_names if name not in TFLITE]
        if unknown:
            raise InputError(
                f"--tflite has no {unknown[0]!r}; expected all, none, or a list of "
                f"{', '.join(TFLITE)}"
            )

    @property
    def tflite_names(self) -> tuple[str, ...]:
        """The names in `tflite`."""
        if self.tflite in ("all", "none"):
            return TFLITE if self.tflite == "all" else ()
        return tuple(name.strip() for name in self.tflite.split(","))
