"""From an experiment to its model, new or trained."""

from typing import Any

import keras
import tensorflow as tf

from dim_tf.data import image_ops
from dim_tf.data.splits import Images, Splits
from dim_tf.errors import InputError
from dim_tf.experiment import Experiment
from dim_tf.files import read_text
from dim_tf.registry import CROP_ENCODERS
from dim_tf.settings.encoder import AUTO, RANDOM, EncoderSettings, scaling
from dim_tf.training import budget, encoder_record, strategy
from dim_tf.training.checkpoint import restore_weights
from dim_tf.training.encoder_record import EncoderRecord
from keras_models import encoders, optimizers
from keras_models.distribute.randomness import derive_seed
from keras_models.encoders import Encoder
from keras_models.objective_model import ObjectiveModel

ImageShape = tuple[int, int, int]
SETTLING_IMAGES = 64


def make_encoder(
    experiment: Experiment,
    image_shape: ImageShape,
    replicas: int = 1,
    record: EncoderRecord | None = None,
) -> Encoder:
    """The experiment's encoder, its random weights drawn from its seed.

    Args:
        experiment: the settings.
        image_shape: of the data.
        replicas: that train together.
        record: of the run's encoder if it is a Keras model, which is then made from it, all weights
            being random; None: it is made as the settings say, with the weights that they name.

    Raises:
        InputError: the images do not fit the encoder, no encoder fits them, or a Keras model or its
            weights are not there.
    """
    synchronized = experiment.training.sync_batch_norm and replicas > 1
    if experiment.encoder.is_backbone:
        keras.utils.set_random_seed(experiment.training.seed)
        if record:
            return record.make(synchronized)
        return _backbone_encoder(experiment, image_shape, synchronized)
    size = image_shape[0]
    name = encoder_name(experiment, size)
    preset = encoders.PRESETS[name]
    takes = preset.image_size
    if takes not in (size, None):
        raise InputError(
            f"--encoder={name} takes images of {takes}x{takes} pixels, the images have "
            f"{size}x{size}; give --image_size={takes} or leave --encoder out"
        )
    overrides: dict[str, Any] = {"synchronized": synchronized}
    if not preset.several_globals:
        overrides["latent_dim"] = experiment.encoder.latent_dim
    elif experiment.encoder.latent_dim != (default := EncoderSettings.default("latent_dim")):
        raise InputError(
            f"--encoder={name} has a map of globals, whose size is fixed; leave --latent_dim out "
            f"or give --latent_dim={default}"
        )
    if takes is None:
        overrides["image_shape"] = (*image_shape[:2], 3)
    keras.utils.set_random_seed(experiment.training.seed)
    return encoders.get(name, **overrides)


def _backbone_encoder(experiment, image_shape, synchronized):
    weights = experiment.encoder.weights
    try:
        return encoders.get(
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
        raise InputError(f"--encoder={experiment.encoder.name}: {error}") from error


def random_encoder(experiment: Experiment, images: Images) -> Encoder:
    """The run's encoder with random weights of another seed than its own, built.

    They are random where the run began with others. The batch norms of a Keras model have the
    statistics of these images: with those of a new model, 0 and 1, a deep one's features vanish.

    Args:
        experiment: of the run.
        images: uint8 [N, H, W, C].
    """
    other = experiment.replace(
        seed=derive_seed(experiment.training.seed, "random encoder"),
        encoder_weights=RANDOM if experiment.encoder.is_backbone else AUTO,
    )
    record = encoder_record.read(experiment.run_path)
    _, height, width, channels = images.shape
    encoder = make_encoder(other, (height, width, channels), record=record)
    encoder.build()
    if experiment.encoder.is_backbone:
        _settle_batch_norms(encoder, images[:SETTLING_IMAGES])
    return encoder


def _settle_batch_norms(encoder, images):
    """Gives batch norms the statistics of these images as their moving ones."""
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


def encoder_name(experiment: Experiment, size: int) -> str:
    """The encoder that is given, or the one for images of that many pixels a side.

    Of a .keras file it is the file's name, without its folder.

    Raises:
        InputError: none is given, and there is none for that size.
    """
    if "encoder" in experiment.encoder.files:
        return experiment.encoder.files["encoder"].name
    if experiment.encoder.name:
        return experiment.encoder.name
    if experiment.model.NAME == "cpc":
        if size not in CROP_ENCODERS:
            sizes = " or ".join(map(str, CROP_ENCODERS))
            raise InputError(
                f"--model=cpc takes images of {sizes} pixels a side, the images have {size}; give "
                f"--image_size={sizes}"
            )
        return CROP_ENCODERS[size]
    try:
        return encoders.for_image_size(size)
    except ValueError as error:
        raise InputError(f"{error}; give another --image_size") from error


def make_model(
    experiment: Experiment,
    splits: Splits,
    replicas: int = 1,
    record: EncoderRecord | None = None,
) -> ObjectiveModel:
    """The experiment's model for that data, built and compiled; call it in the strategy's scope.

    Args:
        experiment: the settings.
        splits: the data.
        replicas: that train together.
        record: as of `make_encoder`.

    Raises:
        InputError: settings that do not fit the data or each other.
    """
    policy = {"float32": "float32", "bfloat16": "mixed_bfloat16"}[experiment.training.precision]
    keras.mixed_precision.set_global_policy(policy)
    # Else float32 products have 10 bits of mantissa on GPUs that can do so, those of scores too.
    tf.config.experimental.enable_tensor_float_32_execution(False)
    encoder = None
    if experiment.model.HAS_ENCODER:
        encoder = make_encoder(experiment, splits.image_shape, replicas, record)
    try:
        model = experiment.model.make(encoder, splits, experiment)
    except ValueError as error:
        raise InputError(f"--model={experiment.model.NAME}: {error}") from error
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
    try:
        model.build()
    except ValueError as error:  # a critic or a sampling that the local map is too small for
        raise InputError(f"--model={experiment.model.NAME}: {error}") from error
    return model


def _learning_rate(experiment, splits):
    """A number, or its schedule over all of the experiment's steps."""
    if experiment.training.schedule == "constant":
        return experiment.training.learning_rate
    steps = budget.last_step(experiment, splits)
    try:
        return optimizers.cosine(
            experiment.training.learning_rate, steps, experiment.training.warmup_steps
        )
    except ValueError as error:
        raise InputError(f"--warmup_steps: {error}; give fewer") from error


def check_same_experiment(experiment: Experiment, splits: Splits) -> None:
    """Compares with the experiment that the run folder holds, if it holds one; writes nothing.

    Args:
        experiment: the settings.
        splits: the data.

    Raises:
        InputError: it is another one or on other images, or its file cannot be read.
    """
    saved = experiment.run_path / "experiment.json"
    if not saved.exists():
        return
    try:
        before = Experiment.from_json(read_text(saved))
    except (InputError, OSError, ValueError) as error:
        raise InputError(
            f"{saved} cannot be read ({error}); give another --run_dir, or --noresume to start anew"
        ) from error
    differences = experiment.differences(before)
    if differences:
        raise InputError(
            f"{experiment.run_path} holds another experiment ({'; '.join(differences)}); give the "
            "flags of its training, another --run_dir or --name, or --noresume to train anew there"
        )
    if splits.report:
        splits.report.check(experiment.run_path)
    record = encoder_record.read(experiment.run_path)
    if record:
        record.check(experiment)


def load_trained(experiment: Experiment, splits: Splits) -> tuple[ObjectiveModel, int]:
    """The model of the newest checkpoint in the run folder, in float32, and its step.

    Raises:
        InputError: there is no checkpoint, or it is another experiment's.
        RunError: it cannot be restored.
    """
    folder = experiment.run_path
    if not (folder / "checkpoints").is_dir():
        raise InputError(f"{folder} has no checkpoint; run --mode=train first")
    check_same_experiment(experiment, splits)
    # Weights are float32 in every precision; measured and exported encoders compute in it too.
    record = encoder_record.read(folder)
    float32 = experiment.replace(precision="float32")
    model = make_model(float32, splits, record=record)
    step = restore_weights(model, folder / "checkpoints")
    if not step:  # that of step 0 holds no trained encoder
        raise InputError(f"{folder} has no checkpoint; run --mode=train first")
    return model, step
