"""An exported encoder as an encoder that can be trained further: from dim_tf, or from TF Hub."""

from pathlib import Path

from dim_tf.data.channel_scaling import ChannelScaling
from dim_tf.export import verify
from dim_tf.export.hub_layer import EncoderLayer
from dim_tf.export.saved_model import CLASSES
from dim_tf.system.errors import InputError
from dim_tf.system.files import read_text
from dim_tf.system.io_errors import reason
from dim_tf.system.json_files import parse_json_object
from keras_models.encoders import Encoder


class SavedModelEncoder(Encoder):
    """A reusable SavedModel, whose output is its only endpoint, "global".

    The computation stays that of the SavedModel, and its variables are trained (`EncoderLayer`).
    Its dropout draws TensorFlow's random numbers, not those of a training step.

    Args:
        layer: The SavedModel; it takes images in [0, 1] and returns one vector per image.
        image_shape: (height, width, channels) of the images.
        scaling: Scaling of images that are arrays, whose own values the SavedModel takes; None: it
            takes images in [0, 1].
    """

    def __init__(
        self,
        layer: EncoderLayer,
        image_shape: tuple[int, int, int],
        scaling: ChannelScaling | None = None,
        **kwargs,
    ):
        outputs = layer.compute_output_shape((None, *image_shape))
        super().__init__(image_shape, outputs[-1], synchronized=False, **kwargs)
        self.layer = layer
        self.scaling = scaling

    @property
    def endpoint_names(self):
        return ("global",)

    def build(self, input_shape=None):
        self.built = True

    def encode(self, images, training, random):
        return self.encode_unit_range((images + 1.0) / 2.0, training)

    def encode_unit_range(self, images, training=False):
        values = self.scaling.from_unit(images) if self.scaling else images
        return {"global": self.layer(values, training=training)}

    def freeze_above(self, endpoint):
        """Does nothing: no layer comes after the only endpoint."""


def load(
    path: str, flag: str = "--encoder_path", scaling: ChannelScaling | None = None
) -> SavedModelEncoder:
    """Loads an exported encoder to train it further.

    Args:
        path: Path of a version of an export, or of another reusable SavedModel.
        flag: The flag that gave the path, for messages.
        scaling: Scaling of the images, if they are arrays; None: they are pictures.

    Raises:
        InputError: It cannot be loaded, differs from its SHA256SUMS, takes arrays although the
            images are pictures or the reverse, takes images of any size, does not return one vector
            per image, or is a classifier.
    """
    given = f"{flag}={path}"
    verify.check(path, flag)
    if _takes_arrays(Path(path)) != (scaling is not None):
        kinds = ("arrays in their own values", "pictures")
        theirs, ours = kinds if scaling is None else reversed(kinds)
        raise InputError(
            f"the encoder in {given} takes {theirs}, and the images are {ours}; give an encoder "
            "that was trained on such images"
        )
    try:
        layer = EncoderLayer(path)
        called = layer._loaded.__call__.concrete_functions[0]
        image_shape = tuple(called.structured_input_signature[0][0].shape[1:])
        outputs = layer.compute_output_shape((None, *image_shape))
    except Exception as error:  # a file from elsewhere makes its parser fail in any way
        raise InputError(
            f"{given} cannot be trained ({reason(error)}); give a version of an exported encoder, "
            "as exported/cifar10/1"
        ) from error
    default = getattr(layer._loaded, "signatures", {}).get("serving_default")
    if default is not None and CLASSES in default.structured_outputs:
        raise InputError(
            f"the SavedModel in {given} is a classifier, which gives probabilities and no feature; "
            "give the export of its encoder"
        )
    if len(image_shape) != 3 or None in image_shape or len(outputs) != 2:
        raise InputError(
            f"the encoder in {given} takes images of {image_shape} and gives {outputs}; expected "
            "images of one size and a vector an image"
        )
    encoder = SavedModelEncoder(layer, image_shape, scaling, name="encoder")
    encoder.build()
    return encoder


def _takes_arrays(path: Path) -> bool:
    try:
        metadata = parse_json_object(read_text(path / "assets" / "metadata.json"))
    except (OSError, ValueError):  # of another program, with other files
        return False
    return "value_scaling" in metadata
