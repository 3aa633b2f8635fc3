"""Collections for the tests of curation: images, features of theirs, neighbours."""

import numpy as np
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.curation.unit_features import unit_rows
from dim_tf.collection.embedded_images import EmbeddedImages
from PIL import Image


def photo(rng, height=48, width=48):
    """A smooth random image: a few colours that change over a quarter of it, and some texture."""
    coarse = rng.integers(0, 256, (6, 6, 3), dtype=np.uint8)
    fine = rng.integers(0, 256, (20, 20, 3), dtype=np.uint8)
    parts = [
        np.asarray(Image.fromarray(part).resize((width, height), Image.Resampling.BICUBIC))
        for part in (coarse, fine)
    ]
    return (0.75 * parts[0] + 0.25 * parts[1]).astype(np.uint8)


def photos(count, seed=0, height=48, width=48):
    """Different images, a list."""
    rng = np.random.default_rng(seed)
    return [photo(rng, height, width) for _ in range(count)]


def features_of(images):
    """What an encoder that is blind to mirroring might see, float32 [N, 96]."""
    rows = []
    for image in images:
        both = image.astype(np.float32), image[:, ::-1].astype(np.float32)
        reduced = [
            np.asarray(Image.fromarray(i.astype(np.uint8)).resize((8, 8), Image.Resampling.BOX))
            for i in both
        ]
        mean = (reduced[0].astype(np.float32) + reduced[1]) / 2
        rows.append(mean[:, :4].ravel() - mean.mean())
    return np.stack(rows).astype(np.float32)


def neighbours_of(features, k=10):
    """The k nearest of each, by all products."""
    units = unit_rows(features)
    similarities = units @ units.T
    np.fill_diagonal(similarities, -2)
    rows = np.argsort(-similarities, axis=1, kind="stable")[:, :k]
    return NeighbourLists(np.take_along_axis(similarities, rows, axis=1), rows)


def embedded(images, features=None, labels=None, label_names=(), is_test=None, names="{:04d}.png"):
    """The images with their features."""
    return EmbeddedImages(
        [names.format(row) for row in range(len(images))],
        features_of(images) if features is None else features,
        labels,
        label_names,
        is_test,
        lambda row: images[row],
    )
