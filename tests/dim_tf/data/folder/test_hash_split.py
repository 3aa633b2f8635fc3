"""Which images the hash chooses for the test."""

import numpy as np

from dim_tf.data.folder.hash_split import MIN_TEST, choose_test


def digests_of(count, seed=0):
    return np.random.default_rng(seed).integers(0, 256, (count, 16), np.uint8)


def choose(numbers, labels=None, fraction=0.1, eligible=None, seed=0):
    """The test images of groups whose digests are random."""
    numbers = np.asarray(numbers)
    digests = digests_of(int(numbers.max()) + 1, seed)[numbers]
    eligible = np.ones(len(numbers), bool) if eligible is None else eligible
    return choose_test(numbers, digests, eligible, labels, fraction)


def test_the_fraction_of_test_images():
    assert choose(np.arange(20)).sum() == 10
    assert 900 < choose(np.arange(10_000)).sum() < 1100
    assert 1900 < choose(np.arange(10_000), fraction=0.2).sum() < 2100
    assert choose(np.arange(150_000)).sum() == 10_000


def test_a_group_is_on_one_side():
    numbers = np.random.default_rng(1).permutation(np.arange(1000) // 7)
    is_test = choose(numbers)
    assert set(numbers[is_test]).isdisjoint(numbers[~is_test])
    assert 50 < is_test.sum() < 150


def test_more_groups_move_none_to_the_test():
    numbers = np.arange(3000) // np.random.default_rng(1).integers(3, 12)
    for before, after in ((60, 300), (300, 3000)):
        earlier, later = choose(numbers[:before]), choose(numbers[:after])[:before]
        assert not (later & ~earlier).any()
    assert (choose(numbers)[:1000] == choose(numbers[:1000])).all()


def test_a_group_that_grows_stays_where_it_is():
    numbers = np.arange(1000) // 10
    grown = np.concatenate([numbers, np.arange(100), np.arange(100)])
    assert (choose(grown)[:1000] == choose(numbers)).all()


def test_a_group_of_more_than_half_is_for_training():
    for seed in range(40):
        numbers = np.concatenate([np.zeros(60, int), np.arange(1, 41)])
        is_test = choose(numbers, seed=seed)
        assert not is_test[:60].any()
        assert MIN_TEST <= is_test.sum() <= 20


def test_groups_with_an_image_without_a_label_are_for_training():
    numbers = np.arange(400) // 4
    eligible = np.arange(400) % 8 > 0
    is_test = choose(numbers, eligible=eligible)
    assert set(numbers[is_test]) == set(numbers[choose(numbers)]) & set(range(1, 100, 2))


def test_each_class_keeps_images_for_training():
    for seed in range(40):
        numbers = np.arange(200) // 10
        labels = np.minimum(numbers, 9)  # nine classes have one group each
        is_test = choose(numbers, labels, seed=seed)
        assert set(labels[~is_test]) == set(range(10))
        assert is_test.any()


def test_one_group_leaves_nothing_for_the_test():
    assert not choose(np.zeros(50, int)).any()
