"""What a stage leaves as it was, and what it does not print."""

import logging

import tensorflow as tf

from dim_tf.system import process_state


def test_retracing_is_no_warning_within_a_stage():
    messages = []
    handler = logging.Handler()
    handler.emit = lambda record: messages.append(record.getMessage())
    logger = tf.get_logger()
    logger.addHandler(handler)

    try:
        with process_state.without_tensorflow_notices():
            for _ in range(6):  # as each training and each reference does
                tf.function(lambda x: x)(tf.zeros([1]))
            logger.warning("another warning")
        assert messages == ["another warning"]
        logger.warning("5 calls triggered tf.function retracing")
        assert len(messages) == 2
    finally:
        logger.removeHandler(handler)
