"""Collections for the tests of curation: images, features of theirs, neighbours."""

import numpy as np
from PIL import Image

from dim_tf.collection.curation import copies
from dim_tf.collection.curation.curation import curate
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.collection.unit_rows import unit_rows
from dim_tf.settings.curation import CurationSettings


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
        lambda row: images[row],
        labels,
        label_names,
        is_test,
    )


def small_collection(seed=0, count=260):
    """Images of two classes with copies, an image unlike the others, and wrong labels.

    The last four images are a copy of each kind of the first four; rows 0 to 3 and the copies are
    in different folders. Images of class 0 are reddish, of class 1 bluish. Row 10 is white noise.
    """
    rng = np.random.default_rng(seed)
    images = photos(count, seed)
    labels = np.arange(count) % 2
    for row, image in enumerate(images):
        image[..., 2 * labels[row]] = image[..., 2 * labels[row]] // 2 + 127
    images[10] = (rng.random((48, 48, 3)) < 0.5).astype(np.uint8) * 255
    for row, kind in enumerate(copies.KINDS):
        images.append(copies.augmented_copy(images[row], kind, rng))
    labels = np.concatenate([labels, labels[:4]])
    wrong = [21, 42, 63, 84]
    labels[wrong] = 1 - labels[wrong]
    labels[-1] = 1 - labels[-1]
    is_test = np.zeros(count + 4, bool)
    is_test[count:] = True
    features = np.stack([np.append(features_of([i])[0] / 40, i.mean((0, 1)) / 4) for i in images])
    features[:, -3:] -= features[:, -3:].mean(axis=0)
    features[10] = rng.normal(size=features.shape[1]) * 30
    return embedded(
        images,
        features.astype(np.float32),
        labels,
        ("red", "blue"),
        is_test,
        names="photos/{:04d}.png",
    )


def curated(images=None, **settings):
    """The curation of a collection, the small one by default."""
    images = small_collection() if images is None else images
    settings = {"subset_size": 12, **settings}
    return curate(images, neighbours_of(images.features), CurationSettings(**settings))
