"""Fitting a model without steps of gradient descent: from its images to its checkpoint."""

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
from dim_tf.system.json_files import json_with_checksum, read_json
from dim_tf.training import checkpoint_files, run_folder
from dim_tf.training.checkpoints import Checkpoints
from dim_tf.training.model import check_same_experiment, make_model
from dim_tf.training.schedule import FITTED_STEP
from keras_models.distribute.randomness import derive_seed

FILE = run_folder.FIT_FILE
_READ_IMAGES = 1024  # at a time
_COPIES = 3  # of the images that a fit holds at its peak, in float32


def fit(
    experiment: Experiment, splits: Splits, callbacks: Sequence[keras.callbacks.Callback] = ()
) -> keras.Model:
    """Fits the experiment's model and writes its checkpoint; an existing one is kept.

    Args:
        experiment: The settings, with a `FittedModel`.
        splits: The data.
        callbacks: Must be empty.

    Raises:
        InputError: Settings do not fit the data or the run folder, there are callbacks, or the
            images do not fit into memory.
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
    folder = experiment.run_path / "checkpoints"
    if experiment.training.resume and checkpoint_files.steps(folder):
        run_folder.prepare(experiment, splits)
        Checkpoints(model, folder, keep=1).restore()
        say(f"train: {name} is fitted already; --noresume fits it anew")
        return model
    began = time.perf_counter()
    images = sample(splits.train.images, count, derive_seed(seed, "fitted images"))
    try:
        values = model_settings.fit(model.encoder, images, derive_seed(seed, "fit"))
    except ValueError as error:
        raise InputError(f"--model={name}: {error}") from error
    seconds = time.perf_counter() - began
    run_folder.prepare(experiment, splits)  # only now: images that do not suffice leave no trace
    Checkpoints(model, folder, keep=1).save(FITTED_STEP)
    content = {
        "images": count,
        "training_images": len(splits.train),
        "seconds": round(seconds, 1),
        "values": values,
    }
    with translate_write_errors(FILE, experiment.run_path, "make room, and fit with --noresume"):
        atomic_write_text(experiment.run_path / FILE, json_with_checksum(content))
    say(f"train: {name}: fitted {describe(experiment)}")
    return model


def describe(experiment: Experiment) -> str:
    """A run's fit.json on one line: "on 20,000 of 50,000 training images in 3.1 s: ...".

    Empty if there is no such file.

    Raises:
        InputError: It is damaged.
    """
    path = experiment.run_path / FILE
    if not path.exists():
        return ""
    remedy = "remove it: it serves the report alone"
    content = read_json(path, remedy)
    try:
        values = ", ".join(
            f"{name.replace('_', ' ')} {value:.4g}" for name, value in content["values"].items()
        )
        return (
            f"on {content['images']:,} of {content['training_images']:,} training images in "
            f"{content['seconds']:.1f} s: {values}"
        )
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise InputError(f"{path} is no record of a fit; {remedy}") from error


def sample(images: Images, count: int, seed: int) -> np.ndarray:
    """Different images, drawn by a seed, in the order of their indices.

    Args:
        images: Images of the training split.
        count: Number of images.
        seed: Determines which.

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
