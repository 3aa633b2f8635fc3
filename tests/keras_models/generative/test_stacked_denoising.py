"""The stacked denoising autoencoder: one layer after another, each on the one below."""

import keras
import numpy as np
import pytest
import small_baseline as small
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.generative.stacked_denoising import MapDecoder

LAYERS = 4  # of the small encoder: two convolutions, fc, global


def values(parts):
    return [[v.numpy() for v in part.variables] for part in parts]


def same(before, after):
    return [all(map(np.array_equal, b, a)) for b, a in zip(before, after, strict=True)]


def make(encoder):
    return small.stacked_denoising_autoencoder(encoder, stage_steps=2)


@pytest.fixture(scope="module")
def course():
    """Layers that changed in each step, and the model after 9 steps."""
    model = small.build(make)
    changes = []
    for _ in range(9):
        before = values(model.encoder.stages), values(model.decoders)
        metrics = model.train_on_batch(small.IMAGES, return_dict=True)
        after = values(model.encoder.stages), values(model.decoders)
        changed = [not s for s in same(before[0], after[0])]
        assert changed == [not s for s in same(before[1], after[1])]
        assert [float(metrics["layer"])] == [i for i, c in enumerate(changed) if c]
        changes.append(changed.index(True))
    return model, changes


def test_one_layer_learns_at_a_time_and_the_last_for_the_rest(course):
    """Batch norm's statistics of the others stay too."""
    assert course[1] == [0, 0, 1, 1, 2, 2, 3, 3, 3]


@pytest.mark.slow
def test_fit_takes_the_same_steps(course):
    model = small.build(make)
    model.fit(tf.data.Dataset.from_tensors(small.IMAGES).repeat(), steps_per_epoch=9, verbose=0)
    for mine, theirs in zip(model.get_weights(), course[0].get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.slow
def test_it_resumes_within_a_layer(course):
    """By the step alone: weights and the optimizer's state of step 5, then steps 5 to 8."""
    first, second = small.build(make), small.build(make)
    for _ in range(5):
        first.train_on_batch(small.IMAGES)
    second.set_weights(first.get_weights())
    for mine, theirs in zip(second.optimizer.variables, first.optimizer.variables, strict=True):
        mine.assign(theirs)
    for _ in range(4):
        second.train_on_batch(small.IMAGES)
    assert second.stage == 3
    for mine, theirs in zip(second.get_weights(), course[0].get_weights(), strict=True):
        np.testing.assert_allclose(mine, theirs, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("layer", range(LAYERS))
def test_the_loss_of_a_layer(course, layer):
    """E‖x_l - g_l(f_l(x̃_l))‖², in NumPy from the corruption on; no gradient below the layer."""
    model, random = course[0], StepRandom(0, 1)
    stage, trained = model.stage, model.encoder.stages[layer]
    model.stage = layer
    model._set_trainable(layer)
    with tf.GradientTape() as tape:
        losses = model.objective(small.BATCH, random, training=False)
    gradients = tape.gradient(losses.loss, model.main_variables)
    x = tf.constant(small.IMAGES)
    for lower in model.encoder.stages[:layer]:
        x = lower(x)
    decoded = model.decoders[layer](trained(model.corruption(x, random)))
    np.testing.assert_allclose(losses.loss, np.mean((x - decoded) ** 2), rtol=1e-4)
    np.testing.assert_allclose(
        losses.features, model.encoder(small.IMAGES)["global"], rtol=1e-3, atol=1e-4
    )
    assert all(g is not None for g in gradients)
    names = {id(v) for v in trained.trainable_variables + model.decoders[layer].trainable_variables}
    assert {id(v) for v in model.main_variables} == names
    model.stage = stage
    model._set_trainable(stage)


@pytest.mark.slow
def test_a_layers_first_update_is_as_large_as_a_first_step():
    """Adam's first step is the learning rate, whenever the layer begins."""
    model = small.build(make, learning_rate=1e-3)
    sizes = []
    for step in range(4):
        before = values(model.decoders)
        model.train_on_batch(small.IMAGES)
        if step % 2 == 0:
            layer = step // 2
            difference = values(model.decoders)[layer][0] - before[layer][0]
            sizes.append(np.abs(difference).max())
    np.testing.assert_allclose(sizes, 1e-3, rtol=0.01)


def test_the_decoder_of_a_map_repeats_its_values():
    decoder = MapDecoder((5, 4, 1))
    decoder.build((None, 2, 2, 1))
    kernel = np.zeros((3, 3, 1, 1), np.float32)
    kernel[1, 1] = 2
    decoder.linear.kernel.assign(kernel)
    decoder.linear.bias.assign([1.0])
    result = decoder(np.float32([[[[1], [2]], [[3], [4]]]]))[0, :, :, 0]
    rows = [[3, 3, 5, 5]] * 3 + [[7, 7, 9, 9]] * 2
    np.testing.assert_array_equal(result, rows)


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match="stage_steps=0; expected at least 1"):
        small.build(lambda encoder: small.stacked_denoising_autoencoder(encoder, 0))
    with pytest.raises(
        ValueError, match="stage_steps=2 is not a multiple of steps_per_execution=4"
    ):
        small.build(make, steps_per_execution=4)
    crops = make(small.crops_encoder())
    with pytest.raises(ValueError, match="is not plainly one layer after another"):
        crops.build()
    assert (
        keras.saving.deserialize_keras_object(
            keras.saving.serialize_keras_object(small.build(make))
        ).corruption.masked
        == 0.4
    )
