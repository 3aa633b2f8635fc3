"""Training turns images by one rule in Python, serving by the same rule in a graph."""

import random
import struct

import pytest
import tensorflow as tf

from dim_tf.data.graph_headers import orientation
from dim_tf.data.image_headers.orientation import orientation_of

CASES = 300


@tf.function(
    input_signature=[tf.TensorSpec([], tf.string), tf.TensorSpec([], tf.string)], autograph=False
)
def in_graph(exif, xmp):
    return orientation.choose(orientation.exif_orientation(exif), orientation.xmp_orientation(xmp))


def random_tiff(rng: random.Random) -> bytes:
    """A TIFF structure, often with an orientation, sometimes cut off or with a wrong byte."""
    order = rng.choice("<>")
    entries = b"".join(
        struct.pack(
            f"{order}HHIHH",
            rng.choice([0x0112, 0x0112, 0x0100]),
            rng.choice([3, 3, 4]),
            1,
            rng.randint(0, 9),
            0,
        )
        for _ in range(rng.randint(0, 4))
    )
    offset = rng.choice([8, 8, 8, 9, 2**32 - 1])
    count = rng.choice([len(entries) // 12, len(entries) // 12, 0, 2**16 - 1])
    magic = b"II*\0" if order == "<" else b"MM\0*"
    tiff = bytearray(magic + struct.pack(f"{order}IH", offset, count) + entries)
    if rng.random() < 0.3:
        del tiff[rng.randint(0, len(tiff)) :]
    if tiff and rng.random() < 0.2:
        tiff[rng.randrange(len(tiff))] = rng.randrange(256)
    return bytes(tiff)


def random_xmp(rng: random.Random) -> bytes:
    """Up to three orientations as attributes, elements, or in no form that there is."""
    return b"".join(
        b" tiff:Orientation"
        + rng.choice([b'="', b"='", b">", b"=", b' ="'])
        + str(rng.randint(0, 12)).encode()
        + rng.choice([b'"', b"'", b"<", b""])
        for _ in range(rng.randint(0, 3))
    )


@pytest.mark.parametrize("seed", range(3))
def test_the_graph_has_the_rule_of_training(seed):
    rng = random.Random(seed)
    turns = set()
    for _ in range(CASES):
        exif, xmp = rng.choice([b"", random_tiff(rng)]), random_xmp(rng)
        turn = orientation_of(exif, xmp)
        assert in_graph(exif, xmp) == turn, (exif, xmp)
        turns.add(turn)
    assert turns == set(range(1, 9))
