"""A curation as CSV files, one for each kind of result, and curation.json."""

from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from dim_tf.collection.curation.curation import Curation
from dim_tf.collection.curation.label_issues import LabelIssues
from dim_tf.collection.curation.leaks import Leaks
from dim_tf.collection.curation.outliers import KINDS
from dim_tf.collection.embedded_images import EmbeddedImages
from dim_tf.system.csv_text import csv_text
from dim_tf.system.result_files import write_result_files

SUMMARY_FILE = "curation.json"
PAGE_FILE = "curate.html"
CSV_FILES = ("duplicates.csv", "outliers.csv", "label_issues.csv", "leaks.csv", "subset.csv")
LISTED_OUTLIERS = 100  # lines at least, because the next images are worth a look


def write_curation(curation: Curation, folder: Path, page: str) -> None:
    """Writes all files of a curation into a folder, by `result_files.write_result_files`.

    Args:
        curation: The results.
        folder: An existing folder. Files with the names of this module are replaced, no others.
        page: The HTML page.

    Raises:
        RunError: A file cannot be written.
    """
    texts = {**tables(curation), PAGE_FILE: page}
    write_result_files(folder, texts, SUMMARY_FILE, curation.summary(), CSV_FILES)


def describe_curation(summary: Mapping[str, Any]) -> list[str]:
    """The results as lines for the command line, one for each part that applies.

    Args:
        summary: Result of `Curation.summary`.
    """
    duplicates, outliers = summary["duplicates"], summary["outliers"]
    lines = [
        f"copies of others: {duplicates['redundant']:,}, groups: {duplicates['groups']:,}; "
        f"{duplicates['expected_false_pairs']:g} of {duplicates['pairs']:,} pairs expected false"
    ]
    if leaks := summary["leaks"]:
        lines.append(
            f"{leaks['leaked']:,} of {leaks['test_images']:,} test images have a copy in training"
        )
    lines.append(
        f"outliers: {outliers['not_measured']}"
        if outliers["not_measured"]
        else f"{outliers['images']:,} outliers, {outliers['expected_false']:g} expected false"
    )
    labels = summary["labels"]
    if labels and "issues" in labels:
        lines.append(
            f"doubtful labels: {labels['issues']:,} of {labels['checked']:,}, at most "
            f"{labels['precision_at_most']:.0%} of them wrong; the classifier that doubts them "
            f"agrees with {labels['accuracy']:.0%} of all labels"
        )
    elif labels:
        lines.append(f"labels were not checked: {labels['not_checked']}")
    subset = summary["subset"]
    lines.append(f"a subset of {subset['images']:,} images, {subset['method']}")
    return lines


def tables(curation: Curation) -> Mapping[str, str]:
    """The texts of the CSV files, by name; those that do not apply are left out."""
    texts = {
        "duplicates.csv": csv_text(_DUPLICATES, _duplicate_lines(curation)),
        "outliers.csv": csv_text(_OUTLIERS, _outlier_lines(curation)),
        "subset.csv": csv_text(("id", "rank"), _subset_lines(curation)),
    }
    if curation.labels is not None:
        texts["label_issues.csv"] = csv_text(
            _LABEL_ISSUES, _label_lines(curation.images, curation.labels.issues)
        )
    if curation.leaks is not None:
        texts["leaks.csv"] = csv_text(_LEAKS, _leak_lines(curation.images.ids, curation.leaks))
    return texts


_DUPLICATES = (
    "id",
    "group",
    "keep",
    "like",
    "similarity",
    "pixel_distance",
    "relation",
    "labels_differ",
)
_OUTLIERS = ("id", "outlier", "p_value", "kind", *(f"{kind}_distance" for kind in KINDS))
_LABEL_ISSUES = (
    "id",
    "attribute",
    "given",
    "suggested",
    "score",
    "given_probability",
    "suggested_probability",
    "given_vote",
    "suggested_vote",
)
_LEAKS = ("id", "train_id", "similarity", "pixel_distance")


def _duplicate_lines(curation: Curation) -> Iterator[tuple]:
    """The lines group by group, the largest first; in each group the image to keep comes first."""
    ids, duplicates = curation.images.ids, curation.duplicates
    pair_of = closest_pairs(curation)
    members = np.flatnonzero(duplicates.groups >= 0)
    order = np.lexsort((members, duplicates.redundant[members], duplicates.groups[members]))
    differ = groups_with_several_labels(curation)
    for row in members[order].tolist():
        pair, group = int(pair_of[row]), int(duplicates.groups[row])
        other = duplicates.pairs.first[pair] + duplicates.pairs.second[pair] - row
        yield (
            ids[row],
            group,
            _yes(not duplicates.redundant[row]),
            ids[other],
            _digits(duplicates.pairs.similarities[pair]),
            _digits(duplicates.pairs.distances[pair]),
            relation(curation, pair),
            _yes(group in differ),
        )


def closest_pairs(curation: Curation) -> np.ndarray:
    """The position of each image's most similar pair in the list of pairs, int64 [N]; -1: none."""
    pairs = curation.duplicates.pairs
    place = np.full(len(curation.images.ids), -1)
    backwards = np.arange(len(pairs))[::-1]  # the most similar pair is written last
    place[pairs.second[::-1]] = backwards
    earlier = np.full(len(place), len(pairs))
    earlier[pairs.first[::-1]] = backwards
    return np.where(
        (place < 0) | (earlier < place), np.where(earlier < len(pairs), earlier, -1), place
    )


def relation(curation: Curation, pair: int) -> str:
    """How the images of a pair of duplicates differ: copy, cropped, mirrored, or both."""
    pairs = curation.duplicates.pairs
    words = [
        word
        for word, flags in (("mirrored", pairs.is_mirrored), ("cropped", pairs.is_cropped))
        if flags[pair]
    ]
    return " ".join(words) or "copy"


def groups_with_several_labels(curation: Curation) -> set[int]:
    """The groups of duplicates whose images have labels of several classes."""
    labels, groups = curation.images.labels, curation.duplicates.groups
    if labels is None:
        return set()
    if labels.ndim == 2:
        labels = np.unique(labels, axis=0, return_inverse=True)[1].ravel()
    rows = np.flatnonzero((groups >= 0) & (labels >= 0))
    kinds = np.unique(np.stack([groups[rows], labels[rows]], axis=1), axis=0)[:, 0]
    numbers, counts = np.unique(kinds, return_counts=True)
    return set(numbers[counts > 1].tolist())


def _outlier_lines(curation: Curation) -> Iterator[tuple]:
    outliers = curation.outliers
    for row in listed_outliers(curation).tolist():
        yield (
            curation.images.ids[row],
            _yes(outliers.is_outlier[row]),
            f"{outliers.p_values[row]:.4g}",
            KINDS[outliers.kinds[row]],
            *map(_digits, outliers.distances[row]),
        )


def listed_outliers(curation: Curation) -> np.ndarray:
    """Rows of the outliers and of the next images, the least likely first."""
    outliers = curation.outliers
    order = np.lexsort((-outliers.distances[:, 0], outliers.p_values))
    return order[: max(LISTED_OUTLIERS, int(outliers.is_outlier.sum()))]


def _label_lines(images: EmbeddedImages, issues: LabelIssues) -> Iterator[tuple]:
    for place in range(len(issues)):
        attribute, given, suggested = label_names(images, issues, place)
        yield (
            images.ids[issues.rows[place]],
            attribute,
            given,
            suggested,
            _digits(issues.scores[place]),
            _digits(issues.given_probability[place]),
            _digits(issues.suggested_probability[place]),
            _digits(issues.given_vote[place]),
            _digits(issues.suggested_vote[place]),
        )


def label_names(images: EmbeddedImages, issues: LabelIssues, place: int) -> tuple[str, str, str]:
    """Names of an issue's attribute, given and suggested label; classes have no attribute."""
    names = images.label_names
    given, suggested = int(issues.given[place]), int(issues.suggested[place])
    if images.labels is not None and images.labels.ndim == 2:
        return _name(names, int(issues.attributes[place])), str(given), str(suggested)
    return "", _name(names, given), _name(names, suggested)


def _name(names, number):
    return names[number] if number < len(names) else str(number)


def _leak_lines(ids: Sequence[str], leaks: Leaks) -> Iterator[tuple]:
    columns = leaks.test_rows, leaks.train_rows, leaks.similarities, leaks.distances
    for test, train, similarity, distance in zip(*columns, strict=True):
        yield ids[test], ids[train], _digits(similarity), _digits(distance)


def _subset_lines(curation: Curation) -> Iterator[tuple]:
    for rank, row in enumerate(curation.subset.rows.tolist(), start=1):
        yield curation.images.ids[row], rank


def _digits(value):
    return "" if np.isnan(value) else f"{value:.4f}"


def _yes(flag):
    return "yes" if flag else "no"
