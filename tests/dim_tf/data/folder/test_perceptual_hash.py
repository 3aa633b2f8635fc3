"""Perceptual hashes and thumbnails of images."""

import numpy as np
import pytest
from PIL import Image
from sample_images import pixels

from dim_tf.data.folder.perceptual_hash import hash_and_thumbnail


def unpacked(image, **settings):
    bits, thumbnail = hash_and_thumbnail(image, **settings)
    return np.unpackbits(np.frombuffer(bits, np.uint8)), np.frombuffer(thumbnail, np.uint8)


@pytest.fixture
def image():
    return Image.fromarray(pixels(5, 96, 160))


def test_a_resized_copy_is_alike(image):
    bits, thumbnail = unpacked(image)
    copy_bits, copy_thumbnail = unpacked(image.resize((40, 24)))
    assert (bits != copy_bits).sum() <= 4
    assert np.abs(thumbnail.astype(int) - copy_thumbnail).max() <= 8
    other_bits, _ = unpacked(Image.fromarray(pixels(8, 96, 160)))
    assert (bits != other_bits).sum() > 8


@pytest.mark.parametrize("channels", [1, 3])
def test_16_bits_between_their_percentiles_are_as_8(channels):
    gray = pixels(5, 48, 48).mean(axis=2).astype(np.uint8)
    low, high = int(gray.min()), int(gray.max())
    of_16 = np.repeat(gray.astype(np.uint16)[..., np.newaxis] * 16, channels, axis=2)
    stretched = np.round((gray - float(low)) * 255 / (high - low)).astype(np.uint8)
    bits, thumbnail = unpacked(of_16, low=16 * low, high=16 * high)
    expected_bits, expected = unpacked(Image.fromarray(stretched))
    assert (bits != expected_bits).sum() <= 4
    assert np.abs(thumbnail.astype(int) - expected).max() <= 3


def test_constant_images_have_a_hash_too():
    for constant in (Image.new("L", (9, 9)), np.full((9, 9, 1), 7, np.uint16)):
        bits, thumbnail = hash_and_thumbnail(constant, 7, 7)
        assert len(bits) == 8
        assert set(thumbnail) == {0}
