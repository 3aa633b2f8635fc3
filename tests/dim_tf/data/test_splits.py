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


def test_fingerprint_is_of_the_images_that_probes_are_trained_on_too():
    images = np.random.default_rng(0).integers(0, 256, (30, 6, 6, 3), np.uint8)
    fingerprints = set()
    for labelled in (images[20:], 255 - images[20:], None):
        split = None if labelled is None else Split(labelled, np.arange(10))
        parts = Split(images[:10], None), Split(images[10:20], None)
        fingerprints.add(Splits("a", *parts, ("a",), "a", labelled=split).fingerprint)
    assert len(fingerprints) == 3


def test_fingerprint_of_many_images_is_of_some():
    """All would take as long as reading the data set."""

    class Counted(np.ndarray):
        def __getitem__(self, rows):
            assert len(rows) < 2000
            return super().__getitem__(rows)

    images = np.zeros((50_000, 2, 2, 3), np.uint8).view(Counted)
    changed = np.zeros((50_000, 2, 2, 3), np.uint8)
    changed[1:-1] = 1
    one, other = (
        Splits("a", Split(x, None), Split(x, None), (), "a").fingerprint
        for x in (images, changed.view(Counted))
    )
    assert one != other
