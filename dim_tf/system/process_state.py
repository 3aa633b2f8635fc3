"""Settings of the whole process that a run changes: restored, for programs that use dim_tf."""

import contextlib
import logging
import random
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state  # the global seed has no public name
from tensorflow.python.eager import context  # likewise

# Set by keras.utils.set_random_seed: the seed, and the generator made from it.
_KERAS_SEED = ("global_random_seed", "global_seed_generator")


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """A context in which the process' settings may change; afterwards they are as before.

    These are Keras' dtype policy, TensorFloat-32, and the random states of Python, NumPy, Keras and
    TensorFlow.
    """
    policy = keras.config.dtype_policy()
    tensor_float_32 = tf.config.experimental.tensor_float_32_execution_enabled()
    python, numpy = random.getstate(), np.random.get_state()
    seeds = {name: global_state.get_global_attribute(name) for name in _KERAS_SEED}
    tensorflow = context.context()
    tensorflow_seed = tensorflow._seed
    operation_seeds = getattr(tensorflow, "_rng", None)  # none before the first seed
    operations = operation_seeds.getstate() if operation_seeds else None
    try:
        yield
    finally:
        keras.config.set_dtype_policy(policy)
        tf.config.experimental.enable_tensor_float_32_execution(tensor_float_32)
        random.setstate(python)
        np.random.set_state(numpy)
        for name, value in seeds.items():
            global_state.set_global_attribute(name, value)
        tensorflow._seed = tensorflow_seed
        if operation_seeds:
            operation_seeds.setstate(operations)
            tensorflow._rng = operation_seeds


@contextlib.contextmanager
def without_tensorflow_notices() -> Iterator[None]:
    """A context in which TensorFlow's Python logger drops notices, and warnings about retracing.

    In interactive Python, such as a notebook, TensorFlow turns notices on: each SavedModel that is
    written would print the path of a temporary folder, twice. From the fifth training or reference
    in a process on, it also warns that a function is traced again, which is necessary.
    """
    logger = tf.get_logger()
    level = logger.level
    logger.setLevel(max(logger.getEffectiveLevel(), logging.WARNING))
    logger.addFilter(_is_not_on_retracing)
    try:
        yield
    finally:
        logger.removeFilter(_is_not_on_retracing)
        logger.setLevel(level)


def _is_not_on_retracing(record):
    return "triggered tf.function retracing" not in record.getMessage()
