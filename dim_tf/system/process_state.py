"""Settings of the whole process that a run changes: put back, for programs that use dim_tf."""

import contextlib
import logging
import random
from collections.abc import Iterator

import keras
import numpy as np
import tensorflow as tf
from keras.src.backend.common import global_state  # the global seed has no public name
from tensorflow.python.eager import context  # likewise

# Of keras.utils.set_random_seed: the seed, and the generator that is made from it.
_KERAS_SEED = ("global_random_seed", "global_seed_generator")


@contextlib.contextmanager
def preserved() -> Iterator[None]:
    """Within it the process' settings may change; afterwards they are what they were before.

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
    """Within it TensorFlow's Python logger drops messages below a warning, and those on retracing.

    Where Python is interactive, as in a notebook, TensorFlow turns them on: each SavedModel that is
    written then prints the path of a temporary folder, twice. From the fifth training or reference
    of a process on it warns of a function that is traced again, which each has to be.
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
