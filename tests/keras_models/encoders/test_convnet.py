import numpy as np
import pytest
import tensorflow as tf

from keras_models.encoders import ConvNet

TINY = {
    "image_shape": (8, 8, 1),
    "convolutions": ((4, 4, 2, 1), (8, 4, 2, 1)),
    "dense_units": (16,),
    "local_layer": 0,
    "latent_dim": 5,
}


@pytest.fixture
def images():
    return tf.random.stateless_uniform([6, 8, 8, 1], [0, 0], -1, 1)


def test_equals_its_layers_in_training_and_inference(images):
    encoder = ConvNet(**TINY)
    encoder.build()
    rng = np.random.default_rng(0)
    encoder.set_weights([w + rng.uniform(0, 0.5, w.shape) for w in encoder.get_weights()])
    first_conv, second_conv, hidden, last = encoder.stages

    def forward(training):
        """The endpoints, batch norm written out."""

        def norm_relu(x, norm):
            mean, variance = norm.moving_mean.numpy(), norm.moving_variance.numpy()
            if training:
                axes = tuple(range(x.ndim - 1))
                mean, variance = x.mean(axes), x.var(axes)
            x = (x - mean) / np.sqrt(variance + 1e-5) * norm.gamma.numpy() + norm.beta.numpy()
            return np.maximum(x, 0)

        first = norm_relu(first_conv.conv(images).numpy(), first_conv.norm)
        conv = norm_relu(second_conv.conv(first).numpy(), second_conv.norm)
        fc = norm_relu(conv.reshape(6, -1) @ hidden.dense.kernel.numpy(), hidden.norm)
        latent = fc @ last.dense.kernel.numpy() + last.dense.bias.numpy()
        return {"local": first, "conv": conv, "fc": fc, "global": latent}

    for training in (False, True):
        expected = forward(training)
        endpoints = encoder(images, training=training)
        for name in expected:
            np.testing.assert_allclose(endpoints[name], expected[name], atol=1e-4, err_msg=name)


def test_only_the_global_layer_has_a_bias():
    encoder = ConvNet(**TINY)
    encoder.build()
    *convs, hidden, last = encoder.stages
    assert [stage.conv.bias for stage in convs] == [None, None]
    assert hidden.dense.bias is None
    assert last.dense.bias is not None


@pytest.mark.parametrize("local_layer", [-1, 2])
def test_local_layer_that_is_no_convolution_raises(local_layer):
    with pytest.raises(ValueError, match="local_layer"):
        ConvNet(**{**TINY, "local_layer": local_layer})
