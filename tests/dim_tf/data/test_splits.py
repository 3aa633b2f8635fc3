import dataclasses

import numpy as np

from dim_tf.data.splits import Split, Splits


def test_fingerprint_is_that_of_the_pixels_of_both_splits():
    images = np.random.default_rng(0).integers(0, 256, (40, 6, 6, 3), np.uint8)
    splits = Splits("a", Split(images[:30], None), Split(images[30:], None), (), "a")
    again = dataclasses.replace(splits, name="b", train=Split(images[:30].copy(), np.arange(30)))
    assert again.fingerprint == splits.fingerprint
    assert len(splits.fingerprint) == 16
    for row in (0, 29, 30, 39):  # the first and the last of each
        other = images.copy()
        other[row, 3, 3, 1] ^= 1
        changed = Splits("a", Split(other[:30], None), Split(other[30:], None), (), "a")
        assert changed.fingerprint != splits.fingerprint
    less = dataclasses.replace(splits, train=Split(images[:29], None))
    assert less.fingerprint != splits.fingerprint
