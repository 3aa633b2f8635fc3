"""The base class of models that train one encoder."""

import keras

from keras_models.objective_model import ObjectiveModel


def one_global(shapes: dict[str, tuple]) -> tuple:
    """The shape of the global feature, one per image.

    Raises:
        ValueError: The encoder has several globals per image.
    """
    shape = shapes["global"]
    if len(shape) != 2:
        raise ValueError(
            f"needs one global feature an image; this encoder has {shape[1]}x{shape[2]}: take "
            "another --encoder"
        )
    return shape


def check_makes_images_of(encoder, decoder) -> None:
    """Raises ValueError if a decoder or generator outputs images of another shape."""
    if tuple(decoder.image_shape) != tuple(encoder.image_shape):
        raise ValueError(
            f"the encoder takes images of shape {encoder.image_shape}, the decoder makes "
            f"{decoder.image_shape}; make both for one shape"
        )


class EncoderModel(ObjectiveModel):
    """A model whose objective trains an encoder, and heads that only training needs.

    Subclasses create their heads in the constructor, build them in `build_heads`, and return their
    own arguments from `config`, where Keras objects are allowed.

    Args:
        encoder: Images -> endpoints.
        seed: Seed of the random numbers drawn in training.
    """

    def __init__(self, encoder, seed: int = 0, **kwargs):
        super().__init__(seed, **kwargs)
        self.encoder = encoder
        self._heads_built = False

    @property
    def image_shape(self):
        return self.encoder.image_shape

    @property
    def adversary_variables(self):
        return []

    def build_parts(self):
        if not self.encoder.built:
            self.encoder.build()
        if not self._heads_built:
            self.build_heads(self.encoder.endpoint_shapes())
            self._heads_built = True

    def build_heads(self, shapes: dict[str, tuple]) -> None:
        """Builds all parts except the encoder.

        Args:
            shapes: Shapes of the encoder's endpoints; batch size None.
        """

    def call(self, images, training=False):
        """Images [N, H, W, C] in [-1, 1] -> the encoder's endpoints."""
        return self.encoder(images, training=training)

    def config(self) -> dict:
        """Arguments of the constructor other than `encoder`, `seed` and `name`."""
        return {}

    def get_config(self):
        arguments = {"encoder": self.encoder, **self.config()}
        return {
            "name": self.name,
            "seed": self.seed,
            **{name: _serialized(value) for name, value in arguments.items()},
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{name: _restored(value) for name, value in config.items()})


def _serialized(value):
    """The configuration of a Keras object or of a list of them; other values unchanged."""
    if isinstance(value, list):
        return [_serialized(item) for item in value]
    return keras.saving.serialize_keras_object(value) if hasattr(value, "get_config") else value


def _restored(value):
    """The value from which `_serialized` made its result."""
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
