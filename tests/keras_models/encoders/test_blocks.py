import numpy as np
import pytest
import tensorflow as tf

from keras_models.distribute.randomness import StepRandom
from keras_models.encoders import blocks
from keras_models.encoders.residual import ResidualBlock
from keras_models.encoders.resnet import Bottleneck


def random_map(shape, seed=0):
    return tf.random.stateless_normal(shape, [seed, 0])


def test_crops_are_slices_row_by_row():
    images = random_map((2, 32, 32, 3))
    crops = blocks.StridedCrops(8, 4)
    result = crops(images).numpy()
    assert result.shape == (98, 8, 8, 3)
    for n, i, j in np.ndindex(2, 7, 7):
        expected = images[n, 4 * i : 4 * i + 8, 4 * j : 4 * j + 8]
        np.testing.assert_array_equal(result[49 * n + 7 * i + j], expected)
    assert crops.compute_output_shape((2, 32, 32, 3)) == (98, 8, 8, 3)


def test_fold_puts_each_crop_at_its_location():
    features = random_map((2 * 6, 2, 1, 3))
    result = blocks.Fold((2, 3))(features).numpy()
    assert result.shape == (2, 2, 3, 6)
    for n, i, j in np.ndindex(2, 2, 3):
        np.testing.assert_array_equal(result[n, i, j], np.ravel(features[6 * n + 3 * i + j]))


def draw(x, step=3, rate=0.25, whole_channels=False, random=StepRandom):
    random = random(0, step) if random else None
    return blocks.dropout(x, rate, random, "test", whole_channels).numpy()


def test_dropout_drops_a_fraction_and_scales_the_rest():
    dropped = draw(tf.ones([200, 50]))
    assert set(np.unique(dropped)) == {0.0, np.float32(1 / 0.75)}
    assert np.mean(dropped == 0) == pytest.approx(0.25, abs=0.02)


def test_dropout_of_whole_channels():
    dropped = draw(tf.ones([200, 3, 3, 10]), whole_channels=True)
    np.testing.assert_array_equal(dropped, np.broadcast_to(dropped[:, :1, :1], dropped.shape))
    assert np.mean(dropped == 0) == pytest.approx(0.25, abs=0.05)


def test_seed_and_step_decide_what_is_dropped():
    x = tf.ones([20, 10])
    np.testing.assert_array_equal(draw(x), draw(x))
    assert not np.array_equal(draw(x), draw(x, step=4))


def test_without_a_step_dropout_draws_anew_each_time():
    x = tf.ones([20, 10])
    assert not np.array_equal(draw(x, random=None), draw(x, random=None))


def test_dropout_on_replicas_is_that_of_one_device(two_replicas):
    x = tf.ones([8, 10])
    halves = two_replicas.experimental_distribute_values_from_function(
        lambda context: tf.split(x, 2)[context.replica_id_in_sync_group]
    )

    @tf.function
    def on_replicas(part):
        return two_replicas.run(lambda y: blocks.dropout(y, 0.25, StepRandom(0, 3), "test"), [part])

    result = two_replicas.experimental_local_results(on_replicas(halves))
    np.testing.assert_array_equal(np.concatenate(result), draw(x))


def test_dropout_is_for_training_alone_and_before_batch_norm():
    for stage in (blocks.ConvBlock(4, 1, dropout=0.5), blocks.DenseBlock(4, dropout=0.5)):
        x = random_map((8, 2, 2, 3))
        stage.build(x.shape)
        np.testing.assert_array_equal(stage(x), stage(x))
        # Dropped before the norm, what is zero there is not zero behind it.
        out = stage(x, training=True, random=StepRandom(0, 3)).numpy()
        assert not np.array_equal(out, stage(x, training=True, random=StepRandom(0, 4)))


def test_convolutions_drop_whole_channels_and_scale_the_rest():
    x = random_map((50, 3, 3, 3))
    stage = blocks.ConvBlock(8, 1, dropout=0.5, norm=False)
    stage.build(x.shape)
    whole = stage(x).numpy()
    result = stage(x, training=True, random=StepRandom(0, 3)).numpy()
    kept = result.any((1, 2))[:, np.newaxis, np.newaxis]
    np.testing.assert_allclose(result, 2 * whole * kept, rtol=1e-5)
    assert 0.35 < kept.mean() < 0.65


def test_relu_comes_before_the_max_pool():
    stage = blocks.ConvBlock(2, 1, pool=True, norm=False)
    stage.build((1, 5, 5, 3))
    stage.conv.kernel.assign(-np.ones((1, 1, 3, 2)))
    np.testing.assert_array_equal(stage(tf.ones([1, 5, 5, 3])), np.zeros((1, 2, 2, 2)))


def test_max_pool_has_no_padding():
    stage = blocks.ConvBlock(2, 1, pool=True, norm=False)
    x = random_map((1, 8, 7, 3))
    stage.build(x.shape)
    before = np.maximum(stage.conv(x), 0)
    result = stage(x).numpy()
    assert result.shape == (1, 3, 3, 2) == stage.compute_output_shape(x.shape)
    for i, j in np.ndindex(3, 3):
        expected = before[0, 2 * i : 2 * i + 3, 2 * j : 2 * j + 3].max((0, 1))
        np.testing.assert_array_equal(result[0, i, j], expected)


def scrambled(layer, shape):
    layer.build(shape)
    rng = np.random.default_rng(0)
    layer.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in layer.get_weights()])
    return layer


def at_rest(norm, x):
    """Batch norm of inference."""
    scale = norm.gamma.numpy() / np.sqrt(norm.moving_variance.numpy() + 1e-5)
    return (x.numpy() - norm.moving_mean.numpy()) * scale + norm.beta.numpy()


@pytest.mark.parametrize(("filters", "stride"), [(2, 1), (2, 2), (3, 1)])
def test_bottleneck_equals_its_equations(filters, stride):
    x = random_map((2, 6, 6, 8))
    block = scrambled(Bottleneck(filters, stride, False), x.shape)
    y = tf.nn.relu(at_rest(block.norms[0], block.convs[0](x)))
    y = tf.nn.relu(at_rest(block.norms[1], block.convs[1](y)))
    y = at_rest(block.norms[2], block.convs[2](y))
    side = x if (filters, stride) == (2, 1) else at_rest(block.shortcut_norm, block.shortcut(x))
    np.testing.assert_allclose(block(x), np.maximum(side + y, 0), atol=1e-4)
    assert [conv.strides for conv in block.convs] == [(1, 1), (stride, stride), (1, 1)]
    assert block(x).shape == block.compute_output_shape(x.shape)


@pytest.mark.parametrize(("kernel", "stride"), [(1, 1), (2, 2), (3, 1), (4, 2)])
def test_residual_block_equals_its_equations(kernel, stride):
    x = random_map((2, 8, 8, 3))
    block = scrambled(ResidualBlock(3, kernel, stride, False), x.shape)
    y = tf.nn.relu(at_rest(block.norm0, block.conv0(x)))
    y = at_rest(block.norm1, block.conv1(y))
    side = x
    if kernel > 1:
        side = np.maximum(at_rest(block.shortcut_norm, block.shortcut(x)), 0)
    np.testing.assert_allclose(block(x), np.maximum(side + y, 0), atol=1e-4)
    assert block(x).shape == block.compute_output_shape(x.shape)
