import harness
import numpy as np
import pytest
import tensorflow as tf

from keras_models.nn import decoders
from keras_models.nn.decoders import Conv2DTranspose, Decoder


def built(*arguments, **keywords):
    decoder = Decoder(*arguments, **keywords)
    decoder.build()
    return decoder


def test_the_authors_decoder():
    """decoder_basic32x32: parameters of each layer, the shape of the images."""
    decoder = built((32, 32, 3))
    counts = [
        sum(v.numpy().size for layer in group for v in layer.trainable_variables)
        for group in (
            (decoder.dense, decoder.dense_norm),
            *zip(decoder.convs, decoder.conv_norms, strict=True),
            (decoder.to_image,),
        )
    ]
    assert counts == [540_672, 2_097_920, 524_672, 131_264, 1_728]
    assert sum(v.numpy().size for v in decoder.trainable_variables) == 3_296_256
    images = decoder(tf.random.stateless_normal([2, 64], [0, 0]))
    assert images.shape == (2, 32, 32, 3)
    assert np.abs(images).max() <= 1


def test_passes_the_harness():
    harness.check(
        lambda: built((8, 12, 1), 5, (6, 4, 3)),
        lambda decoder, codes: decoder(codes, training=True),
        tf.random.stateless_normal([4, 5], [0, 0]),
        bfloat16=0.2,
    )


def test_transposed_convolution_is_the_gradient_of_a_padded_convolution():
    """4x4, stride 2, padding 1 on all sides, as the authors'; Keras' "same" is that here."""
    layer = Conv2DTranspose(3)
    x = tf.random.stateless_normal([2, 4, 4, 5], [0, 0])
    layer.build(x.shape)
    layer.bias.assign([0.5, -1.0, 2.0])
    expected = np.zeros((2, 10, 10, 3))
    for n, i, j in np.ndindex(2, 4, 4):
        patch = np.einsum("uvoc,c->uvo", layer.kernel.numpy(), x[n, i, j])
        expected[n, 2 * i : 2 * i + 4, 2 * j : 2 * j + 4] += patch
    expected = expected[:, 1:-1, 1:-1] + [0.5, -1.0, 2.0]
    np.testing.assert_allclose(layer(x), expected, atol=1e-5)


def test_transposed_convolution_starts_as_the_authors():
    layer = Conv2DTranspose(64)
    layer.build((None, 8, 8, 128))
    limit = (4 * 4 * 64) ** -0.5
    for weight in (layer.kernel, layer.bias):
        assert 0.9 * limit < np.abs(weight).max() <= limit


@pytest.mark.parametrize(
    ("shape", "filters"),
    [
        ((32, 32, 3), (512, 256, 128, 64)),
        ((28, 28, 1), (256, 128, 64)),
        ((64, 48, 3), (512, 256, 128, 64)),
    ],
)
def test_filters_for(shape, filters):
    assert decoders.filters_for(shape) == filters
    assert Decoder(shape, filters=filters).image_shape == shape


def test_sides_that_no_doubling_reaches_raise():
    with pytest.raises(ValueError, match="33x33"):
        decoders.filters_for((33, 33, 3))
    with pytest.raises(ValueError, match="multiples of 8, not 28x28"):
        Decoder((28, 28, 1))
