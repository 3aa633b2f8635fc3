"""What each model of --model is: a group of settings that builds its Keras model."""

import abc
from collections.abc import Iterable
from dataclasses import dataclass
from typing import TYPE_CHECKING, ClassVar

from dim_tf.settings.config_field import Settings, config_field
from dim_tf.settings.encoder import EncoderSettings
from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    from dim_tf.data.splits import Splits
    from dim_tf.experiment import Experiment
    from keras_models import DeepInfoMax
    from keras_models.encoders import Encoder
    from keras_models.objective_model import ObjectiveModel
    from keras_models.terms import Term
    from keras_models.views import Views


@dataclass(frozen=True)
class ModelSettings(Settings, abc.ABC):
    """Settings of a model.

    Attributes:
        NAME: Its name in --model.
        LEARNED: How its encoder learns, as words that follow "An image encoder, learned".
        HAS_ENCODER: Whether it trains an encoder.
        NEEDS_LABELS: Whether it learns from labels.
        UNUSED: Flags that have no effect on it and are refused.
        PACKAGE: A package that it needs beyond dim_tf's requirements; empty: none.
        EXTRA: The extra of dim_tf that installs that package.
        DEPENDS_ON_LENGTH: Whether a step depends on the total number of steps.
    """

    NAME: ClassVar[str]
    LEARNED: ClassVar[str]
    HAS_ENCODER: ClassVar[bool] = True
    NEEDS_LABELS: ClassVar[bool] = False
    UNUSED: ClassVar[tuple[str, ...]] = ()
    PACKAGE: ClassVar[str] = ""
    EXTRA: ClassVar[str] = ""
    DEPENDS_ON_LENGTH: ClassVar[bool] = False

    @abc.abstractmethod
    def make(
        self, encoder: "Encoder | None", splits: "Splits", experiment: "Experiment"
    ) -> "ObjectiveModel":
        """The Keras model around that encoder, not built.

        Args:
            encoder: Not built; None for a model that has none.
            splits: The data.
            experiment: All settings.

        Raises:
            InputError: The data do not fit the model.
            ValueError: The encoder does not fit the model.
        """

    @classmethod
    def check_used(cls, names: Iterable[str]) -> None:
        """Checks that the settings have an effect on this model.

        Args:
            names: Names of the flags that are given.

        Raises:
            InputError: One of them has none.
        """
        for name in names:
            if name in cls.UNUSED:
                raise InputError(
                    f"--{name} has no use with --model={cls.NAME}, which has no training steps and "
                    "its own encoder; leave it out, also in the flagfile"
                )

    def check_encoder(self, encoder: EncoderSettings) -> None:
        """Checks that the model can train this encoder.

        Raises:
            InputError: It cannot.
        """

    def check_batch(self, images: int) -> None:
        """Checks that a step compares enough images.

        Args:
            images: Number of other images that an image can be compared with.

        Raises:
            InputError: They are too few.
        """

    def left_out(self, last_step: int) -> str:
        """What a run that ends at that step does not reach, in words; "": nothing."""
        del last_step
        return ""

    @property
    def has_two_views(self) -> bool:
        """Whether the model makes two augmented views of each image."""
        return False

    @property
    def matched_prior(self) -> str:
        """The prior that the encoder's features are trained to match; "": none."""
        return ""

    @property
    def without_effect(self) -> dict[str, str]:
        """Settings of this model that have no effect because of others: flag -> why."""
        return {}

    @property
    def summary(self) -> str:
        """The model and its settings in one line, for the model card."""
        settings = [
            f"{name.removeprefix(self.PREFIX)} {_text(value)}"
            for name, value in self.values().items()
        ]
        return ", ".join([self.NAME, *settings])


def _text(value) -> str:
    if isinstance(value, float):
        return f"{value:g}"
    return " ".join(map(str, value)) if isinstance(value, tuple) else str(value)


@dataclass(frozen=True)
class AugmentedViews(ModelSettings):
    """Settings of a model that compares two augmentations of each image."""

    min_crop_scale: float = config_field(
        0.3,
        "Smallest fraction of the image's area that a random crop of a view shows, before sides "
        "longer than the image's are cut; 1: no crops.",
        above=0,
        maximum=1,
    )
    color_jitter_strength: float = config_field(
        1.0,
        "Strength of the color jitter of a view, which includes grayscale; 0: none.",
        minimum=0,
        maximum=2,
    )

    @property
    def has_two_views(self):
        """Whether it makes two augmented views of each image."""
        return True

    def two_views(
        self, augmentation: str, occluded: bool = False, shared_flip: bool = False
    ) -> "Views":
        """The layer that makes two augmented views of each image.

        Args:
            augmentation: Of the experiment, not none.
            occluded: Whether a random block of the query's view is occluded.
            shared_flip: Whether both views are flipped, or neither.
        """
        from keras_models.views import Augmentation, Views

        return Views(
            Augmentation(self.min_crop_scale, self.color_jitter_strength, augmentation),
            occluded,
            shared_flip=shared_flip,
        )

    def comparing(
        self, term: "Term", encoder: "Encoder", experiment: "Experiment"
    ) -> "DeepInfoMax":
        """The Deep InfoMax model with one term, which compares two augmented views."""
        from keras_models import DeepInfoMax

        return DeepInfoMax(
            encoder,
            [term],
            self.two_views(experiment.augmentation),
            seed=experiment.training.seed,
            name="deep_infomax",
        )
