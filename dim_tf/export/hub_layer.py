"""A reusable SavedModel as a Keras 3 layer, to be fine-tuned or not."""

import contextlib
import contextvars
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf
from keras.src.saving import serialization_lib  # in_safe_mode has no public name

REQUIRED_ATTRIBUTES = ("__call__", "variables", "trainable_variables")

_path_override: contextvars.ContextVar[str | None] = contextvars.ContextVar("path", default=None)


@contextlib.contextmanager
def encoder_at(path: str) -> Iterator[None]:
    """Keras files loaded inside this context use the SavedModel at `path` in their `EncoderLayer`s.

    The path in a file is ignored, so the SavedModel may have moved, and the file need not be
    trusted: only the model that you name runs. The weights are those in the file.

        with encoder_at("exported/cifar10/1"):
            model = keras.models.load_model("classifier.keras")

    Args:
        path: Path of the SavedModel.
    """
    token = _path_override.set(str(path))
    try:
        yield
    finally:
        _path_override.reset(token)


@keras.saving.register_keras_serializable("dim_tf")
class EncoderLayer(keras.layers.Layer):
    """A callable SavedModel as a layer: an export of dim_tf, or any reusable one from TF Hub.

    Its variables are the layer's weights: optimizers train them, `trainable` freezes them, and a
    saved Keras model keeps their values. The computation stays in the SavedModel. A graph can do
    what a program can, so Keras' safe mode does not load one that a file names: name it with
    `encoder_at(path)`, or trust the file with `load_model(..., safe_mode=False)`.

        encoder = EncoderLayer("exported/cifar10/1", trainable=True)
        classifier = keras.Sequential([keras.Input([32, 32, 3]), encoder, keras.layers.Dense(10)])

    Args:
        path: Path of the SavedModel.
        trainable: Whether its trainable variables are trained. If not, the SavedModel is called
            with training=False, so that batch norm keeps its statistics.
        regularization: Whether the SavedModel's regularization losses are added to the loss.

    Input:
        That of the SavedModel. For dim_tf's exports: images, float32 [N, H, W, 3] in [0, 1].

    Output:
        That of the SavedModel. For dim_tf's exports: the exported feature, float32 [N, D].

    Raises:
        ValueError: There is no SavedModel at `path`, or it is not callable as TF Hub requires.
    """

    def __init__(
        self, path: str, trainable: bool = True, regularization: bool = False, **kwargs: Any
    ):
        # The SavedModel takes its own dtype, whatever policy the Keras model has.
        super().__init__(trainable=trainable, **{"dtype": "float32"} | kwargs)
        self.saved_model_path = path = str(path)
        self.regularization = regularization
        if "://" not in path and not Path(path, "saved_model.pb").is_file():
            raise ValueError(
                f"{path} holds no SavedModel (saved_model.pb); give the folder of one version, as "
                "exported/cifar10/1. If a Keras file names it and it has moved, load that file "
                "within dim_tf.export.encoder_at(PATH)"
            )
        self._loaded = tf.saved_model.load(path)
        missing = [name for name in REQUIRED_ATTRIBUTES if not hasattr(self._loaded, name)]
        if missing:
            raise ValueError(
                f"the SavedModel in {path} lacks {', '.join(missing)}; a reusable SavedModel of TF "
                "Hub's kind is expected (keras.layers.TFSMLayer calls others)"
            )
        self._has_training = "training" in self._loaded.__call__.function_spec.arg_names
        trainable_refs = {v.ref() for v in self._loaded.trainable_variables}
        for variable in self._loaded.variables:
            self._track_tf_variable(variable, variable.ref() in trainable_refs)
        self.built = True

    def _track_tf_variable(self, variable: tf.Variable, trainable: bool) -> None:
        # Keras has no public way to wrap a variable of TensorFlow; its TFSMLayer does the same.
        weight = keras.Variable(
            initializer=variable,
            trainable=trainable,
            dtype=variable.dtype.name,
            name=variable.name.removesuffix(":0").replace("/", "_").replace(":", "_"),
        )
        weight._value = variable
        self._track_variable(weight)

    def call(self, images: tf.Tensor, training: bool | None = None) -> tf.Tensor:
        arguments = {}
        if self._has_training:
            arguments["training"] = bool(training) and self.trainable
        outputs = self._loaded(images, **arguments)
        if self.regularization:
            for loss in self._loaded.regularization_losses:
                self.add_loss(loss())
        return outputs

    def compute_output_spec(self, images: keras.KerasTensor, training: bool | None = None):
        spec = tf.TensorSpec(images.shape, images.dtype)
        arguments = {"training": False} if self._has_training else {}
        concrete = self._loaded.__call__.get_concrete_function(spec, **arguments)
        outputs = concrete.structured_outputs
        return keras.KerasTensor(outputs.shape, outputs.dtype.name)

    def compute_output_shape(self, input_shape: tuple[int | None, ...]):
        return self.compute_output_spec(keras.KerasTensor(input_shape, "float32")).shape

    def get_config(self) -> dict[str, Any]:
        config = super().get_config()
        return config | {"path": self.saved_model_path, "regularization": self.regularization}

    @classmethod
    def from_config(cls, config: dict[str, Any]) -> "EncoderLayer":
        """The layer of a saved Keras model.

        Raises:
            ValueError: The file names the SavedModel and Keras' safe mode is on, the SavedModel is
                remote, or the constructor refuses it.
        """
        path = _path_override.get()
        if path is not None:
            return cls(**{**config, "path": path})
        path = str(config.get("path"))
        # Safe unless switched off, as in Keras' TFSMLayer.
        if serialization_lib.in_safe_mode() is not False:
            raise ValueError(
                f"the Keras file names the SavedModel {path!r} for its EncoderLayer, and a "
                "SavedModel can do what a program can; load the file within "
                "dim_tf.export.encoder_at(PATH), with the SavedModel that you trust, or, if "
                "you trust the file, with safe_mode=False"
            )
        if "://" in path:
            raise ValueError(
                f"the Keras file names the remote SavedModel {path!r} for its EncoderLayer; load "
                "it within dim_tf.export.encoder_at(PATH)"
            )
        return cls(**config)
