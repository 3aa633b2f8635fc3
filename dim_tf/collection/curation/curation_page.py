"""curate.html: the results with thumbnails, in one file that loads nothing.

The page's own Content-Security-Policy forbids everything except data URIs, its style and its one
script, whose hash is listed. Without the script, only the zoom, the filter and the keys are
missing.
"""

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from markupsafe import Markup

from dim_tf.collection.curation import csv_files
from dim_tf.collection.curation.curation import Curation
from dim_tf.collection.curation.outliers import KINDS
from dim_tf.collection.thumbnails import jpeg_uri, shrink
from dim_tf.evaluation.report.page import STYLE, asset, script_hash
from dim_tf.evaluation.report.rendering import render

MAX_THUMBNAILS = 600  # on the page; about 3 kB each
MAX_CARDS = 60  # of a kind
MAX_MEMBERS = 8  # of a group

_SCRIPT = asset("curate.js")
_STYLE = STYLE + asset("curate.css")


@dataclass(frozen=True)
class Thumbnail:
    """An image on the page.

    Attributes:
        uri: Data URI of a JPEG of at most `thumbnails.MAX_SIDE` pixels a side.
        width: Width of the thumbnail in pixels.
        height: Height of the thumbnail in pixels.
        folder: The image's id up to the last "/".
        name: The rest of the id.
        note: The text below the thumbnail.
    """

    uri: str
    width: int
    height: int
    folder: str
    name: str
    note: str


@dataclass(frozen=True)
class Card:
    """One finding: some images, and a text about them.

    Attributes:
        heading: The heading.
        images: The images.
        more: How many images are not shown.
    """

    heading: str
    images: list[Thumbnail]
    more: int = 0


@dataclass(frozen=True)
class Section:
    """The findings of one kind.

    Attributes:
        name: The name of the kind.
        summary: Sentences that say how many there are, and how certain that is.
        cards: The first findings.
        count: Number of all findings.
        file: The CSV file that lists all of them.
    """

    name: str
    summary: list[str]
    cards: list[Card]
    count: int
    file: str


def render_page(curation: Curation, title: str) -> str:
    """The page as HTML, with at most `MAX_THUMBNAILS` thumbnails.

    Args:
        curation: The results. The images that are shown are read again.
        title: Title of the page: whose images they are.
    """
    budget = _Budget(curation)
    sections = [
        _duplicates(curation, budget),
        _leaks(curation, budget),
        _label_issues(curation, budget),
        _outliers(curation, budget),
        _subset(curation, budget),
    ]
    return render(
        "curate.html",
        title=f"Curation of {title}",
        name=title,
        images=len(curation.images.ids),
        sections=[section for section in sections if section is not None],
        shown=budget.used,
        not_checked=curation.unchecked_labels,
        style=Markup(_STYLE),
        script=Markup(_SCRIPT),
        script_hash=script_hash(_SCRIPT),
    )


class _Budget:
    """Makes thumbnails until the page has as many as it may have.

    Args:
        curation: The curation whose images are shown.
    """

    def __init__(self, curation: Curation):
        self._images = curation.images
        self.used = 0

    def card(self, heading: str, rows: Iterable[int], notes: Iterable[str]) -> Card | None:
        """A card, or None if not all of its images may be shown any more."""
        pairs = list(zip(rows, notes, strict=True))
        shown = pairs[:MAX_MEMBERS]
        if self.used + len(shown) > MAX_THUMBNAILS:
            return None
        self.used += len(shown)
        thumbnails = [self._thumbnail(row, note) for row, note in shown]
        return Card(heading, thumbnails, len(pairs) - len(shown))

    def _thumbnail(self, row, note):
        pixels = shrink(self._images.read_image(row))
        image_id = self._images.ids[row].encode("utf-8", "replace").decode("utf-8")
        folder, slash, name = image_id.rpartition("/")
        height, width = pixels.shape[:2]
        return Thumbnail(jpeg_uri(pixels), width, height, folder + slash, name, note)


def _cards(budget, items) -> list[Card]:
    """At most `MAX_CARDS` cards, of (heading, rows, notes)."""
    cards = []
    for _, item in zip(range(MAX_CARDS), items, strict=False):
        card = budget.card(*item)
        if card is None:
            break
        cards.append(card)
    return cards


def _duplicates(curation, budget):
    duplicates = curation.duplicates
    pair_of = csv_files.closest_pairs(curation)
    differ = csv_files.groups_with_several_labels(curation)
    members = np.flatnonzero(duplicates.groups >= 0)
    order = np.lexsort((members, duplicates.redundant[members], duplicates.groups[members]))
    groups = np.split(
        members[order],
        np.flatnonzero(np.diff(duplicates.groups[members[order]])) + 1,
    )

    def note(row):
        if not duplicates.redundant[row]:
            return "keep"
        pair = pair_of[row]
        distance = duplicates.pairs.distances[pair]
        words = csv_files.relation(curation, pair)
        if np.isnan(distance):
            return f"similarity {duplicates.pairs.similarities[pair]:.3f}"
        return f"{words}, pixel distance {distance:.2f}"

    def items():
        for number, rows in enumerate(groups if len(members) else ()):
            heading = f"Group {number + 1}: {len(rows)} images"
            heading += ", with different labels" if number in differ else ""
            yield heading, rows.tolist(), [note(row) for row in rows.tolist()]

    rate = duplicates.nearest_rate
    summary = [
        f"{int(duplicates.redundant.sum()):,} images are copies of others, in "
        f"{len(duplicates.keepers):,} groups; {duplicates.candidates:,} pairs reach the similarity "
        f"{duplicates.threshold:.4f}.",
    ]
    if duplicates.is_confirmed:
        pixels = duplicates.pixel_rates
        summary.append(
            f"Compared by pixels, {len(duplicates.pairs):,} pairs are copies. By the same test, "
            f"{pixels.random.events:,} of {pixels.random.trials:,} random pairs and "
            f"{pixels.alike.events:,} of {pixels.alike.trials:,} alike pairs are copies. So about "
            f"{duplicates.expected_false:.1f} of the pairs are false, and at most "
            f"{duplicates.most_false:.1f}, because the sample is small."
        )
    else:
        summary.append(
            f"By features alone; {duplicates.expected_false:.1f} images are expected to be matched "
            "falsely."
        )
    summary.append(
        f"{rate.value:.1%} of {rate.trials:,} images have a neighbour that is not a copy but "
        "reaches this similarity."
    )
    if duplicates.recall:
        recalls = ", ".join(f"{kind} {value:.1%}" for kind, value in duplicates.recall.items())
        summary.append(f"Augmented copies that were found: {recalls}.")
    count = len(duplicates.keepers)
    return Section("Duplicates", summary, _cards(budget, items()), count, "duplicates.csv")


def _leaks(curation, budget):
    leaks, duplicates = curation.leaks, curation.duplicates
    if leaks is None:
        return None

    def items():
        for place in range(len(leaks)):
            distance = leaks.distances[place]
            heading = "" if np.isnan(distance) else f", pixel distance {distance:.2f}"
            rows = [int(leaks.test_rows[place]), int(leaks.train_rows[place])]
            yield f"Group {duplicates.groups[rows[0]] + 1}{heading}", rows, ["test", "training"]

    summary = [
        f"{len(leaks):,} of {leaks.tested:,} test images ({leaks.fraction:.2%}) are in the "
        "training folder, too."
    ]
    return Section("Leaks", summary, _cards(budget, items()), len(leaks), "leaks.csv")


def _label_issues(curation, budget):
    check = curation.labels
    if check is None:
        return None
    issues = check.issues

    def items():
        for place in range(len(issues)):
            attribute, given, suggested = csv_files.label_names(curation.images, issues, place)
            heading = f"{attribute}: " if attribute else ""
            note = (
                f"classifier {issues.given_probability[place]:.0%} to "
                f"{issues.suggested_probability[place]:.0%}, neighbours "
                f"{issues.given_vote[place]:.0%} to {issues.suggested_vote[place]:.0%}"
            )
            yield f"{heading}{given} → {suggested}?", [int(issues.rows[place])], [note]

    summary = [
        f"{len(issues):,} of {check.checked:,} labels are doubtful. At most "
        f"{check.max_precision:.0%} of these are wrong, and at most {check.max_wrong:.2%} of all.",
        f"{check.recall:.0%} of the labels that were swapped on purpose were found with this "
        f"certainty. The classifier agrees with {check.accuracy:.1%} of the labels.",
    ]
    return Section("Labels", summary, _cards(budget, items()), len(issues), "label_issues.csv")


def _outliers(curation, budget):
    outliers = curation.outliers
    rows = csv_files.listed_outliers(curation)

    def items():
        for row in rows.tolist():
            kind = KINDS[outliers.kinds[row]]
            heading = f"Outlier, {kind}" if outliers.is_outlier[row] else "No outlier, but next"
            yield heading, [row], [f"p = {outliers.p_values[row]:.2g}"]

    count = int(outliers.is_outlier.sum())
    summary = [
        f"{count:,} images are unlike the others; in a collection of one kind, "
        f"{outliers.expected_false:.1f} would be."
        if outliers.is_measured
        else "Too few images, or all alike: no distance can be called unusual."
    ]
    return Section("Outliers", summary, _cards(budget, items()), count, "outliers.csv")


def _subset(curation, budget):
    subset = curation.subset

    def items():
        for rank, row in enumerate(subset.rows.tolist(), start=1):
            yield f"{rank}", [row], [""]

    covered, random = subset.coverage, subset.random_coverage
    summary = [
        f"{len(subset.rows):,} images by {subset.method}: an image is {covered.mean:.3f} from the "
        f"nearest chosen one on average, {covered.largest:.3f} at most; from random ones "
        f"{random.mean:.3f} and {random.largest:.3f}.",
        f"{covered.within:.1%} have a chosen one within {subset.typical_distance:.3f}, the distance"
        f" of typical neighbours; of random ones {random.within:.1%}.",
    ]
    return Section("Subset", summary, _cards(budget, items()), len(subset.rows), "subset.csv")
