"""Fixtures; two logical CPU devices for replicas, set before TensorFlow uses the CPU."""

import functools
import gc
import os

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")

import keras
import pytest
import tensorflow as tf

tf.config.set_logical_device_configuration(
    tf.config.list_physical_devices("CPU")[0], [tf.config.LogicalDeviceConfiguration()] * 2
)


def pytest_collection_finish():
    """Keeps the garbage collector from searching the million objects of imported modules."""
    gc.freeze()
    gc.set_threshold(50_000, 20, 100)


@pytest.fixture(scope="session")
def small_model(tmp_path_factory):
    """Path of a small encoder's SavedModel and the encoder, for tests that only read it."""
    import small_export

    path = tmp_path_factory.mktemp("small") / "1"
    return path, small_export.save(path)


@pytest.fixture(scope="module")
def maps_loaded_once():
    """Every export's local maps are loaded once in a module, which takes seconds."""
    from dim_tf.export.local_maps import LocalMaps

    cached = functools.cache(LocalMaps)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("dim_tf.collection.embed.LocalMaps", cached)
        patch.setattr("dim_tf.collection.patches.detector_export.LocalMaps", cached)
        patch.setattr("dim_tf.stages.anomaly.LocalMaps", cached)
        patch.setattr("dim_tf.stages.search.LocalMaps", cached)
        yield


@pytest.fixture(scope="module")
def browser(tmp_path_factory):
    """Chromium, for tests that are skipped where there is none."""
    import chromium

    browser = chromium.Chromium(tmp_path_factory.mktemp("profile"))
    yield browser
    browser.close()


@pytest.fixture(scope="session")
def two_replicas():
    """A MirroredStrategy over two logical CPU replicas, shared by all tests.

    Every new strategy numbers its collectives from the same start, and TensorFlow remembers those
    of an earlier strategy, with other shapes, by their numbers.
    """
    return tf.distribute.MirroredStrategy(["CPU:0", "CPU:1"])


@pytest.fixture(autouse=True)
def seed():
    """Makes new weights independent of the tests that ran before."""
    keras.utils.set_random_seed(0)
