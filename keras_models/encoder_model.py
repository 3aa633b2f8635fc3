"""What the models around one encoder share."""

import keras

from keras_models.objective_model import ObjectiveModel


def one_global(shapes: dict[str, tuple]) -> tuple:
    """The shape of the global feature, of which each image has one.

    Raises:
        ValueError: it has a map of them.
    """
    shape = shapes["global"]
    if len(shape) != 2:
        raise ValueError(
            f"needs one global feature an image; this encoder has {shape[1]}x{shape[2]}: take "
            "another --encoder"
        )
    return shape


def check_makes_images_of(encoder, decoder) -> None:
    """Raises ValueError where a decoder or generator makes images of another shape."""
    if tuple(decoder.image_shape) != tuple(encoder.image_shape):
        raise ValueError(
            f"the encoder takes images of shape {encoder.image_shape}, the decoder makes "
            f"{decoder.image_shape}; make both for one shape"
        )


class EncoderModel(ObjectiveModel):
    """A model whose objective trains an encoder, together with parts that only training needs.

    Subclasses make their other parts in the constructor, build them in `build_heads`, and tell
    their own arguments in `config`; arguments that are Keras objects are restored as such.

    Args:
        encoder: images -> endpoints.
        seed: of the random numbers drawn in training.
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
        """Builds all parts but the encoder.

        Args:
            shapes: of the encoder's endpoints, the batch's size being None.
        """

    def call(self, images, training=False):
        """Images [N, H, W, C] in [-1, 1] -> the encoder's endpoints."""
        return self.encoder(images, training=training)

    def config(self) -> dict:
        """The arguments of the constructor beside `encoder`, `seed` and `name`."""
        return {}

    def get_config(self):
        own = {"encoder": self.encoder, **self.config()}
        return {
            "name": self.name,
            "seed": self.seed,
            **{name: _serialized(value) for name, value in own.items()},
        }

    @classmethod
    def from_config(cls, config):
        return cls(**{name: _restored(value) for name, value in config.items()})


def _serialized(value):
    """A Keras object's configuration, also of those in a list; other values as they are."""
    if isinstance(value, list):
        return [_serialized(item) for item in value]
    return keras.saving.serialize_keras_object(value) if hasattr(value, "get_config") else value


def _restored(value):
    """What `_serialized` was given."""
    if isinstance(value, list):
        return [_restored(item) for item in value]
    return keras.saving.deserialize_keras_object(value) if isinstance(value, dict) else value
