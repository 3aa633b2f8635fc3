"""Creates the model of an experiment, new or trained."""

import dataclasses
from typing import Any

import keras
import tensorflow as tf

from dim_tf import recipes
from dim_tf.data import DataRequest, image_ops
from dim_tf.data.splits import Images, Splits
from dim_tf.experiment import Experiment
from dim_tf.export.feature import check_requested
from dim_tf.models.fitted import FittedModel
from dim_tf.registry import CROP_ENCODERS, FLOWS
from dim_tf.settings.encoder import AUTO, RANDOM, EncoderSettings, scaling
from dim_tf.system.errors import InputError
from dim_tf.training import begun_experiment, checkpoint_files, encoder_config, schedule, strategy
from dim_tf.training.checkpoints import restore_weights
from dim_tf.training.encoder_config import EncoderConfig
from dim_tf.training.precision import POLICIES
from keras_models import encoders, optimizers
from keras_models.distribute.randomness import derive_seed
from keras_models.encoders import Encoder, backbones, keras_file
from keras_models.encoders.backbones import UnknownScalingError
from keras_models.encoders.input_scaling import INPUT_SCALINGS
from keras_models.objective_model import ObjectiveModel

ImageShape = tuple[int, int, int]
BATCH_NORM_IMAGES = 64


def make_encoder(
    experiment: Experiment,
    image_shape: ImageShape,
    replicas: int = 1,
    config: EncoderConfig | None = None,
) -> Encoder:
    """The experiment's encoder, with random weights drawn from its seed.

    Args:
        experiment: The settings.
        image_shape: Shape of the data's images.
        replicas: Number of replicas that train together.
        config: Config of the run's encoder, if that is a Keras model: it is rebuilt from the
            config, with random weights. None: it is built from the settings, with the weights that
            they name.

    Raises:
        InputError: The images do not fit the encoder, no encoder fits them, or a Keras model or its
            weights are missing.
    """
    if isinstance(experiment.model, FittedModel):
        keras.utils.set_random_seed(experiment.training.seed)
        try:
            return experiment.model.make_encoder(image_shape, experiment.encoder.latent_dim)
        except ValueError as error:
            raise InputError(f"--model={experiment.model.NAME}: {error}") from error
    synchronized = experiment.training.sync_batch_norm and replicas > 1
    if experiment.encoder.is_backbone:
        keras.utils.set_random_seed(experiment.training.seed)
        if config:
            return config.make_encoder(synchronized)
        return _backbone_encoder(experiment, image_shape, synchronized)
    height, width = image_shape[:2]
    name = encoder_name(experiment, image_shape)
    preset = encoders.PRESETS[name]
    preset_size = preset.image_size
    if preset_size and (height, width) != (preset_size, preset_size):
        raise InputError(
            f"--encoder={name} takes images of {preset_size}x{preset_size} pixels, the images have "
            f"{height}x{width}; give --image_size={preset_size} or leave --encoder out"
        )
    overrides: dict[str, Any] = {"synchronized": synchronized}
    if not (preset.several_globals or preset.is_flow):
        overrides["latent_dim"] = experiment.encoder.latent_dim
    elif experiment.encoder.latent_dim != (default := EncoderSettings.default("latent_dim")):
        size = (
            "as many features as an image has numbers"
            if preset.is_flow
            else "a map of globals, whose size is fixed"
        )
        raise InputError(
            f"--encoder={name} has {size}; leave --latent_dim out or give --latent_dim={default}"
        )
    # Grey images of a data set given by name are RGB to an RGB encoder, as in the paper.
    # A flow cannot: the density of three equal channels is infinite.
    keeps_channels = image_shape[2] != 3 and (experiment.data.dataset == "folder" or preset.is_flow)
    if preset_size is None or keeps_channels:
        overrides["image_shape"] = (height, width, image_shape[2] if keeps_channels else 3)
    keras.utils.set_random_seed(experiment.training.seed)
    try:
        return encoders.get(name, **overrides)
    except ValueError as error:
        raise InputError(f"--encoder={name}: {error}") from error


def _backbone_encoder(experiment, image_shape, synchronized):
    weights = experiment.encoder.weights
    try:
        encoder = encoders.get(
            experiment.encoder.name,
            image_shape=(*image_shape[:2], None),
            weights=None if weights == AUTO else weights,
            input_scaling=scaling(experiment.encoder.input_scaling),
            latent_dim=experiment.encoder.latent_dim,
            local_layer=experiment.encoder.local_layer,
            conv_layer=experiment.encoder.conv_layer,
            head=experiment.encoder.head,
            batch_norm=experiment.encoder.backbone_batch_norm,
            synchronized=synchronized,
            name="encoder",
        )
    except (ValueError, ImportError) as error:
        raise _backbone_error(experiment, error) from error
    channels, own = image_shape[2], encoder.image_shape[2]
    if channels != own and {channels, own} != {1, 3}:
        raise InputError(
            f"--encoder={experiment.encoder.name} takes images of {own} channels, the images have "
            f"{channels}; leave --encoder out"
        )
    return encoder


def check_input_scaling(experiment: Experiment) -> None:
    """Checks that a Keras model's pixel values are known, before anything is built or measured.

    Args:
        experiment: The settings of a run that has not started.

    Raises:
        InputError: They are not, or the model's file cannot be loaded.
    """
    settings = experiment.encoder
    if not settings.is_backbone or settings.input_scaling != AUTO:
        return
    try:
        is_integer = "encoder" in settings.files and backbones.has_integer_inputs(
            keras_file.load_or_value_error(str(settings.files["encoder"]))
        )
        weights = None if settings.weights == AUTO else settings.weights
        backbones.default_scaling(settings.name, weights, is_integer)
    except (ValueError, ImportError) as error:
        raise _backbone_error(experiment, error) from error


def _backbone_error(experiment: Experiment, error: Exception) -> InputError:
    """An error of a Keras model, in terms of the command line."""
    message = str(error)
    if isinstance(error, UnknownScalingError):
        message = (
            f"{error.reason}; give --input_scaling={', '.join(INPUT_SCALINGS)}, or OFFSET,SCALE of "
            "pixels in 0..255"
        )
    return InputError(f"--encoder={experiment.encoder.name}: {message}")


def random_encoder(experiment: Experiment, images: Images) -> Encoder:
    """The run's encoder with random weights from another seed than the run's, built.

    Batch norms of a Keras model have the statistics of these images: with those of a new model, 0
    and 1, the features of a deep model vanish.

    Args:
        experiment: The run's experiment.
        images: uint8 [N, H, W, C].
    """
    settings = experiment.replace(
        seed=derive_seed(experiment.training.seed, "random encoder"),
        encoder_weights=RANDOM if experiment.encoder.is_backbone else AUTO,
    )
    config = encoder_config.read(experiment.run_path)
    _, height, width, channels = images.shape
    encoder = make_encoder(settings, (height, width, channels), config=config)
    encoder.build()
    if experiment.encoder.is_backbone:
        _set_batch_norm_statistics(encoder, images[:BATCH_NORM_IMAGES])
    return encoder


def _set_batch_norm_statistics(encoder, images):
    """Sets the moving statistics of batch norms to those of these images."""
    norms = [
        layer
        for layer in encoder._flatten_layers()
        if isinstance(layer, keras.layers.BatchNormalization)
    ]
    before = [(norm.momentum, norm.trainable) for norm in norms]
    for norm in norms:
        norm.momentum, norm.trainable = 0.0, True
    channels = encoder.image_shape[-1]
    encoder(image_ops.encoder_input(image_ops.to_unit(images), channels), training=True)
    for norm, (momentum, trainable) in zip(norms, before, strict=True):
        norm.momentum, norm.trainable = momentum, trainable


def encoder_name(experiment: Experiment, image_shape: ImageShape) -> str:
    """The name of the experiment's encoder; for a .keras file, its name without the folder.

    The encoder of a model that is fitted has the model's name.

    Args:
        experiment: The settings.
        image_shape: Shape of the images, by which an encoder is chosen if none is given.

    Raises:
        InputError: None is given, and there is none for that size.
    """
    height, width = image_shape[:2]
    if isinstance(experiment.model, FittedModel):
        return experiment.model.NAME
    if "encoder" in experiment.encoder.files:
        return experiment.encoder.files["encoder"].name
    if experiment.encoder.name:
        return experiment.encoder.name
    if experiment.model.NAME in FLOWS:
        return experiment.model.NAME
    if experiment.model.NAME == "cpc":
        if height != width or height not in CROP_ENCODERS:
            sizes = " or ".join(map(str, CROP_ENCODERS))
            raise InputError(
                f"--model=cpc takes images of {sizes} pixels a side, the images have {height}x"
                f"{width}; give --image_size={sizes}"
            )
        return CROP_ENCODERS[height]
    by_size = recipes.RECIPES[experiment.recipe].encoders
    if height == width and (name := by_size.get(height)):
        return name
    try:
        return encoders.for_image_size(height, width)
    except ValueError as error:
        raise InputError(f"{error}; give another --image_size") from error


def image_request(experiment: Experiment) -> DataRequest:
    """Which images are loaded, in the size that the encoder takes.

    By default, the images of a folder have the size of a Keras model's input; if that is open, they
    are larger than for our own encoders. A run that has started keeps its size.

    Raises:
        InputError: The run folder's record of the encoder is damaged.
    """
    request, encoder = experiment.data.request, experiment.encoder
    if request.image_size or experiment.data.dataset != "folder" or not encoder.is_backbone:
        return request
    size = None
    if config := encoder_config.read(experiment.run_path) if experiment.training.resume else None:
        size = tuple(config.config["image_shape"][:2])
    elif "encoder" in encoder.files:
        size = keras_file.input_size(str(encoder.files["encoder"]))
    return dataclasses.replace(request, image_size=size or 0, any_size=True)


def make_model(
    experiment: Experiment,
    splits: Splits,
    replicas: int = 1,
    config: EncoderConfig | None = None,
) -> keras.Model:
    """The experiment's model for these data, built; call it in the strategy's scope.

    It is a compiled `ObjectiveModel`, or a `FittedEncoder` if the model is fitted.

    Args:
        experiment: The settings, resolved (`plan.resolve`).
        splits: The data.
        replicas: Number of replicas that train together.
        config: As for `make_encoder`.

    Raises:
        InputError: Settings do not fit the data or each other.
    """
    keras.mixed_precision.set_global_policy(POLICIES[experiment.training.precision])
    # With TensorFloat-32, GPUs would round the factors of products, including scores, to 10 bits.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    encoder = None
    if experiment.model.HAS_ENCODER:
        encoder = make_encoder(experiment, splits.image_shape, replicas, config)
        # A feature that cannot be exported is refused here, not after hours of training.
        check_requested(experiment.export.feature, encoder)
    try:
        model = experiment.model.make(encoder, splits, experiment)
    except ValueError as error:
        raise InputError(f"--model={experiment.model.NAME}: {error}") from error
    if isinstance(model, ObjectiveModel):
        _compile(model, experiment, splits)
    try:
        model.build()
    except ValueError as error:  # the local map is too small for a critic or a sampling
        raise InputError(f"--model={experiment.model.NAME}: {error}") from error
    return model


def _compile(model, experiment, splits):
    jit_compile = strategy.jit_compile(
        experiment.training.jit_compile, experiment.training.replicas
    )
    if experiment.training.jit_compile == "true" and not model.compiles:
        raise InputError(
            f"XLA cannot compile --model={experiment.model.NAME}; leave --jit_compile out"
        )
    model.compile(
        _learning_rate(experiment, splits),
        weight_decay=experiment.training.weight_decay,
        micro_batches=experiment.training.micro_batches,
        frozen_steps=experiment.encoder.frozen_steps,
        backbone_learning_rate_scale=experiment.encoder.backbone_learning_rate_scale,
        steps_per_execution=experiment.training.steps_per_execution,
        jit_compile=jit_compile and model.compiles,
    )


def _learning_rate(experiment, splits):
    """A number, or a schedule over all steps of the experiment."""
    if experiment.training.schedule == "constant":
        return experiment.training.learning_rate
    steps = schedule.last_step(experiment, splits)
    warmup = experiment.training.warmup_steps
    warmup = warmup or int(experiment.training.warmup_fraction * steps)
    try:
        return optimizers.cosine(experiment.training.learning_rate, steps, warmup)
    except ValueError as error:
        raise InputError(f"--warmup_steps: {error}; give fewer") from error


def check_same_experiment(experiment: Experiment, splits: Splits) -> None:
    """Compares the experiment with that of the run folder, if there is one; writes nothing.

    Args:
        experiment: The settings.
        splits: The data.

    Raises:
        InputError: They differ or have different images, or the folder's file cannot be read, or is
            missing beside its checkpoints.
    """
    begun = begun_experiment.read(experiment.run_path)
    if begun is None:
        if checkpoint_files.steps(experiment.run_path / "checkpoints"):
            raise InputError(
                f"{experiment.run_path / 'experiment.json'}, which says of which settings and "
                "images the checkpoints beside it are, is missing; put a copy back, or give "
                "another --run_dir or --name"
            )
        return
    differences = experiment.differences(begun)
    if differences:
        raise InputError(
            f"{experiment.run_path} holds another experiment ({'; '.join(differences)}); give the "
            "flags of its training, another --run_dir or --name, or --noresume to train anew there"
        )
    if splits.report:
        splits.report.check(experiment.run_path)
    config = encoder_config.read(experiment.run_path)
    if config:
        config.check_files(experiment)


def load_trained(experiment: Experiment, splits: Splits) -> tuple[keras.Model, int]:
    """The model of the newest checkpoint in the run folder, in float32, and its step.

    Raises:
        InputError: There is no checkpoint, or it belongs to another experiment.
        RunError: It cannot be restored.
    """
    folder = experiment.run_path
    if not (folder / "checkpoints").is_dir():
        raise InputError(f"{folder} has no checkpoint; run --mode=train first")
    check_same_experiment(experiment, splits)
    # Weights are float32 in every precision; measured and exported encoders compute in it too.
    float32 = experiment.replace(precision="float32")
    model = make_model(float32, splits, config=encoder_config.read(folder))
    step = restore_weights(model, folder / "checkpoints")
    if not step:  # that of step 0 has no trained encoder
        raise InputError(f"{folder} has no checkpoint; run --mode=train first")
    return model, step
