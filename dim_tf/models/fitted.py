"""Models that are fitted to the training images, without gradient descent."""

import abc
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dim_tf.models.base import ModelSettings
from dim_tf.settings.config_field import config_field
from dim_tf.settings.encoder import EncoderSettings
from dim_tf.settings.training import TrainingSettings

if TYPE_CHECKING:
    import numpy as np

    from keras_models.encoders import Encoder

_OF_STEPS = tuple(name for name in TrainingSettings.flags() if name not in ("seed", "resume"))
_OF_ENCODERS = tuple(name for name in EncoderSettings.flags() if name != "latent_dim")


@dataclass(frozen=True)
class FittedModel(ModelSettings):
    """Settings of a model that is fitted once.

    It has its own encoder. `fit` is its training: the run's checkpoint is that of step 1.
    """

    UNUSED: ClassVar[tuple[str, ...]] = (*_OF_STEPS, *_OF_ENCODERS, "augmentation")

    images: int = config_field(
        20_000,
        "Largest number of training images it is fitted on, drawn by --seed, in memory; 0: all.",
        minimum=0,
    )

    @abc.abstractmethod
    def make_encoder(self, image_shape: tuple[int, int, int], latent_dim: int) -> "Encoder":
        """The encoder with random weights, not built.

        Args:
            image_shape: (height, width, channels) of the images.
            latent_dim: The setting of that name.

        Raises:
            ValueError: The images do not fit.
        """

    @abc.abstractmethod
    def fit(self, encoder: "Encoder", images: "np.ndarray", seed: int) -> dict[str, float]:
        """Fits an encoder's weights.

        Args:
            encoder: From `make_encoder`, built.
            images: float32 [N, H, W, C] in [-1, 1]. They may be changed.
            seed: Seed of all random numbers.

        Returns:
            Numbers that say how well the model fits, by name, for the log; all finite.

        Raises:
            ValueError: There are not enough images.
        """

    def make(self, encoder, splits, experiment):
        """The model that holds the encoder for its checkpoint."""
        from keras_models.classical.fitted_encoder import FittedEncoder

        return FittedEncoder(encoder, name=self.NAME)

    def fitted_images(self, images: int) -> int:
        """The number of training images it is fitted on, out of that many."""
        return min(self.images or images, images)


@dataclass(frozen=True)
class FittedPrototypes(FittedModel):
    """Settings of a model whose prototypes give its features; --latent_dim has no effect."""

    UNUSED: ClassVar[tuple[str, ...]] = (*FittedModel.UNUSED, "latent_dim")
