"""The online probe: what it learns, and that the run is the same without it."""

import dataclasses
import json

import keras
import numpy as np
import pytest
import tensorflow as tf
from small_export import small_encoder

from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.training import loop, online_probe
from dim_tf.training.online_probe import OnlineProbe


def splits(names=("a", "b", "c")):
    rng = np.random.default_rng(0)
    images = rng.integers(0, 256, (20, 28, 28, 1), np.uint8)
    split = Split(images, np.arange(20) % len(names))
    return Splits("random", split, split, names, "random images")


def lines(folder):
    entries = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    for entry in entries:
        del entry["images_per_second"]
    return entries


@pytest.mark.slow
def test_a_run_is_the_same_with_and_without_it(tmp_path):
    """That it is resumed exactly is tested with the loop."""

    def train(folder, **settings):
        run_dir = str(tmp_path / folder)
        sizes = {"batch_size": 4, "critic_units": 8, "latent_dim": 4, "steps": 7}
        return loop.train(Experiment.of(name="t", run_dir=run_dir, **sizes, **settings), splits())

    without, beside = train("without", online_probe=False), train("beside")
    for mine, theirs in zip(beside.variables, without.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    entries = lines(tmp_path / "beside")
    accuracies = [entry.pop("online_probe") for entry in entries]
    assert entries == lines(tmp_path / "without")
    assert all(0 <= accuracy <= 1 for accuracy in accuracies)


def taught(features, labels, multi_label, steps=300):
    """The accuracy after some steps on the same batch."""
    probe = OnlineProbe(features.shape[-1], 3, multi_label, synchronized=False)
    step = tf.function(probe)
    for _ in range(steps):
        metrics = step(tf.constant(features, tf.float32), tf.constant(labels))
    return float(metrics["online_probe"])


@pytest.mark.parametrize("multi_label", [False, True])
def test_it_tells_labels_from_features_that_have_them(multi_label):
    classes = np.arange(30) % 3
    one_hot = np.eye(3)[classes]
    labels = one_hot.astype(int) if multi_label else classes
    assert taught(one_hot * 0.01 + 5, labels, multi_label) == 1.0  # of any scale
    majority = 2 / 3 if multi_label else 1 / 3
    assert taught(np.ones((30, 3)), labels, multi_label) == pytest.approx(majority)


def test_several_globals_are_averaged():
    classes = np.arange(30) % 3
    several = np.repeat(np.eye(3)[classes], 4, axis=0).reshape(30, 2, 2, 3)
    assert taught(several, classes, multi_label=False) == 1.0


def test_without_labels_to_tell_apart_there_is_none():
    encoder = small_encoder()

    def probe_for(data, split=None):
        return online_probe.for_encoder(encoder, data, split or data.train, False)

    assert probe_for(splits(("one",))) is None
    attribute = splits(("one",))
    split = dataclasses.replace(attribute.train, labels=np.zeros((20, 1), int))
    attribute = dataclasses.replace(attribute, train=split, test=split)
    assert probe_for(attribute) is not None
    bare = dataclasses.replace(splits(), train=dataclasses.replace(split, labels=None))
    assert probe_for(bare) is None
    assert probe_for(bare, splits().train) is not None  # a supervised model's, of few labels


def test_a_step_on_two_replicas_is_that_on_one(two_replicas):
    features = tf.random.stateless_normal([8, 3], [0, 1])
    labels = tf.constant([0, 1, 2, 0, 1, 2, 0, 1])
    one = OnlineProbe(3, 3, False, synchronized=False)
    with two_replicas.scope():
        two = OnlineProbe(3, 3, False, synchronized=True)
    one(features, labels)

    def of_replica(context):
        mine = slice(4 * context.replica_id_in_sync_group, 4 * context.replica_id_in_sync_group + 4)
        return features[mine], labels[mine]

    halves = two_replicas.experimental_distribute_values_from_function(of_replica)
    tf.function(lambda batch: two_replicas.run(two, batch))(halves)
    for mine, theirs in zip(one.variables, two.variables, strict=True):
        np.testing.assert_allclose(
            keras.ops.convert_to_numpy(mine), keras.ops.convert_to_numpy(theirs), atol=1e-5
        )
