"""Fitting a model that has no steps of gradient descent: from its images to its checkpoint."""

import json
import time
from collections.abc import Sequence

import keras
import numpy as np

from dim_tf.data import image_ops
from dim_tf.data.splits import Images, Splits
from dim_tf.experiment import Experiment
from dim_tf.models.fitted import FittedModel
from dim_tf.system import memory
from dim_tf.system.console import say
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.training import run_folder
from dim_tf.training.checkpoints import Checkpoints
from dim_tf.training.model import check_same_experiment, make_model
from dim_tf.training.schedule import FITTED_STEP
from keras_models.distribute.randomness import derive_seed

_READ_IMAGES = 1024  # at a time
_COPIES = 3  # of the images that a fit holds at its peak, in float32


def fit(
    experiment: Experiment, splits: Splits, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> keras.Model:
    """Fits the experiment's model and writes its checkpoint; one that is there is kept.

    Args:
        experiment: The settings, of a `FittedModel`.
        splits: The data.
        callbacks: Must be empty.

    Raises:
        InputError: Settings that do not fit the data or the run folder, callbacks, or images that
            do not fit into the memory.
        RunError: A weight is not finite, or a file cannot be written.
    """
    model_settings = experiment.model
    assert isinstance(model_settings, FittedModel)
    name, seed = model_settings.NAME, experiment.training.seed
    if callbacks:
        raise InputError(f"--model={name} is fitted without steps, of which callbacks are told")
    if experiment.training.resume:
        check_same_experiment(experiment, splits)
    count = model_settings.fitted_images(len(splits.train))
    _check_memory(name, count, splits)
    model = make_model(experiment, splits)
    run_folder.prepare(experiment, splits)
    checkpoints = Checkpoints(model, experiment.run_path / "checkpoints", keep=1)
    if checkpoints.restore():
        say(f"train: {name} is fitted already; --noresume fits it anew")
        return model
    began = time.perf_counter()
    images = sample(splits.train.images, count, derive_seed(seed, "fitted images"))
    try:
        values = model_settings.fit(model.encoder, images, derive_seed(seed, "fit"))
    except ValueError as error:
        raise InputError(f"--model={name}: {error}") from error
    seconds = time.perf_counter() - began
    checkpoints.save(FITTED_STEP)
    line = {"step": FITTED_STEP, "images": count, "seconds": round(seconds, 3), **values}
    with translate_write_errors("metrics.jsonl", experiment.run_path, "make room and fit again"):
        atomic_write_text(experiment.run_path / "metrics.jsonl", json.dumps(line) + "\n")
    outcome = ", ".join(f"{key.replace('_', ' ')} {value:.4g}" for key, value in values.items())
    say(
        f"train: {name}: fitted on {count:,} of {len(splits.train):,} training images in "
        f"{seconds:.1f} s: {outcome}"
    )
    return model


def sample(images: Images, count: int, seed: int) -> np.ndarray:
    """Different images, drawn by a seed, in the order of their indices.

    Args:
        images: Of the training split.
        count: How many.
        seed: Decides which.

    Returns:
        float32 [count, H, W, C] in [-1, 1].
    """
    indices = np.sort(np.random.default_rng(seed).permutation(len(images))[:count])
    drawn = np.empty((count, *images.shape[1:]), np.float32)
    for first in range(0, count, _READ_IMAGES):
        pixels = images[indices[first : first + _READ_IMAGES]]
        unit = image_ops.to_unit(pixels)
        drawn[first : first + _READ_IMAGES] = image_ops.encoder_input(unit, images.shape[-1])
    return drawn


def _check_memory(name: str, count: int, splits: Splits) -> None:
    gibibytes = _COPIES * 4 * count * int(np.prod(splits.image_shape)) / 2**30
    free = memory.available_bytes() / 2**30
    if gibibytes > free:
        raise InputError(
            f"--{name}.images: a fit on {count:,} images of {splits.image_shape[0]}x"
            f"{splits.image_shape[1]} pixels takes up to {gibibytes:.1f} GiB, and {free:.1f} are "
            "free; give fewer"
        )
