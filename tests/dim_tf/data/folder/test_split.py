"""How many images are for the test."""

import numpy as np

from dim_tf.data.folder.split import count_test_images


def test_the_fraction_of_test_images():
    rng = np.random.default_rng(0)

    def tests(count):
        digests = rng.integers(0, 256, (count, 16), np.uint8)
        return count_test_images(digests[np.lexsort(digests.T[::-1])])

    assert tests(20) == 10
    assert 900 < tests(10_000) < 1100
    assert tests(150_000) == 10_000
