"""The verdict: whether an encoder is better than the best of its references.

Both classify the same test images, so their difference is resampled image by image: the paired
bootstrap (Efron & Tibshirani 1993, chapter 13, https://doi.org/10.1201/9780429246593). Two separate
intervals may overlap even if the difference is certain, because the same images are hard for both.
Images of one group, such as the frames of a video, are resampled together.

The reference is the best of several on the same test images. That makes "yes" harder to reach: the
encoder has to be better than every candidate. It makes "no" easier, because the best of k may be
lucky, so "no" needs an interval of 1 - 0.05 / k (Bonferroni; Dunn 1961,
https://doi.org/10.1080/01621459.1961.10482090).
"""

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np

from dim_tf.evaluation import bootstrap, label_free_verdict
from dim_tf.evaluation.measure import NO_LABELS, PerImage, Result
from dim_tf.evaluation.report.formatting import format_value, reference_title
from dim_tf.registry import REFERENCE_TITLES

RESAMPLES = 2000
# A sign test on fewer images that differ cannot reach 5 %: 2 / 2^5 = 0.0625.
LEAST_DIFFERENT = 6
MAJORITY = 0.5  # of the test images, in one class
_ROUNDING = 1e-9  # of means over seeds
# In this order: kNN needs no training, so it is the verdict if it was measured.
_TITLES = {
    "knn": "kNN",
    "knn_auc": "kNN AUC",
    "linear_probe": "linear probe",
    "linear_probe_auc": "linear probe AUC",
    label_free_verdict.METRIC: "rotation probe",  # only if none of the others was measured
}


def decide(
    results: Sequence[Result],
    references: Mapping[str, Sequence[Result]],
    endpoint: str,
    *,
    was_trained: bool,
) -> dict[str, Any] | None:
    """The verdict on an encoder, as in evaluation.json.

    Args:
        results: Results of the encoder.
        references: Results of each reference, which is represented by its best endpoint.
        endpoint: Endpoint of the encoder that represents it.
        was_trained: Whether the sentence is about training, or about an encoder from a file.

    Returns:
        `sentence`, `metric`, `endpoint`, `value`, `reference` (the best one), `reference_endpoint`,
        `candidates` (how many endpoints of references it is the best of), `difference`, its `ci95`,
        `n` test images, their `groups` (None if each is drawn alone), `helped` ("yes", "no" or
        "unclear"), and in `probe` the same by the linear probe, if both were measured, else None.
        The result is None if the encoder or all references have neither metric, as without labels.
    """
    verdicts = [
        _by_metric(metric, encoder, of_references, was_trained)
        for metric in _TITLES
        if (encoder := _result(results, metric, endpoint))
        and (of_references := _by_reference(references, metric))
    ]
    if not verdicts:
        return None
    if verdicts[0]["metric"] != label_free_verdict.METRIC:
        verdicts = [v for v in verdicts if v["metric"] != label_free_verdict.METRIC]
    return verdicts[0] | {"probe": verdicts[1] if len(verdicts) > 1 else None}


def with_most_frequent_class(
    verdict: dict[str, Any], labels: np.ndarray, label_names: Sequence[str]
) -> dict[str, Any]:
    """A verdict that also states the accuracy of answering the same class for every image.

    Args:
        verdict: A verdict by accuracy.
        labels: Class numbers of the test images, int [N].
        label_names: Names of the classes.

    Returns:
        The verdict with `most_frequent_class`, its `name` and `fraction`. The sentence states it if
        it is at least half of the images, so that accuracies near it mean little.
    """
    counts = np.bincount(labels, minlength=len(label_names))
    name, fraction = label_names[int(counts.argmax())], float(counts.max() / len(labels))
    sentence = verdict["sentence"]
    if fraction >= MAJORITY:
        share = format_value(fraction, "fraction", " %")
        sentence += f"; {name}, the most frequent class, is {share} of the test images"
    return verdict | {
        "sentence": sentence,
        "most_frequent_class": {"name": name, "fraction": fraction},
    }


def protocol(verdict: dict[str, Any] | None, *, has_labels: bool, has_references: bool) -> str:
    """How the verdict was reached, or why there is none, in one sentence.

    Args:
        verdict: Result of `decide`.
        has_labels: Whether the images have labels.
        has_references: Whether references were to be measured.
    """
    if verdict:
        is_auc = verdict["metric"].endswith("_auc")
        resamples = bootstrap.RESAMPLES if is_auc else RESAMPLES
        units = f"{verdict['n']:,} test images"
        if verdict["groups"]:
            units = f"{verdict['groups']:,} groups of the {units}, each drawn as a whole"
        named = "groups" if verdict["groups"] else "images"
        least = (
            f"no decision on fewer than {LEAST_DIFFERENT} {named}"
            if is_auc
            else "correctness of an image: mean over the probe's seeds; no decision on fewer than "
            f"{LEAST_DIFFERENT} {named} that differ"
        )
        return (
            f"paired bootstrap over the {units}; percentiles 2.5 and 97.5 of {resamples:,} "
            f"resamples of the difference between {verdict['endpoint']} and the best reference, "
            f"the best of {verdict['candidates']} by endpoint on these images; worse only if "
            f"percentile 100 - 2.5 / {verdict['candidates']} is below 0 too; {least}"
        )
    if not has_labels:
        return f"none: {NO_LABELS}"
    if not has_references:
        return "none: needs references; none was measured (--noreferences)"
    return "none: needs kNN or the linear probe of the encoder and of a reference (--measures)"


def lines(evaluation: dict[str, Any]) -> list[str]:
    """The last lines of an evaluation: the verdict by kNN, then by the linear probe.

    Args:
        evaluation: The content of evaluation.json.

    Returns:
        One line for each; or why there is none; empty for an evaluation without measures.
    """
    verdict = evaluation.get("verdict")
    if verdict:
        return [f"verdict: {by['sentence']}" for by in (verdict, verdict.get("probe")) if by]
    why = evaluation.get("protocol", {}).get("verdict")
    return [f"verdict: {why}"] if why else []


def _result(results: Sequence[Result], metric: str, endpoint: str) -> Result | None:
    return next(
        (r for r in results if (r.metric, r.endpoint) == (metric, endpoint) and r.per_image), None
    )


def _by_reference(
    references: Mapping[str, Sequence[Result]], metric: str
) -> dict[str, list[Result]]:
    """The results of each reference by its endpoints; both in descending order of their values."""
    of_metric = {
        name: sorted(
            (result for result in results if result.metric == metric and result.per_image),
            key=lambda result: -result.value,
        )
        for name, results in references.items()
    }
    names = sorted(
        (name for name, results in of_metric.items() if results),
        key=lambda name: -of_metric[name][0].value,
    )
    return {name: of_metric[name] for name in names}


def _by_metric(metric, encoder, references, was_trained) -> dict[str, Any]:
    best = {name: results[0] for name, results in references.items()}
    name, reference = next(iter(best.items()))
    candidates = sum(len(results) for results in references.values())
    ci95 = difference_interval(encoder.per_image, reference.per_image)
    helped = _helped(encoder.per_image, reference.per_image, ci95, candidates)
    difference = encoder.value - reference.value
    num_images = encoder.per_image.num_images
    groups = bootstrap.group_count(num_images, encoder.per_image.groups)
    images = f"{num_images:,} test images" + (f" in {groups:,} groups" if groups else "")
    unit = "auc" if metric.endswith("_auc") else "fraction"
    texts = [
        f"{reference_title(other)} {format_value(result.value, unit, ' %')}"
        for other, result in best.items()
    ]
    sentence = (
        f"{_beginning(helped, name, reference, images, was_trained)}{_TITLES[metric]} "
        f"{format_value(encoder.value, unit, ' %')}{_ends(encoder.uncertainty.ci95, unit)}; "
        f"{', '.join(texts)}; difference from {reference_title(name)} "
        f"{_format_difference(difference, unit)}{' points' if unit == 'fraction' else ''}"
        f"{_ends(ci95, unit)}"
    )
    if helped == "unclear" and ci95[1] < -_ROUNDING and candidates > 1:
        sentence += f"; undecided, as the best of {candidates} on these images may be so by luck"
    return {
        "sentence": sentence,
        "metric": metric,
        "endpoint": encoder.endpoint,
        "value": encoder.value,
        "reference": name,
        "reference_endpoint": reference.endpoint,
        "candidates": candidates,
        "difference": difference,
        "ci95": list(ci95),
        "n": num_images,
        "groups": groups,
        "helped": helped,
    }


def difference_interval(
    encoder: PerImage, reference: PerImage, tail: float = bootstrap.TAIL
) -> bootstrap.Interval:
    """The interval of the difference between two values on the same test images.

    A resample draws the same images for both. AUCs get fewer resamples, because they take longer.

    Args:
        encoder: Correctness or scores of each image, by the encoder; its groups are drawn.
        reference: The same, by the reference.
        tail: Percent of the resamples below the interval, and above it.
    """
    return bootstrap.interval(
        encoder.num_images,
        lambda counts: encoder.statistic(counts) - reference.statistic(counts),
        encoder.groups,
        bootstrap.RESAMPLES if encoder.correct is None else RESAMPLES,
        tail,
    )


def _helped(
    encoder: PerImage, reference: PerImage, ci95: bootstrap.Interval, candidates: int
) -> str:
    if _differing_units(encoder, reference) < LEAST_DIFFERENT:
        return "unclear"
    if ci95[0] > _ROUNDING:
        return "yes"
    if ci95[1] >= -_ROUNDING:
        return "unclear"
    _, high = difference_interval(encoder, reference, bootstrap.TAIL / candidates)
    return "no" if high < -_ROUNDING else "unclear"


def _differing_units(encoder: PerImage, reference: PerImage) -> int:
    """In how many groups, or images, the number of correct ones differs; for AUCs, all of them."""
    units = bootstrap.units_of(encoder.num_images, encoder.groups)
    if encoder.correct is None or reference.correct is None:
        return int(units.max()) + 1
    differences = np.bincount(units, encoder.correct - reference.correct)
    return int(np.count_nonzero(np.abs(differences) > _ROUNDING))


def _beginning(helped: str, name: str, reference: Result, images: str, was_trained: bool) -> str:
    title = reference_title(name)
    if helped == "unclear":
        subject = "Training" if was_trained else "This encoder"
        return f"{subject} and {title} cannot be told apart on {images}: "
    if helped == "yes":
        return "Training helped: " if was_trained else f"This encoder is better than {title}: "
    if not was_trained:
        effect = f"This encoder is worse than {title}"
    elif name in REFERENCE_TITLES:
        effect = "Training did not help"
    else:  # it may have helped, but less than a model from elsewhere is worth
        effect = f"Training did not beat {title}"
    is_output = reference.endpoint in ("global", "pixels")
    return f"{effect}: use {title}{'' if is_output else f' ({reference.endpoint})'}; "


def _ends(interval: bootstrap.Interval, unit: str) -> str:
    return f" ({' to '.join(_format_difference(end, unit) for end in interval)})"


def _format_difference(value: float, unit: str) -> str:
    """A difference in points, or of AUCs; a zero has no sign."""
    scale, digits = (100, 1) if unit == "fraction" else (1, 3)
    return f"{round(scale * value, digits) + 0.0:.{digits}f}".replace("-", "−")
