"""How well anomaly scores separate defects from normal images: areas under ROC curves."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from sklearn.metrics import roc_auc_score

from dim_tf.evaluation import bootstrap
from dim_tf.system.errors import InputError

MAX_PIXELS = 2**23  # that enter the AUROC; about 50 bytes each


@dataclass(frozen=True)
class AnomalyMetrics:
    """Metrics on images with known defects.

    Attributes:
        image_auroc: Probability that an anomalous image scores higher than a normal one.
        image_interval: Its 95 % interval, over test images.
        pixel_auroc: Probability that a pixel of a defect scores higher than another one; None
            without masks.
        false_alarms: Fraction of the normal images above the threshold.
        detected: Fraction of the anomalous images above it.
    """

    image_auroc: float
    image_interval: tuple[float, float]
    pixel_auroc: float | None
    false_alarms: float
    detected: float


@dataclass(frozen=True)
class DefectTypeMetrics:
    """Metrics on the images of one type of defect.

    Attributes:
        name: Name of the type.
        images: Number of its images.
        image_auroc: Probability that one of them scores higher than a normal image.
        image_interval: Its 95 % interval, over these images and all normal ones.
        detected: Fraction of its images above the threshold.
    """

    name: str
    images: int
    image_auroc: float
    image_interval: tuple[float, float]
    detected: float


def measure_types(
    image_scores: np.ndarray, kinds: Sequence[str], is_anomalous: np.ndarray, threshold: float
) -> tuple[DefectTypeMetrics, ...]:
    """Compares the scores of each type of defect with those of all normal images.

    Args:
        image_scores: Floats [N].
        kinds: The type of each image.
        is_anomalous: bool [N]; the types of normal images are not measured.
        threshold: Threshold of the image scores.

    Returns:
        The metrics of each type, by name.

    Raises:
        InputError: No image is normal, or no image is anomalous.
    """
    is_anomalous, kind_of = np.asarray(is_anomalous, bool), np.asarray(kinds)
    types = []
    for name in np.unique(kind_of[is_anomalous]).tolist():
        is_of_type = is_anomalous & (kind_of == name)
        compared = is_of_type | ~is_anomalous
        metrics = measure(image_scores[compared], is_of_type[compared], threshold)
        types.append(
            DefectTypeMetrics(
                name,
                int(is_of_type.sum()),
                metrics.image_auroc,
                metrics.image_interval,
                metrics.detected,
            )
        )
    return tuple(types)


def measure(
    image_scores: np.ndarray,
    is_anomalous: np.ndarray,
    threshold: float,
    pixel_scores: np.ndarray | None = None,
    masks: np.ndarray | None = None,
) -> AnomalyMetrics:
    """Compares scores with known defects.

    Args:
        image_scores: Floats [N].
        is_anomalous: bool [N].
        threshold: Threshold of the image scores.
        pixel_scores: Floats [N, h, w], heat maps of all images; None: only images are measured.
        masks: bool [N, h, w], pixels of defects; given together with the pixel scores.

    Raises:
        InputError: All images are normal, or none is; or no pixel belongs to a defect.
    """
    is_anomalous = np.asarray(is_anomalous, bool)
    if is_anomalous.all() or not is_anomalous.any():
        raise InputError(
            f"{np.count_nonzero(is_anomalous):,} of {len(is_anomalous):,} images are anomalous; an "
            "AUROC takes images of both kinds"
        )
    statistic = bootstrap.aucs_of(
        np.asarray(image_scores, np.float64)[:, np.newaxis], is_anomalous[:, np.newaxis].astype(int)
    )
    alarms = np.asarray(image_scores) > threshold
    return AnomalyMetrics(
        float(roc_auc_score(is_anomalous, image_scores)),
        bootstrap.interval(len(is_anomalous), lambda counts: statistic(counts)[0], None),
        None if pixel_scores is None or masks is None else pixel_auroc(pixel_scores, masks),
        float(alarms[~is_anomalous].mean()),
        float(alarms[is_anomalous].mean()),
    )


def pixel_auroc(pixel_scores: np.ndarray, masks: np.ndarray, max_pixels: int = MAX_PIXELS) -> float:
    """Probability that a pixel of a defect scores higher than another pixel of any image.

    Args:
        pixel_scores: Floats [N, h, w].
        masks: bool [N, h, w].
        max_pixels: Largest number of pixels compared; if there are more, this many are drawn, the
            same at each call.

    Raises:
        InputError: The shapes differ, or none or all of the pixels belong to defects.
    """
    if pixel_scores.shape != masks.shape:
        raise InputError(
            f"masks of shape {list(masks.shape)} and heat maps of {list(pixel_scores.shape)}"
        )
    scores, labels = pixel_scores.reshape(-1), masks.reshape(-1).astype(bool)
    if len(scores) > max_pixels:
        drawn = np.random.default_rng(0).choice(len(scores), max_pixels, replace=False)
        scores, labels = scores[drawn], labels[drawn]
    if labels.all() or not labels.any():
        raise InputError("no pixel of the masks is of a defect, or each one is")
    return float(roc_auc_score(labels, scores))
