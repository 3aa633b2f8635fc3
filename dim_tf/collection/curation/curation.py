"""The whole curation of a collection: duplicates, leaks, outliers, labels, a subset."""

from dataclasses import dataclass
from typing import Any

import numpy as np

from dim_tf.collection.curation.alignment import COPY_DISTANCE, ThumbnailCache
from dim_tf.collection.curation.duplicates import Duplicates, find_duplicates
from dim_tf.collection.curation.label_issues import LabelCheck, check_labels
from dim_tf.collection.curation.leaks import Leaks, find_leaks
from dim_tf.collection.curation.match_rates import CopyFeatures
from dim_tf.collection.curation.neighbour_lists import NeighbourLists
from dim_tf.collection.curation.outliers import KINDS, Outliers, find_outliers
from dim_tf.collection.curation.subset import Subset, choose_subset
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.settings.curation import CurationSettings
from dim_tf.system.errors import InputError

_BLOCK = 2**16  # rows of features at a time


@dataclass(frozen=True)
class Curation:
    """The results of the curation of a collection.

    Attributes:
        images: The collection.
        duplicates: Its near duplicates.
        leaks: Copies across the user's own split; None if there is no such split.
        outliers: Its outliers.
        labels: The check of its labels; None if there are none, or if they cannot be checked.
        unchecked_labels: Why labels cannot be checked; empty if they were, or if there are none.
        subset: A subset of the images that are neither outliers nor copies of others.
    """

    images: EmbeddedImages
    duplicates: Duplicates
    leaks: Leaks | None
    outliers: Outliers
    labels: LabelCheck | None
    unchecked_labels: str
    subset: Subset

    def summary(self) -> dict[str, Any]:
        """Counts, thresholds and rates, as in curation.json."""
        return {
            "images": len(self.images.ids),
            "duplicates": _describe_duplicates(self.duplicates),
            "leaks": None if self.leaks is None else _describe_leaks(self.leaks),
            "outliers": _describe_outliers(self.outliers),
            "labels": self._describe_labels(),
            "subset": {
                "images": len(self.subset.rows),
                "method": self.subset.method,
                "typical_distance": round(self.subset.typical_distance, 4),
                "coverage": self.subset.coverage.summary(),
                "random_coverage": self.subset.random_coverage.summary(),
            },
        }

    def _describe_labels(self):
        check = self.labels
        if check is None:
            return {"not_checked": self.unchecked_labels} if self.unchecked_labels else None
        return {
            "issues": len(check.issues),
            "checked": check.checked,
            "unchecked": check.unchecked,
            "accuracy": round(check.accuracy, 4),
            "confident_learning_candidates": check.candidates,
            "confident_learning_expected_wrong": round(check.expected_wrong, 1),
            "score_cut": round(check.cut, 4),
            "recall_of_swapped_labels": round(check.recall, 4),
            "precision_at_most": round(check.max_precision, 4),
            "wrong_at_most": round(check.max_wrong, 4),
        }


def curate(
    images: EmbeddedImages,
    neighbours: NeighbourLists,
    settings: CurationSettings,
    copies: CopyFeatures | None = None,
    seed: int = 0,
) -> Curation:
    """Finds duplicates, leaks, outliers, doubtful labels and a subset of a collection.

    Keeps 12 k bytes per image for the neighbours and about 200 for results, up to 6 kB per
    candidate pair of duplicates, 4 bytes per image and class for labels, and 4 D per image for the
    subset.

    Args:
        images: N images, at least 2.
        neighbours: Nearest neighbours of the images. k is at least that of the outliers; better
            twice as many.
        settings: Thresholds and sizes.
        copies: Features of augmented copies of some images, on which the threshold and the recall
            of duplicates are measured. None: the threshold is such that a fifth of the images have
            a candidate, and the recall is unknown.
        seed: Seed of the samples.

    Raises:
        InputError: The arrays do not fit together, or features are not finite.
    """
    _check(images, neighbours, settings)
    cache = ThumbnailCache(images.read_image) if settings.duplicate_pixels else None
    duplicates = find_duplicates(
        images,
        neighbours,
        cache,
        copies,
        recall=settings.duplicate_recall,
        false_rate=settings.duplicate_false_rate,
        max_candidates=settings.duplicate_candidates,
        max_distance=COPY_DISTANCE,
        seed=seed,
    )
    leaks = None
    if images.is_test is not None and images.is_test.any() and not images.is_test.all():
        leaks = find_leaks(duplicates, images.is_test)
    outliers = find_outliers(
        images.features,
        neighbours,
        duplicates.groups,
        duplicates.redundant,
        k=settings.outlier_neighbours,
        false_rate=settings.outlier_false_rate,
        seed=seed,
    )
    labels, unchecked = None, ""
    if images.labels is not None:
        try:
            labels = check_labels(
                images,
                neighbours,
                precision=settings.label_precision,
                groups=duplicates.groups,
                redundant=duplicates.redundant,
                seed=seed,
            )
        except InputError as error:  # a collection with one class still has duplicates
            unchecked = str(error)
    subset = choose_subset(
        images.features,
        outliers.distances[:, 0],
        ~duplicates.redundant & ~outliers.is_outlier,
        settings.subset_size,
        settings.subset_method,
        seed=seed,
    )
    return Curation(images, duplicates, leaks, outliers, labels, unchecked, subset)


def _check(images, neighbours, settings):
    count = len(images.ids)
    if count < 2:
        raise InputError(f"{count} images; expected at least 2 to compare")
    arrays = {
        "features": images.features,
        "neighbours": neighbours.rows,
        "labels": images.labels,
        "is_test": images.is_test,
    }
    for name, array in arrays.items():
        if array is not None and len(array) != count:
            raise InputError(
                f"{name} of {len(array):,} images; expected {count:,}, one for each id"
            )
    wanted = min(settings.outlier_neighbours, count - 1)
    if neighbours.k < wanted:
        raise InputError(
            f"{neighbours.k} neighbours an image; --outlier_neighbours={wanted} needs as many"
        )
    for start in range(0, count, _BLOCK):
        if not np.isfinite(images.features[start : start + _BLOCK]).all():
            raise InputError(
                "features are not finite; embed the images again, by an encoder whose weights are"
            )


def _describe_duplicates(duplicates):
    rates = duplicates.pixel_rates
    return {
        "groups": len(duplicates.keepers),
        "images": int((duplicates.groups >= 0).sum()),
        "redundant": int(duplicates.redundant.sum()),
        "pairs": len(duplicates.pairs),
        "candidates": duplicates.candidates,
        "similarity_threshold": round(duplicates.threshold, 4),
        "threshold_was_raised_to_limit_candidates": duplicates.is_limited,
        "confirmed_by_pixels": duplicates.is_confirmed,
        "recall_of_copies": {kind: round(value, 4) for kind, value in duplicates.recall.items()},
        "expected_false_pairs": round(duplicates.expected_false, 1),
        "most_false_pairs": round(duplicates.most_false, 1),
        "false_match_rates": {
            "similarity_of_random_pairs": duplicates.random_rate.summary(),
            "similarity_of_nearest_other_images": duplicates.nearest_rate.summary(),
            "pixels_of_random_pairs": None if rates is None else rates.random.summary(),
            "pixels_of_alike_images": None if rates is None else rates.alike.summary(),
        },
    }


def _describe_leaks(leaks):
    return {
        "test_images": leaks.tested,
        "leaked": len(leaks),
        "fraction": round(leaks.fraction, 6),
    }


def _describe_outliers(outliers):
    return {
        "images": int(outliers.is_outlier.sum()),
        "p_value_cut": float(f"{outliers.cut:.4g}"),
        "expected_false": round(outliers.expected_false, 2),
        "by_kind": {
            kind: int((outliers.kinds[outliers.is_outlier] == number).sum())
            for number, kind in enumerate(KINDS)
        },
        "not_measured": ""
        if outliers.is_measured
        else "fewer than 200 images, or all alike: no distance can be called unusual",
    }
