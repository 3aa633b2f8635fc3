import pytest
import tensorflow as tf


@pytest.fixture(scope="session")
def two_replicas():
    """A MirroredStrategy over two logical CPU replicas, one for all tests.

    Every new strategy counts its collectives from the same number; those of an earlier strategy,
    with other shapes, are remembered under it ("Shape mismatch in the collective instance").
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])
