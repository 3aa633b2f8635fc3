import keras
import numpy as np
import pytest
import tensorflow as tf

from keras_models import critics
from keras_models.critics import DotProductCritic, NoisyIdentity, Projection


def random_features(shape, seed=0):
    return tf.random.stateless_normal(shape, [seed, 0])


def make_critic(local_shape, global_shape, units=6):
    critic = DotProductCritic(units)
    critic.build((None, *local_shape[1:]), (None, *global_shape[1:]))
    rng = np.random.default_rng(0)
    critic.set_weights([w + rng.uniform(0, 0.3, w.shape) for w in critic.get_weights()])
    return critic


def codes(projection, features):
    """The projection's own outputs as [N, places, U]."""
    out = projection(features, training=True).numpy()
    return out.reshape(out.shape[0], -1, out.shape[-1]).astype(np.float64)


@pytest.mark.parametrize("global_shape", [(5, 7), (5, 2, 2, 7)], ids=["one_global", "four_globals"])
def test_pair_scores_equal_loops(global_shape):
    local_shape = (5, 3, 3, 4)
    local_features, global_features = random_features(local_shape), random_features(global_shape)
    critic = make_critic(local_shape, global_shape)
    scores = critic(local_features, global_features, training=True)
    local_codes = codes(critic.project_local, local_features)
    global_codes = codes(critic.project_global, global_features)
    n, locations, globals_ = 5, 9, global_codes.shape[1]
    assert scores.joint.shape == (n, locations, globals_)
    assert scores.product.shape == (n, n - 1, locations, globals_)
    assert scores.foreign is None

    joint, product = np.zeros(scores.joint.shape), np.zeros(scores.product.shape)
    for i in range(n):
        others = [j for j in range(n) if j != i]
        for l in range(locations):  # noqa: E741
            for g in range(globals_):
                joint[i, l, g] = local_codes[i, l] @ global_codes[i, g]
                for k, j in enumerate(others):
                    product[i, k, l, g] = local_codes[j, l] @ global_codes[i, g]
    np.testing.assert_allclose(scores.joint, joint, atol=1e-4)
    np.testing.assert_allclose(scores.product, product, atol=1e-4)


def test_no_product_score_depends_on_its_own_image():
    """The gradient of image n's product scores in its own local features is exactly zero."""
    local_codes, global_codes = random_features((4, 4, 6)), random_features((4, 1, 6), seed=1)
    with tf.GradientTape() as tape:
        tape.watch(local_codes)
        scores = critics.without_own(critics.all_dot_products(local_codes, global_codes))
        of_image_2 = tf.reduce_sum(scores[2])
    gradient = tape.gradient(of_image_2, local_codes).numpy()
    np.testing.assert_array_equal(gradient[2], 0)
    for other in (0, 1, 3):
        np.testing.assert_allclose(gradient[other], np.tile(global_codes[2], (4, 1)), rtol=1e-6)


@pytest.mark.parametrize("rest", [(), (3,), (3, 2)])
@pytest.mark.parametrize("n", [2, 3, 5])
def test_without_own_drops_the_diagonal_and_keeps_the_order(n, rest):
    scores = np.random.default_rng(0).normal(size=(n, n, *rest)).astype(np.float32)
    expected = np.array([np.delete(row, i, axis=0) for i, row in enumerate(scores)])
    np.testing.assert_array_equal(critics.without_own(tf.constant(scores)), expected)


def test_all_dot_products_equals_einsum():
    local_codes, global_codes = random_features((4, 3, 6)), random_features((5, 2, 6), seed=1)
    scores = critics.all_dot_products(local_codes, global_codes)
    expected = np.einsum("mlu,ngu->nmlg", local_codes, global_codes)
    np.testing.assert_allclose(scores, expected, atol=1e-5)


@pytest.mark.parametrize("jit_compile", [False, True])
def test_graph_and_xla_equal_eager(jit_compile):
    critic = make_critic((4, 2, 2, 3), (4, 5))

    @tf.function(jit_compile=jit_compile)
    def compiled(local_features, global_features):
        scores = critic(local_features, global_features, training=True)
        return scores.joint, scores.product

    features = random_features((4, 2, 2, 3)), random_features((4, 5))
    expected = critic(*features, training=True)
    for out, one in zip(compiled(*features), expected[:2], strict=True):
        np.testing.assert_allclose(out, one, atol=1e-4)


def test_scores_are_float32_in_mixed_precision():
    before = keras.mixed_precision.dtype_policy()
    keras.mixed_precision.set_dtype_policy("mixed_bfloat16")
    try:
        critic = DotProductCritic(6)
        critic.build((None, 2, 2, 3), (None, 5))
    finally:
        keras.mixed_precision.set_dtype_policy(before)
    scores = critic(random_features((4, 2, 2, 3)), random_features((4, 5)), training=True)
    assert critic.project_local.compute_dtype == "bfloat16"
    assert scores.joint.dtype == scores.product.dtype == tf.float32


def test_fewer_than_two_images_raises():
    critic = make_critic((1, 2, 2, 3), (1, 5))
    with pytest.raises(ValueError, match="at least 2 images"):
        critic(tf.zeros([1, 2, 2, 3]), tf.zeros([1, 5]))


def test_replicas_score_their_globals_and_the_others_with_their_own_locals(two_replicas):
    local_shape, global_shape = (6, 2, 2, 3), (6, 5)
    with two_replicas.scope():
        critic = make_critic(local_shape, global_shape)
    local_features, global_features = random_features(local_shape), random_features(global_shape)
    # Without the batch's statistics, every image's codes are the same on any number of replicas.
    local_codes = critic._codes(critic.project_local(local_features))
    global_codes = critic._codes(critic.project_global(global_features))
    expected = critics.all_dot_products(local_codes, global_codes).numpy()  # [6, 6, L, G]

    def mine(features):
        return lambda context: tf.split(features, 2)[context.replica_id_in_sync_group]

    @tf.function
    def on_replicas(local_features, global_features):
        scores = two_replicas.run(critic, [local_features, global_features])
        return [two_replicas.experimental_local_results(x) for x in scores]

    _, product, foreign = on_replicas(
        two_replicas.experimental_distribute_values_from_function(mine(local_features)),
        two_replicas.experimental_distribute_values_from_function(mine(global_features)),
    )
    images = np.arange(6).reshape(2, 3)
    for replica in (0, 1):
        own, others = images[replica], images[1 - replica]
        np.testing.assert_allclose(foreign[replica], expected[np.ix_(others, own)], atol=1e-5)
        in_own = critics.without_own(tf.constant(expected[np.ix_(own, own)]))
        np.testing.assert_allclose(product[replica], in_own, atol=1e-5)


def test_config_round_trip():
    critic = make_critic((4, 2, 2, 3), (4, 5))
    features = random_features((4, 2, 2, 3)), random_features((4, 5))
    expected = critic(*features)
    again = DotProductCritic.from_config(critic.get_config())
    again.build((None, 2, 2, 3), (None, 5))
    assert again.get_config() == critic.get_config()
    again.set_weights(critic.get_weights())
    np.testing.assert_array_equal(again(*features).product, expected.product)


def test_serialisation_of_a_built_critic():
    critic = make_critic((4, 2, 2, 3), (4, 5))
    again = keras.saving.deserialize_keras_object(keras.saving.serialize_keras_object(critic))
    again.set_weights(critic.get_weights())
    features = random_features((4, 2, 2, 3)), random_features((4, 5))
    np.testing.assert_array_equal(again(*features).product, critic(*features).product)


def test_get():
    critic = critics.get("dot", units=6, synchronized=True, name="mine")
    assert (critic.units, critic.synchronized, critic.name) == (6, True, "mine")
    assert critics.get("dot").units == 2048
    with pytest.raises(ValueError, match="dot"):
        critics.get("concat_and_convolve")


@pytest.mark.parametrize(("inputs", "units"), [(4, 4), (4, 9)])
def test_noisy_identity(inputs, units):
    kernel = NoisyIdentity()((inputs, units)).numpy()
    diagonal = np.eye(inputs, units) == 1
    np.testing.assert_array_equal(kernel[diagonal], 1)
    noise = kernel[~diagonal]
    assert np.abs(noise).max() <= 0.01
    assert noise.std() > 0.003  # a uniform distribution's is 0.0058


def test_projection_starts_from_a_noisy_identity_where_no_input_is_dropped():
    projection = Projection(8)
    projection.build((None, 2, 2, 6))
    np.testing.assert_array_equal(np.diag(projection.shortcut.kernel), 1)
    # The other layers, and a shortcut to fewer units, start as every dense layer.
    smaller = Projection(6)
    smaller.build((None, 2, 2, 8))
    for kernel in (smaller.shortcut.kernel, smaller.hidden.kernel, projection.hidden.kernel):
        limit = kernel.shape[0] ** -0.5
        assert 0.5 * limit < np.abs(kernel).max() <= limit
        assert (np.diag(kernel) != 1).all()


def test_projection_parameters():
    projection = Projection(2048)
    projection.build((None, 8, 8, 128))
    assert sum(v.numpy().size for v in projection.trainable_variables) == 4_728_832
    assert projection.hidden.bias is None
    assert projection.shortcut.bias is None
    assert projection.out.bias is not None


@pytest.mark.parametrize("shape", [(5, 4), (5, 2, 2, 4)])
def test_projection_equals_the_equations_in_training(shape):
    projection = Projection(6)
    projection.build((None, *shape[1:]))
    rng = np.random.default_rng(0)
    projection.set_weights([w + rng.uniform(0.1, 0.5, w.shape) for w in projection.get_weights()])
    features = rng.normal(size=shape)
    # As the variables are, before the moving averages change.
    batch_norm, layer_norm = projection.hidden_norm, projection.norm
    before = batch_norm.moving_mean.numpy()

    hidden = features @ projection.hidden.kernel.numpy()
    axes = tuple(range(hidden.ndim - 1))
    mean, variance = hidden.mean(axes), hidden.var(axes)
    hidden = (hidden - mean) / np.sqrt(variance + 1e-5)
    hidden = np.maximum(hidden * batch_norm.gamma.numpy() + batch_norm.beta.numpy(), 0)
    out = hidden @ projection.out.kernel.numpy() + projection.out.bias.numpy()
    out = out + features @ projection.shortcut.kernel.numpy()
    centred = out - out.mean(-1, keepdims=True)
    expected = centred / np.sqrt(out.var(-1, keepdims=True) + 1e-5)
    expected = expected * layer_norm.gamma.numpy() + layer_norm.beta.numpy()

    np.testing.assert_allclose(
        projection(tf.constant(features, tf.float32), training=True), expected, atol=1e-4
    )
    np.testing.assert_allclose(batch_norm.moving_mean, 0.9 * before + 0.1 * mean, atol=1e-5)


def test_projection_norms():
    projection = Projection(6, synchronized=True)
    projection.build((None, 4))
    assert (projection.hidden_norm.epsilon, projection.hidden_norm.momentum) == (1e-5, 0.9)
    assert projection.hidden_norm.synchronized
    assert projection.norm.epsilon == 1e-5
    assert not Projection(6).hidden_norm.synchronized


def test_projection_treats_a_map_as_its_places():
    """A 1x1 convolution: the same as the dense layers on each place."""
    projection, of_places = Projection(6), Projection(6)
    projection.build((None, 2, 2, 4))
    of_places.build((None, 4))
    of_places.set_weights(projection.get_weights())
    features = random_features((5, 2, 2, 4))
    np.testing.assert_allclose(
        tf.reshape(projection(features, training=True), [20, 6]),
        of_places(tf.reshape(features, [20, 4]), training=True),
        atol=1e-5,
    )
    assert projection.compute_output_shape((None, 2, 2, 4)) == (None, 2, 2, 6)


def test_projection_config_round_trip():
    projection = Projection(6, synchronized=True, name="side")
    config = projection.get_config()
    assert Projection.from_config(config).get_config() == config
