"""Chooses the feature that an encoder returns, on training images alone.

Test images are not used, so that measures of the chosen feature are still on unseen images. A
sample of the labelled training images is classified twice, as for the verdict: each image by its
nearest neighbours among the rest, and by logistic regression on other images. The value of a
feature is the mean of both accuracies: neighbours alone would favour small features, and a linear
classifier needs many numbers. Images that the split keeps together (`Split.groups`, such as the
frames of one video) do not classify each other, because otherwise a feature that recognises the
frame would be chosen.

The rule is that of one standard error (Breiman et al. 1984, section 3.4.3,
https://doi.org/10.1201/9781315139470): of all features within one standard error of the best, the
smallest is chosen. The error is that of the difference from the best on the same images, where a
group is drawn as a whole (Liang & Zeger 1986, https://doi.org/10.1093/biomet/73.1.13).
"""

from typing import Any

import numpy as np
from scipy.stats import rankdata

from dim_tf.evaluation import logistic_regression
from dim_tf.evaluation.evaluation_file import FEATURE
from dim_tf.evaluation.measures.knn import K, votes
from dim_tf.evaluation.neighbours import cosine_neighbours
from dim_tf.evaluation.representation import Representation
from dim_tf.export.feature import check_available
from dim_tf.registry import FEATURES, MAX_FEATURES
from dim_tf.settings.export import AUTO

MAX_IMAGES = 10_000  # of the sample
MAX_QUERIES = 2_000  # of the sample's images that are classified
MAX_NUMBERS = 2**26  # of the largest feature of the sample: 268 MB
MIN_QUERIES = 20  # with fewer, a standard error says nothing
MAX_FITTED = 4_000  # images that logistic regression learns from
FOLDS = 3  # of the classified images, if these are needed to learn from
SEED = 0
BY_ACCURACY, BY_AUC = "knn_and_linear_probe", "knn_auc_and_linear_probe_auc"


def choose(
    representation: Representation, requested: str = AUTO, max_features: int = MAX_FEATURES
) -> dict[str, Any]:
    """Chooses the feature that an encoder returns.

    Args:
        representation: The encoder's representation with all features; only training images are
            used.
        requested: The name of a feature, or "auto".
        max_features: The same setting as for the encoding of the representation.

    Returns:
        The entry "feature" of evaluation.json: "name"; "chosen", which is "auto" or "by --feature";
        "reason", why; "metric", `BY_ACCURACY` or `BY_AUC`; and by feature "dimensions". If there
        are enough labels, also by feature: "validation", the values of the metric;
        "standard_error", that of the value's difference from the best; and in "parts" the values of
        kNN and of the linear probe. "images" counts the classified images; "max_features" is the
        argument.

    Raises:
        InputError: The encoder does not have the requested feature.
    """
    encoded = representation.train
    names = tuple(name for name in FEATURES if name in encoded) or tuple(encoded)
    if requested != AUTO:
        check_available(requested, names)
    choice: dict[str, Any] = {
        "name": names[0],
        "chosen": AUTO,
        "reason": "",
        "metric": None,
        "images": 0,
        "max_features": max_features,
        "dimensions": {name: representation.train[name].shape[1] for name in names},
        "validation": {},
        "standard_error": {},
        "parts": {},
    }
    choice |= _validated(representation, choice["dimensions"])
    return choice if requested == AUTO else choice | _named(requested)


def exported(requested: str, max_features: int, evaluation: dict[str, Any]) -> dict[str, Any]:
    """The feature that an export returns.

    Args:
        requested: The name of a feature, or "auto".
        max_features: From the settings; that of the evaluation takes precedence.
        evaluation: Content of evaluation.json for the same training step; empty: none.

    Returns:
        The entry "feature" of evaluation.json, as from `choose`; without values if there are none.
    """
    default = {
        "name": FEATURES[0],
        "chosen": AUTO,
        "reason": "there is no evaluation of the same training step, which might choose another",
        "max_features": max_features,
    }
    choice = evaluation.get(FEATURE) or default
    return choice if requested == AUTO else choice | _named(requested)


def _named(requested: str) -> dict[str, str]:
    return {"name": requested, "chosen": "by --feature", "reason": "--feature names it"}


def _validated(representation: Representation, dimensions: dict[str, int]) -> dict[str, Any]:
    """The entries of the choice that follow from labels."""
    data = representation.data
    if not data.has_labels:
        return {"reason": "without labels, features cannot be compared"}
    rng = np.random.default_rng(SEED)
    total = len(data.train)
    count = max(min(total, MAX_IMAGES, MAX_NUMBERS // max(dimensions.values())), 1)
    indices = np.arange(total)
    if count < total:
        indices = np.sort(rng.choice(total, count, replace=False))
    queries = np.arange(count)
    if count > MAX_QUERIES:
        queries = np.sort(rng.choice(count, MAX_QUERIES, replace=False))
    if len(queries) < MIN_QUERIES:
        return {"reason": f"{total} labelled training images are too few to compare features"}
    labels = np.asarray(data.train.labels)[indices]
    if not data.has_classes:  # an attribute that all images have, or none, has no AUC
        labels = labels[:, [len(np.unique(column)) > 1 for column in labels[queries].T]]
    if not labels.size or (labels[queries] == labels[queries[0]]).all():
        return {"reason": "the labelled training images all have the same label"}
    groups = np.arange(count) if data.train.groups is None else data.train.groups[indices]
    groups = np.unique(groups, return_inverse=True)[1]
    if groups.max() == 0:
        return {"reason": "the labelled training images are one group, which the split keeps whole"}
    metric = BY_ACCURACY if data.has_classes else BY_AUC
    outcomes: dict[str, dict[str, np.ndarray]] = {}
    for name in dimensions:
        features = np.ascontiguousarray(representation.train[name][indices])
        num_classes = len(data.label_names) if data.has_classes else labels.shape[1]
        outcomes[name] = {
            part: _outcome(scores(features, labels, queries, num_classes, groups), labels[queries])
            for part, scores in zip(
                metric.split("_and_"), (_neighbour_scores, _linear_scores), strict=True
            )
        }
    means = {name: np.mean(list(parts.values()), axis=0) for name, parts in outcomes.items()}
    parts = {
        part: {name: float(of_feature[part].mean()) for name, of_feature in outcomes.items()}
        for part in metric.split("_and_")
    }
    return _compared(means, dimensions, groups[queries]) | {"metric": metric, "parts": parts}


def _outcome(scores, labels) -> np.ndarray:
    """One number per image, whose mean is the accuracy, or for attributes the mean AUC."""
    if labels.ndim == 1:
        return (scores.argmax(axis=1) == labels).astype(np.float64)
    return auc_by_image(scores, labels)


def _linear_scores(features, labels, queries, num_classes, groups) -> np.ndarray:
    """The scores of each query by logistic regression on images of other groups."""
    rng = np.random.default_rng(SEED)
    order = rng.permutation(len(features))
    queried = np.unique(groups[queries])
    folds = 1 if np.count_nonzero(~np.isin(groups, queried)) >= MAX_FITTED else FOLDS
    fold_of_group = np.full(groups.max() + 1, -1)
    fold_of_group[queried] = rng.permutation(len(queried)) % folds
    fold_of = fold_of_group[groups]
    scores = np.empty((len(queries), num_classes))
    for fold in np.unique(fold_of[queries]):
        fitted = order[fold_of[order] != fold][:MAX_FITTED]
        classifier, _ = logistic_regression.fit(features, labels, num_classes, fitted)
        left_out = fold_of[queries] == fold
        scores[left_out] = classifier.scores(features[queries[left_out]])
    return scores


def _neighbour_scores(features, labels, queries, num_classes, groups) -> np.ndarray:
    """The votes of each query's neighbours, which are in other groups."""
    k = min(K, len(features) - 1)
    similarity, neighbours = cosine_neighbours(
        features[queries], features, k, (groups[queries], groups)
    )
    return votes(similarity, labels[neighbours], num_classes)


def _compared(
    outcomes: dict[str, np.ndarray], dimensions: dict[str, int], groups: np.ndarray
) -> dict[str, Any]:
    """Applies the rule of one standard error.

    Args:
        outcomes: float64 [N] by feature, one number per image; their mean is the metric.
        dimensions: Number of numbers in each feature.
        groups: int [N], groups of the images.
    """
    values = {name: float(outcome.mean()) for name, outcome in outcomes.items()}
    best = max(values, key=lambda name: (values[name], -dimensions[name]))
    count = len(outcomes[best])
    errors = {
        name: _standard_error(outcomes[best] - outcome, groups)
        for name, outcome in outcomes.items()
    }
    near = [name for name in values if values[best] - values[name] <= errors[name]]
    name = min(near, key=lambda name: dimensions[name])
    if name == best:
        reason = "the best on training images; no smaller one is within one standard error"
    else:
        reason = f"the smallest within one standard error of the best on training images, {best}"
    return {
        "name": name,
        "reason": reason,
        "images": count,
        "validation": values,
        "standard_error": errors,
    }


def _standard_error(values: np.ndarray, groups: np.ndarray) -> float:
    """Standard error of the mean of values drawn in whole groups; without groups the usual."""
    sums = np.bincount(groups, values - values.mean())
    count = len(np.unique(groups))
    return float(np.sqrt(np.sum(sums**2) * count / max(count - 1, 1)) / len(values))


def auc_by_image(scores: np.ndarray, labels: np.ndarray) -> np.ndarray:
    """One number per image; their mean is the mean AUC, and their spread gives its standard error.

    Let V be the fraction of images with the other label that an image is correctly ordered against,
    where equal scores count half. The AUC is the mean of V over the positive images, and also over
    the negative ones. An image's number is AUC + (V - AUC) / p, where p is the fraction of images
    with its label. Their mean is the AUC, and the variance of the mean is that of DeLong et al.
    (1988, https://doi.org/10.2307/2531595).

    Args:
        scores: float [N, A].
        labels: int [N, A], 0 or 1, both of them in each column.

    Returns:
        float64 [N], the mean over the A attributes.
    """
    columns = []
    for score, label in zip(scores.T, labels.T, strict=True):
        positive = label == 1
        ranks, wins = rankdata(score), np.empty(len(score))
        for group in (positive, ~positive):
            below = ranks[group] - rankdata(score[group])  # images of the other label
            wins[group] = below / np.count_nonzero(~group)
        wins[~positive] = 1 - wins[~positive]
        auc = wins[positive].mean()
        fraction = np.where(positive, positive.mean(), 1 - positive.mean())
        columns.append(auc + (wins - auc) / fraction)
    return np.mean(columns, axis=0)
