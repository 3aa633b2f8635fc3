"""encoder.json: the architecture of a run's encoder, if it is a Keras model.

With it and the checkpoints, which contain the weights, a run needs no other file. It also has the
hashes of the files from which the encoder came.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text, sha256_of
from dim_tf.system.json_files import json_with_checksum, read_json
from dim_tf.training import checkpoint_files
from keras_models.encoders import BackboneEncoder, Encoder, backbone_config

FILE = "encoder.json"


@dataclass(frozen=True)
class EncoderConfig:
    """An encoder without its weights.

    Attributes:
        config: Configuration of a `BackboneEncoder`.
        sha256: SHA-256 of each file from which the encoder came, by the setting that names the
            file.
    """

    config: dict[str, Any]
    sha256: dict[str, str]

    def make_encoder(self, synchronized: bool) -> BackboneEncoder:
        """The encoder with new random weights, which computes under Keras' policy.

        Raises:
            InputError: This version of Keras cannot create it.
        """
        try:
            backbone = backbone_config.deserialize(self.config["backbone"])
            config = {**self.config, "backbone": backbone, "synchronized": synchronized}
            return BackboneEncoder(**config)
        except Exception as error:  # Keras raises all kinds
            line = str(error).strip().partition("\n")[0]
            raise InputError(
                f"the encoder in {FILE} cannot be made ({line}); if the run is of another version "
                "of Keras or of a package of layers, install that"
            ) from error

    def check_files(self, experiment: Experiment) -> None:
        """Raises InputError if a file that the settings name has changed; it may be missing."""
        for name, path in experiment.encoder.files.items():
            begun, current = self.sha256.get(name), _sha256(path) if path.is_file() else None
            if current and begun and current != begun:
                raise InputError(
                    f"{experiment.run_path} holds a run that began with another file than "
                    f"--{name}={path} is now (SHA-256 {begun[:12]}..., now {current[:12]}...); "
                    "give that file, another --run_dir or --name, or --noresume to start anew there"
                )


def read(folder: Path) -> EncoderConfig | None:
    """The encoder's config in a run that has a checkpoint; None if there is none.

    Raises:
        InputError: It is damaged.
    """
    path = folder / FILE
    if not path.exists() or not checkpoint_files.steps(folder / "checkpoints"):
        return None
    remedy = "give another --run_dir, or --noresume to start anew"
    content = read_json(path, remedy)
    try:
        return EncoderConfig(dict(content["encoder"]), dict(content["files"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no record of an encoder; {remedy}") from error


def write(folder: Path, experiment: Experiment, encoder: Encoder) -> None:
    """Writes the config of an encoder that is a Keras model; others follow from the settings.

    Raises:
        OSError: It cannot be written.
    """
    if not experiment.encoder.is_backbone:
        return
    if read(folder):  # the run continues, and its files may be gone
        return
    files = {name: _sha256(path) for name, path in experiment.encoder.files.items()}
    content = {"encoder": encoder.get_config(), "files": files}
    atomic_write_text(folder / FILE, json_with_checksum(content))


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give another") from error
