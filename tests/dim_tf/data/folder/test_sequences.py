"""Numbered sequences: by names, confirmed by pixels."""

import numpy as np

from dim_tf.data.folder.near_duplicates import Thumbnails
from dim_tf.data.folder.partition import Partition
from dim_tf.data.folder.perceptual_hash import THUMBNAIL_BYTES
from dim_tf.data.folder.sequences import join_sequences, natural_key, numbered_neighbours

RNG = np.random.default_rng(0)


def scenes(*lengths):
    """Thumbnails: `length` frames of each of several scenes."""
    frames = [
        np.repeat(RNG.integers(0, 256, (1, THUMBNAIL_BYTES)), length, axis=0) for length in lengths
    ]
    pixels = np.concatenate(frames) + RNG.normal(0, 15, (sum(lengths), THUMBNAIL_BYTES))
    return Thumbnails(np.clip(pixels, 0, 255).astype(np.uint8))


def sets_of(names, thumbnails, max_images=1000):
    partition = Partition(len(names))
    join_sequences(partition, names, thumbnails, 0.5, max_images)
    return np.unique(partition.labels, return_inverse=True)[1].tolist()


def test_neighbours_differ_in_one_number():
    names = ["v1/f2.png", "v1/f10.png", "v1/f9.jpg", "v2/f10.png", "x.png", "v3/g1.png"]
    pairs = numbered_neighbours(names)
    found = {(names[a], names[b]) for a, b in zip(pairs.first, pairs.second, strict=True)}
    assert found == {
        ("v1/f2.png", "v1/f9.jpg"),
        ("v1/f9.jpg", "v1/f10.png"),
        ("v1/f10.png", "v2/f10.png"),
    }
    assert len(numbered_neighbours(["a.png", "b.png"]).first) == 0
    assert len(numbered_neighbours([]).first) == 0


def test_neighbours_that_look_alike_are_joined():
    names = [f"clip{clip}_frame{frame:03d}.png" for clip in (1, 2) for frame in range(5)]
    assert sets_of(names, scenes(5, 5)) == [0] * 5 + [1] * 5


def test_a_cameras_numbers_join_nothing_but_bursts():
    names = [f"DCIM/IMG_{number:04d}.JPG" for number in range(20)]
    assert sets_of(names, scenes(*[1] * 20)) == list(range(20))
    sets = sets_of(names, scenes(*[1] * 6, 4, *[1] * 10))
    assert sets == [*range(6), 6, 6, 6, 6, *range(7, 17)]


def test_a_video_with_cuts_is_one_sequence():
    names = [f"video_7/{number}.jpg" for number in range(12)]
    assert set(sets_of(names, scenes(4, 5, 3))) == {0}
    # Not where all images have such names: these are then no evidence.
    assert sets_of(names, scenes(4, 5, 3), max_images=6) == [0] * 4 + [1] * 5 + [2] * 3


def test_names_of_other_scripts_and_long_numbers():
    names = ["фото 9.png", "фото 10.png", "写真٣.png", "写真٤.png"]
    names += ["9" * 200 + ".png", "8" * 200 + ".png"]
    assert sets_of(names, scenes(2, 2, 2)) == [0, 0, 1, 1, 2, 2]


def test_natural_order():
    names = ["frame_10.png", "frame_9.png", "frame_9b.png"]
    assert sorted(names, key=natural_key) == ["frame_9.png", "frame_9b.png", "frame_10.png"]
