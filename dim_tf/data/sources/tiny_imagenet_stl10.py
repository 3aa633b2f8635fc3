"""STL-10's protocol on Tiny ImageNet: many images without labels, few with, of other classes.

It is a substitute for STL-10 (Coates et al. 2011,
https://proceedings.mlr.press/v15/coates11a.html), not a part of it: the images are Tiny ImageNet's.
"""

import hashlib
from collections.abc import Sequence

import numpy as np

from dim_tf.data import DataRequest
from dim_tf.data.sources import tiny_imagenet
from dim_tf.data.splits import Split, Splits

LABELLED, UNLABELLED = 10, 100


def draw_classes(wordnet_ids: Sequence[str]) -> tuple[list[int], list[int]]:
    """The labelled and the unlabelled classes, as indices: by the SHA-256 of their WordNet IDs.

    The classes with the ten smallest hashes are labelled, the next hundred are unlabelled, and the
    rest is not used. So the draw depends only on the IDs.

    Args:
        wordnet_ids: IDs of all classes, such as n01443537.

    Returns:
        Indices into `wordnet_ids`, each kind in ascending order.
    """
    digests = [hashlib.sha256(wordnet_id.encode()).hexdigest() for wordnet_id in wordnet_ids]
    drawn = sorted(range(len(wordnet_ids)), key=digests.__getitem__)
    return sorted(drawn[:LABELLED]), sorted(drawn[LABELLED:][:UNLABELLED])


def load(request: DataRequest) -> Splits:
    """Tiny ImageNet's images: the encoder's without labels, the probes' of ten other classes.

    The encoder sees 50,000 images of 100 classes without their labels; probes are trained on the
    5,000 training images of 10 other classes and tested on their 500 validation images.

    Raises:
        InputError: As for Tiny ImageNet.
    """
    whole = tiny_imagenet.load(request)
    labelled, unlabelled = draw_classes([name.split()[0] for name in whole.label_names])
    number = np.full(len(whole.label_names), -1)
    number[labelled] = np.arange(LABELLED)

    def read_labelled(split):
        indices = _indices_of(split, labelled)
        return Split(split.images[indices], number[split.labels[indices]])

    train = Split(whole.train.images[_indices_of(whole.train, unlabelled)], None)
    return Splits(
        name="tiny_imagenet_stl10",
        train=train,
        test=read_labelled(whole.test),
        label_names=tuple(whole.label_names[index] for index in labelled),
        note=(
            "A stand-in for STL-10 made of Tiny ImageNet: the encoder is trained on "
            f"{len(train):,} images of {UNLABELLED} classes without their labels, probes on the "
            f"training images of {LABELLED} other classes; at {request.frame} pixels."
        ),
        labelled=read_labelled(whole.train),
    )


def _indices_of(split: Split, classes: list[int]) -> np.ndarray:
    """Indices of the split's images of these classes."""
    assert split.labels is not None  # Tiny ImageNet has them
    return np.flatnonzero(np.isin(split.labels, classes))
