"""The stacked denoising autoencoder: an encoder pretrained layer by layer."""

import math
from collections.abc import Sequence

import keras
import tensorflow as tf

from keras_models import optimizers
from keras_models.distribute.randomness import StepRandom
from keras_models.encoder_model import EncoderModel
from keras_models.encoders.convnet import ConvNet
from keras_models.generative.denoising import Corruption
from keras_models.nn import layers
from keras_models.nn.kernels import FusedAdam
from keras_models.objective_model import Batch, Losses


@keras.saving.register_keras_serializable(layers.PACKAGE)
class StackedDenoisingAutoencoder(EncoderModel):
    """Greedy layer-wise pretraining by denoising (Vincent et al. 2010, section 3.5).

    https://www.jmlr.org/papers/v11/vincent10a.html. Layer l of the encoder learns as a denoising
    autoencoder of its own input x_l, which the layers below compute from the clean image. Those are
    fixed and compute as in inference. The loss is

        E‖x_l - g_l(f_l(x̃_l))‖², averaged over the numbers of x_l, x̃_l a corruption of x_l.

    f_l is a whole stage of the encoder (convolution or dense layer, batch norm, ReLU; the last is
    linear), and g_l is a linear `MapDecoder` with its own weights. The layers learn one after
    another, each for `stage_steps` steps, and the last for all steps that remain. The layer of a
    step depends only on the step's number, so a run resumes exactly. The paper then trains the
    whole network on labels; here the features are those of the pretraining.

    As for frozen backbones, `fit` and `train_on_batch` set the layer of a step, and a custom loop
    calls `apply_frozen_steps`. A change of layer traces the training function anew.

    Args:
        encoder: Images -> endpoints; a `ConvNet`.
        corruption: A layer's input -> its corruption.
        stage_steps: Steps of each layer, a multiple of `steps_per_execution`.
        seed: Seed of the random numbers drawn in training.

    Raises:
        ValueError: `stage_steps` is less than 1; or when built, the encoder is not a `ConvNet`.
    """

    def __init__(self, encoder, corruption: Corruption, stage_steps: int, seed: int = 0, **kwargs):
        super().__init__(encoder, seed, **kwargs)
        if stage_steps < 1:
            raise ValueError(f"stage_steps={stage_steps}; expected at least 1")
        self.corruption = corruption
        self.stage_steps = stage_steps
        self.stage = 0
        self.decoders: list[MapDecoder] = []

    def build_heads(self, shapes):
        if not isinstance(self.encoder, ConvNet):
            raise ValueError(
                f"pretrains an encoder layer by layer, and {self.encoder.name} is not plainly one "
                "layer after another; take another --encoder, such as basic32x32"
            )
        shape = (None, *self.image_shape)
        for i, stage in enumerate(self.encoder.stages):
            output = stage.compute_output_shape(shape)
            decoder = MapDecoder(shape[1:], name=f"decoder{i}")
            decoder.build(output)
            self.decoders.append(decoder)
            shape = output
        self._set_trainable(self.stage)

    def compile(self, *args, **kwargs):
        """Like `ObjectiveModel.compile`, which has the arguments.

        Raises:
            ValueError: Also if a layer's steps are not a multiple of `steps_per_execution`.
        """
        execution = kwargs.get("steps_per_execution", 1)
        if self.stage_steps % execution:
            raise ValueError(
                f"stage_steps={self.stage_steps} is not a multiple of steps_per_execution="
                f"{execution}; nothing can be done between its steps"
            )
        super().compile(*args, **kwargs)

    def _build_optimizers(self):
        self._set_trainable(None)  # slots for all
        super()._build_optimizers()
        main = optimizers.inner(self.optimizer)
        if isinstance(main, FusedAdam):
            for i, parts in enumerate(self._parts()):
                variables = [v for part in parts for v in part.trainable_variables]
                main.set_rate(variables, 1.0, i * self.stage_steps)
        self._set_trainable(self.stage)

    @property
    def changes_between_steps(self):
        """True: which layer a step trains depends on its number."""
        return True

    def apply_frozen_steps(self) -> None:
        """Sets the layer that the next step trains."""
        step = int(keras.ops.convert_to_numpy(optimizers.steps_taken(self.optimizer)))
        stage = min(step // self.stage_steps, len(self.encoder.stages) - 1)
        if stage != self.stage:
            self.stage = stage
            self._set_trainable(stage)
            self.make_train_function(force=True)
            self.test_function = None  # traced for the layer before

    def _parts(self):
        """(stage, decoder) of each layer."""
        return zip(self.encoder.stages, self.decoders, strict=True)

    def _set_trainable(self, stage: int | None) -> None:
        """Makes one layer trainable, or all of them."""
        for i, parts in enumerate(self._parts()):
            for part in parts:
                part.trainable = stage is None or i == stage

    def objective(self, batch: Batch, random: StepRandom, training: bool = True) -> Losses:
        stages = self.encoder.stages
        x = batch.images
        for stage in stages[: self.stage]:
            x = stage(x, training=False, random=random)
        x = tf.stop_gradient(tf.cast(x, tf.float32))
        corrupted = self.corruption(x, random)
        code = stages[self.stage](corrupted, training=training, random=random)
        error = tf.reduce_mean((x - self.decoders[self.stage](code)) ** 2)
        features = x
        for stage in stages[self.stage :]:
            features = stage(features, training=False, random=random)
        return Losses(
            error, None, {"layer": tf.constant(float(self.stage))}, tf.stop_gradient(features)
        )

    def config(self):
        return {"corruption": self.corruption, "stage_steps": self.stage_steps}


@keras.saving.register_keras_serializable(layers.PACKAGE)
class MapDecoder(keras.layers.Layer):
    """A linear map from a layer's output to its input.

    From map to map it is nearest-neighbour upsampling and a convolution 3x3; else a dense layer.

    Args:
        target: Shape of the layer's input, without the batch.
    """

    def __init__(self, target: Sequence[int], **kwargs):
        super().__init__(**kwargs)
        self.target = tuple(target)

    def build(self, input_shape):
        self._is_map = len(input_shape) == 4
        if self._is_map:
            self.linear = layers.Conv2D(self.target[-1], 3, pad=1, name="linear")
            self.linear.build((None, *self.target[:2], input_shape[-1]))
        else:
            self.linear = layers.Dense(math.prod(self.target), name="linear")
            self.linear.build(input_shape)
        self.built = True

    def call(self, code):
        """The layer's input as decoded from its output: float32 [N, *target]."""
        if self._is_map:
            code = _upsampled(code, self.target[:2])
        return tf.reshape(tf.cast(self.linear(code), tf.float32), [-1, *self.target])

    def get_config(self):
        return {**super().get_config(), "target": self.target}


def _upsampled(maps, sides):
    """Each value repeated until the sides are at least these, then cut to them."""
    (height, width), channels = maps.shape[1:3], maps.shape[3]
    rows, columns = (-(-side // own) for side, own in zip(sides, (height, width), strict=True))
    repeated = tf.tile(maps[:, :, tf.newaxis, :, tf.newaxis], [1, 1, rows, 1, columns, 1])
    repeated = tf.reshape(repeated, [-1, height * rows, width * columns, channels])
    return repeated[:, : sides[0], : sides[1]]
