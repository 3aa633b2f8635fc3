"""Micro-batches average the gradients of their parts."""

import keras
import numpy as np
import tensorflow as tf
from small_infomax import IMAGES, make_model

from keras_models import DeepInfoMax, terms


def mutual_information_alone(**compile_arguments):
    model = make_model(compiled=False)
    model = DeepInfoMax(model.encoder, model.terms[:1])
    model.compile(optimizer=keras.optimizers.SGD(0.05), jit_compile=False, **compile_arguments)
    model.build()
    return model


def test_micro_batches_average_the_gradients_of_their_parts():
    """A step of SGD by the mean gradient is the mean of the parts' steps."""
    after = []
    for part in np.split(IMAGES[:8], 2):
        model = mutual_information_alone()
        metrics = model.train_step(part)
        after.append((metrics["loss"], [v.numpy() for v in model.trainable_variables]))
    model = mutual_information_alone(micro_batches=2)
    result = tf.function(model.train_step)(IMAGES[:8])
    np.testing.assert_allclose(result["loss"], np.mean([loss for loss, _ in after]), rtol=1e-5)
    for variable, *parts in zip(model.trainable_variables, *(w for _, w in after), strict=True):
        np.testing.assert_allclose(variable, np.mean(parts, axis=0), rtol=1e-4, atol=1e-6)


def test_micro_batches_leave_a_variable_that_the_objective_does_not_use():
    encoder = make_model(compiled=False).encoder
    term = terms.local_mutual_information("dot", "infonce", units=8, query="conv")
    model = DeepInfoMax(encoder, [term])
    model.compile(optimizer=keras.optimizers.SGD(0.05), jit_compile=False, micro_batches=2)
    model.build()
    before = [v.numpy() for v in encoder.trainable_variables]
    model.train_step(IMAGES[:8])
    pairs = zip(encoder.trainable_variables, before, strict=True)
    changed = {v.path.split("/")[-3] for v, was in pairs if np.any(v.numpy() != was)}
    assert changed == {"conv0", "conv1"}


def test_micro_batches_draw_their_own_numbers():
    """Equal parts with equal noise would have equal losses."""
    model = make_model(micro_batches=2)
    seen = []
    objective = model.objective

    def watched(batch, random):
        seen.append(random.uniform("prior", 4, (5,)))
        return objective(batch, random)

    model.objective = watched
    model.train_step(np.concatenate([IMAGES[:4], IMAGES[:4]]))
    assert len(seen) == 2
    assert not np.array_equal(*seen)


def test_the_probe_sees_the_features_of_all_micro_batches():
    model = make_model(micro_batches=4)
    seen = []
    model.probe = lambda features, labels: seen.append((features.shape, labels)) or {}
    labels = tf.range(8)
    model.train_step((tf.constant(IMAGES[:8]), labels))
    assert seen[0][0] == (8, 5)
    np.testing.assert_array_equal(seen[0][1], labels)
