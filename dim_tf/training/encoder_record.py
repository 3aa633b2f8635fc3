"""What a run folder keeps of an encoder that is a Keras model, so that no other file is needed.

encoder.json holds the encoder's architecture and the hashes of the files that it began with; the
checkpoints hold its weights.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.errors import InputError
from dim_tf.experiment import Experiment
from dim_tf.files import read_json, replace_text, sha256_of, with_checksum
from dim_tf.training import checkpoint_files
from keras_models.encoders import BackboneEncoder, Encoder, backbones

FILE = "encoder.json"


@dataclass(frozen=True)
class EncoderRecord:
    """An encoder without its weights.

    Attributes:
        encoder: the config of a `BackboneEncoder`.
        sha256: of each file that it began with, by the setting that names it.
    """

    encoder: dict[str, Any]
    sha256: dict[str, str]

    def make(self, synchronized: bool) -> BackboneEncoder:
        """The encoder with new random weights, which computes by Keras' policy.

        Raises:
            InputError: this version of Keras cannot make it.
        """
        try:
            backbone = backbones.from_description(self.encoder["backbone"])
            config = {**self.encoder, "backbone": backbone, "synchronized": synchronized}
            return BackboneEncoder(**config)
        except Exception as error:  # of Keras, all kinds
            line = str(error).strip().partition("\n")[0]
            raise InputError(
                f"the encoder in {FILE} cannot be made ({line}); if the run is of another version "
                "of Keras or of a package of layers, install that"
            ) from error

    def check(self, experiment: Experiment) -> None:
        """Raises InputError where a file of the settings is there and is another one."""
        for name, path in experiment.encoder.files.items():
            begun, now = self.sha256.get(name), _sha256(path) if path.is_file() else None
            if now and begun and now != begun:
                raise InputError(
                    f"{experiment.run_path} holds a run that began with another file than "
                    f"--{name}={path} is now (SHA-256 {begun[:12]}..., now {now[:12]}...); give "
                    "that file, another --run_dir or --name, or --noresume to start anew there"
                )


def read(folder: Path) -> EncoderRecord | None:
    """The record of a run that has a checkpoint; None: there is none.

    Raises:
        InputError: it is damaged.
    """
    path = folder / FILE
    if not path.exists() or not checkpoint_files.steps(folder / "checkpoints"):
        return None
    remedy = "give another --run_dir, or --noresume to start anew"
    found = read_json(path, remedy)
    try:
        return EncoderRecord(dict(found["encoder"]), dict(found["files"]))
    except (KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no record of an encoder; {remedy}") from error


def write(folder: Path, experiment: Experiment, encoder: Encoder) -> None:
    """Writes the record of an encoder that is a Keras model; of others there is none.

    Raises:
        OSError: it cannot be written.
    """
    if not experiment.encoder.is_backbone:
        return
    before = read(folder)
    if before:  # of a run that goes on, whose files may be gone
        return
    files = {name: _sha256(path) for name, path in experiment.encoder.files.items()}
    record = {"encoder": encoder.get_config(), "files": files}
    replace_text(folder / FILE, with_checksum(record))


def _sha256(path: Path) -> str:
    try:
        return sha256_of(path)
    except OSError as error:
        raise InputError(f"{path} cannot be read ({error.strerror}); give another") from error
