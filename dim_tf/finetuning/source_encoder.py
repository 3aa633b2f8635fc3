"""The exported encoder that a classifier is made from, and what it is compared with."""

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.data.image_frame import ImageFrame, ImageSize
from dim_tf.data.splits import Images, Splits
from dim_tf.experiment import Experiment
from dim_tf.export import saved_model_encoder
from dim_tf.export.card import ModelCardInfo
from dim_tf.export.feature import GLOBAL, Feature
from dim_tf.export.saved_model_encoder import SavedModelEncoder
from dim_tf.registry import FEATURES, MAX_FEATURES
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import read_text
from dim_tf.system.json_files import parse_json_object
from dim_tf.training import begun_experiment, start_weights
from dim_tf.training.model import random_encoder
from keras_models.encoders import PRESETS, Encoder

_ELSEWHERE = "by another program"


@dataclass(frozen=True)
class SourceEncoder:
    """An exported encoder that becomes a classifier.

    Attributes:
        path: Folder of the version.
        encoder: The encoder to be trained. Its only endpoint, "global", is the exported feature.
        metadata: Content of its metadata.json; empty: another program wrote the export.
    """

    path: Path
    encoder: SavedModelEncoder
    metadata: Mapping[str, Any]

    @property
    def feature(self) -> Feature:
        """What the head takes from the encoder: its whole output."""
        return Feature(GLOBAL.name, max(MAX_FEATURES, self.encoder.global_dim))

    @property
    def exported_feature(self) -> Feature:
        """The exported feature, as a feature of the encoder that the export was made from."""
        choice = self.metadata.get("feature", {})
        name = choice.get("name", GLOBAL.name)
        return Feature(
            name if name in FEATURES else GLOBAL.name, choice.get("max_features", MAX_FEATURES)
        )

    def card_info(self, license: str, note: str, experiment: dict[str, Any]) -> ModelCardInfo:
        """The encoder's entries on a classifier's card.

        Args:
            license: License of the classifier.
            note: A sentence for the card.
            experiment: The settings of the classifier.
        """
        return ModelCardInfo(
            training_data=str(self.metadata.get("training_data", "")),
            method=str(self.metadata.get("method", _ELSEWHERE)),
            objective=str(self.metadata.get("objective", "")),
            encoder=str(self.metadata.get("encoder", self.name)),
            initial_weights=str(self.metadata.get("initial_weights", "")),
            steps=int(self.metadata.get("steps", 0)),
            batch_size=int(self.metadata.get("batch_size", 0)),
            fitted_images=int(self.metadata.get("fitted_images", 0)),
            license=license,
            note=note,
            experiment={"encoder_version": self.name, **experiment},
        )

    @property
    def name(self) -> str:
        """NAME/VERSION of the export, without the folders above."""
        path = self.path.absolute()
        return f"{path.parent.name}/{path.name}"


def image_size(path: Path) -> ImageSize:
    """The size of the images that an exported encoder takes; 0: unknown.

    Args:
        path: Folder of the version.
    """
    size = _read_metadata(path).get("image_size", 0)
    if isinstance(size, list) and len(size) == 2 and all(type(x) is int and x > 0 for x in size):
        return size[0], size[1]
    return size if type(size) is int and size > 0 else 0


def _read_metadata(path):
    try:
        return parse_json_object(read_text(path / "assets" / "metadata.json"))
    except (OSError, ValueError):  # of another program, with other files
        return {}


def load(path: Path, splits: Splits) -> SourceEncoder:
    """Loads an exported encoder to train it on images.

    Args:
        path: Folder of the version.
        splits: The images.

    Raises:
        InputError: It cannot be trained, or takes other images.
    """
    encoder = saved_model_encoder.load(str(path), scaling=splits.scaling)
    height, width, depth = encoder.image_shape
    own, theirs = ImageFrame(height, width, depth), ImageFrame(*splits.image_shape)
    if own.shape[:2] != theirs.shape[:2]:
        size = ",".join(map(str, own.shape[:2])) if own.height != own.width else own.height
        raise InputError(
            f"the encoder in {path} takes images of {own.height}x{own.width} pixels, the images "
            f"have {theirs.height}x{theirs.width}; give --image_size={size}"
        )
    channels = {own.channels, theirs.channels}
    if len(channels) > 1 and channels != {1, 3}:
        raise InputError(
            f"the encoder in {path} takes images of {own.channels} channels, the images have "
            f"{theirs.channels}; give an encoder that was trained on such images"
        )
    return SourceEncoder(path, encoder, _read_metadata(path))


def is_of_run(experiment: Experiment) -> bool:
    """Whether the encoder is the run folder's, not one given by --encoder_path."""
    return not experiment.evaluation.encoder_path and (experiment.run_path / "checkpoints").is_dir()


def reference_encoders(
    source: SourceEncoder, experiment: Experiment, images: Images
) -> dict[str, Encoder]:
    """Encoders of the same architecture to compare with: random_weights and start_weights.

    start_weights are those that the run started from, if they were not random. What cannot be
    rebuilt, such as the architecture of another program's export, is named in a printed line and
    left out.

    Args:
        source: The encoder that they are compared with.
        experiment: Its settings.
        images: Images of the run.

    Raises:
        InputError: The run's experiment.json cannot be read.
        RunError: The weights that the run started from cannot be restored.
    """
    if not experiment.evaluation.references:
        return {}
    begun = begun_experiment.read(experiment.run_path) if is_of_run(experiment) else None
    settings = begun or _from_metadata(source.metadata, experiment)
    if settings is None or not settings.model.HAS_ENCODER:
        return _without_references(source, "it does not name an encoder that could be made again")
    settings = settings.replace(run_dir=str(experiment.run_path))
    encoder = random_encoder(settings, images)
    parameters = source.metadata.get("parameters")
    if encoder.count_params() != parameters:
        return _without_references(
            source, f"{encoder.count_params():,} parameters were made again of {parameters}"
        )
    encoders = {"random_weights": encoder}
    if begun and start_weights.exists(experiment.run_path):
        encoders["start_weights"] = random_encoder(settings, images)
        start_weights.restore(encoders["start_weights"], experiment.run_path)
    return encoders


def _from_metadata(metadata, experiment) -> Experiment | None:
    """The settings of an export's encoder, if it is one of the presets; else None."""
    name, settings = metadata.get("encoder"), metadata.get("experiment")
    if name not in PRESETS or not isinstance(settings, dict):
        return None
    latent_dim = settings.get("latent_dim", experiment.encoder.latent_dim)
    return experiment.replace(encoder=name, latent_dim=latent_dim, encoder_weights="auto")


def _without_references(source, why):
    say(f"finetune: {source.path} is not compared with random weights: {why}")
    return {}
