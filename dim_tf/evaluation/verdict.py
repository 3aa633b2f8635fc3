"""The verdict: whether an encoder is better than the best of its references.

Both classify the same test images, so their difference is resampled image by image: the paired
bootstrap (Efron & Tibshirani 1993, chapter 13, https://doi.org/10.1201/9780429246593). Two separate
intervals may overlap even if the difference is certain, because the same images are hard for both.
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
        `difference`, its `ci95`, `n` test images, `helped` ("yes", "no" or "unclear"), and in
        `probe` the same by the linear probe, if both were measured, else None. The result is None
        if the encoder or all references have neither metric, as without labels.
    """
    verdicts = [
        _by_metric(metric, encoder, of_references, was_trained)
        for metric in _TITLES
        if (encoder := _result(results, metric, endpoint))
        and (of_references := _best_endpoints(references, metric))
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
        resamples = bootstrap.RESAMPLES if verdict["metric"].endswith("_auc") else RESAMPLES
        return (
            f"paired bootstrap over the {verdict['n']:,} test images, percentiles 2.5 and 97.5 of "
            f"{resamples:,} resamples of the difference between {verdict['endpoint']} and the best "
            "reference; each reference has its best endpoint; correctness of an image: mean over "
            f"the probe's seeds; no decision on fewer than {LEAST_DIFFERENT} images that differ"
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


def _best_endpoints(
    references: Mapping[str, Sequence[Result]], metric: str
) -> list[tuple[str, Result]]:
    """Each reference's name and best result, the best first."""
    of_metric = {
        name: [result for result in results if result.metric == metric and result.per_image]
        for name, results in references.items()
    }
    best = [
        (name, max(results, key=lambda result: result.value))
        for name, results in of_metric.items()
        if results
    ]
    return sorted(best, key=lambda reference: -reference[1].value)


def _by_metric(metric, encoder, references, was_trained) -> dict[str, Any]:
    name, reference = references[0]
    ci95 = difference_interval(encoder.per_image, reference.per_image)
    helped = _helped(encoder.per_image, reference.per_image, ci95)
    difference = encoder.value - reference.value
    num_images = encoder.per_image.num_images
    unit = "auc" if metric.endswith("_auc") else "fraction"
    texts = [
        f"{reference_title(other)} {format_value(result.value, unit, ' %')}"
        for other, result in references
    ]
    sentence = (
        f"{_beginning(helped, name, reference, num_images, was_trained)}{_TITLES[metric]} "
        f"{format_value(encoder.value, unit, ' %')}{_ends(encoder.uncertainty.ci95, unit)}; "
        f"{', '.join(texts)}; difference from {reference_title(name)} "
        f"{_format_difference(difference, unit)}{' points' if unit == 'fraction' else ''}"
        f"{_ends(ci95, unit)}"
    )
    return {
        "sentence": sentence,
        "metric": metric,
        "endpoint": encoder.endpoint,
        "value": encoder.value,
        "reference": name,
        "reference_endpoint": reference.endpoint,
        "difference": difference,
        "ci95": list(ci95),
        "n": num_images,
        "helped": helped,
    }


def difference_interval(encoder: PerImage, reference: PerImage) -> bootstrap.Interval:
    """The 95 % interval of the difference between two values on the same test images.

    A resample draws the same images for both. AUCs get fewer resamples, because they take longer.

    Args:
        encoder: Correctness or scores of each image, by the encoder.
        reference: The same, by the reference.
    """
    return bootstrap.interval(
        encoder.num_images,
        lambda counts: encoder.statistic(counts) - reference.statistic(counts),
        bootstrap.RESAMPLES if encoder.correct is None else RESAMPLES,
    )


def _helped(encoder: PerImage, reference: PerImage, ci95: bootstrap.Interval) -> str:
    if encoder.correct is not None and reference.correct is not None:
        different = np.count_nonzero(np.abs(encoder.correct - reference.correct) > _ROUNDING)
        if different < LEAST_DIFFERENT:
            return "unclear"
    if ci95[0] > _ROUNDING:
        return "yes"
    return "no" if ci95[1] < -_ROUNDING else "unclear"


def _beginning(
    helped: str, name: str, reference: Result, num_images: int, was_trained: bool
) -> str:
    title = reference_title(name)
    if helped == "unclear":
        subject = "Training" if was_trained else "This encoder"
        return f"{subject} and {title} cannot be told apart on {num_images:,} test images: "
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
