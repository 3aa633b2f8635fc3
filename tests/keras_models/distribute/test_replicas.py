import numpy as np
import pytest
import tensorflow as tf

from keras_models import critics, estimators
from keras_models.distribute import replicas


def run(strategy, function, batch):
    """Each replica's outputs of its slice of the batch."""
    parts = tf.split(batch, strategy.num_replicas_in_sync)
    values = strategy.experimental_distribute_values_from_function(
        lambda context: parts[context.replica_id_in_sync_group]
    )
    outputs = tf.function(lambda x: strategy.run(function, [x]))(values)
    return [np.array(x) for x in strategy.experimental_local_results(outputs)]


def test_one_device_is_one_replica():
    x = tf.constant([1.0, 2.0])
    assert (replicas.count(), replicas.index()) == (1, 0)
    np.testing.assert_array_equal(replicas.all_gather(x), [[1.0, 2.0]])
    assert replicas.mean({"loss": x})["loss"] is x


def test_one_replica_while_a_model_is_built(two_replicas):
    with two_replicas.scope():
        assert (replicas.count(), replicas.index()) == (1, 0)


def test_count_and_index(two_replicas):
    def both(x):
        return tf.stack([replicas.count(), replicas.index()])

    np.testing.assert_array_equal(run(two_replicas, both, tf.zeros([2])), [[2, 0], [2, 1]])


def test_all_gather_is_in_the_replicas_order_on_every_replica(two_replicas):
    batch = tf.constant([[1.5, -2.0], [3.0, 1e30]])
    for stacked in run(two_replicas, replicas.all_gather, batch):
        np.testing.assert_array_equal(stacked, batch[:, tf.newaxis])


def test_all_gather_adds_up_the_gradients_of_all_replicas(two_replicas):
    weights = tf.constant([[1.0, 10.0], [100.0, 1000.0]])  # [reader, source]

    def gradient(x):
        with tf.GradientTape() as tape:
            tape.watch(x)
            gathered = replicas.all_gather(x)[:, 0]
            value = tf.reduce_sum(weights[replicas.index()] * gathered**2)
        return tape.gradient(value, x)

    # Replica 0's x = 1 is read with weights 1 and 100, replica 1's x = 2 with 10 and 1000.
    gradients = run(two_replicas, gradient, tf.constant([1.0, 2.0]))
    np.testing.assert_allclose(gradients, [[2 * 101.0], [4 * 1010.0]])


def test_mean(two_replicas):
    def step(x):
        return replicas.mean({"loss": x[0]})["loss"]

    np.testing.assert_allclose(run(two_replicas, step, tf.constant([1.0, 4.0])), [2.5, 2.5])


def simulate(monkeypatch, count, function):
    """Each replica's output, with more replicas than there are devices.

    Runs the replicas one after another, repeatedly: what each passes to `replicas.all_gather` in
    one round is what all of them receive in the next, until nothing changes.
    """
    monkeypatch.setattr(replicas, "count", lambda: count)
    sent = {}
    for _ in range(5):
        last, sent, outputs = sent, {}, []
        for index in range(count):
            calls = iter(range(100))

            def all_gather(x, index=index, calls=calls, last=last, sent=sent):
                call = next(calls)
                sent[call, index] = x
                return tf.stack([last.get((call, sender), x) for sender in range(count)])

            monkeypatch.setattr(replicas, "index", lambda index=index: index)
            monkeypatch.setattr(replicas, "all_gather", all_gather)
            outputs.append(function(index))
        if last and all(np.array_equal(x, last[key]) for key, x in sent.items()):
            return outputs
    raise AssertionError("the replicas' tensors keep changing")


@pytest.mark.parametrize(
    "arguments", [{}, {"negatives": 2}, {"chunk": 1}], ids=["all", "two_negatives", "chunks"]
)
@pytest.mark.parametrize("name", ["jsd", "infonce", "dv", "nwj"])
@pytest.mark.parametrize("count", [2, 3, pytest.param(4, marks=pytest.mark.slow)])
def test_estimators_on_any_number_of_replicas_equal_one_device(monkeypatch, count, name, arguments):
    """The cyclic order of the cross-replica scores matters from three replicas on."""
    per_replica = 2
    n = count * per_replica
    critic = critics.FastDotProductCritic(6, **arguments)
    critic.build((None, 2, 2, 3), (None, 5))
    local_features = tf.random.stateless_normal([n, 2, 2, 3], [0, 0])
    global_features = tf.random.stateless_normal([n, 5], [0, 1])
    estimator = estimators.get(name)
    expected = estimator(critic(local_features, global_features))

    def replica(index):
        local = slice(index * per_replica, (index + 1) * per_replica)
        return estimator(critic(local_features[local], global_features[local]))

    values = simulate(monkeypatch, count, replica)
    np.testing.assert_allclose(np.mean(values), expected, rtol=1e-5)
