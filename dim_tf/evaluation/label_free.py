"""Measures of a representation that need no labels, to replace probes if there are none.

docs/LABEL_FREE.md, made by benchmarks/label_free.py, says how well each one orders representations
as the probes do, and which one the verdict uses. RankMe (Garrido et al. 2023,
https://arxiv.org/abs/2210.02885; here without the mean, which is subtracted), alignment and
uniformity are in `measures.geometry`.

Features are float32 [N, F] of N images. A function that returns [N] returns one value per image,
whose mean is the measure, so that two representations can be compared image by image.
"""

import warnings

import numpy as np
import scipy.linalg
from scipy.special import entr
from sklearn import metrics
from sklearn.cluster import KMeans
from sklearn.exceptions import ConvergenceWarning

from dim_tf.evaluation import linear_classifier
from dim_tf.evaluation.measures.geometry import alignment
from dim_tf.evaluation.neighbours import cosine_neighbours

SPECTRUM_RANGE = (5, 50)  # ranks of the eigenvalues whose decay is fitted
NEIGHBOURS = 10
CLUSTERS = 20
PRETEXT_C = 3.0  # weight of the losses in the classifier of transformations
PRETEXT_TOLERANCE = 1e-4  # relative decrease of the loss that ends the training
PRETEXT_NEIGHBOURS = 20
LIDAR_COMPONENTS = 256
LIDAR_RIDGE = 1e-4  # added to the covariance within images, over its mean eigenvalue
SHORTEST = 1e-12  # of features that are scaled to unit length


def spectrum_decay(features: np.ndarray) -> float:
    """The exponent α of the eigenvalues of the features' covariance, λ_j ∝ j^-α.

    α-ReQ (Agrawal et al. 2022, https://openreview.net/forum?id=ii9X4vtZGTZ) finds that good
    representations have α near 1. α is fitted by least squares of log λ_j on log j, for j from 5 to
    50; this range is ours.

    Returns:
        α; infinite if fewer than two of these eigenvalues exceed rounding, as for a constant.
    """
    centred = features - features.mean(axis=0, dtype=np.float64)
    gram = centred @ centred.T if len(centred) < centred.shape[1] else centred.T @ centred
    eigenvalues = np.linalg.eigvalsh(gram)[::-1]
    first, last = SPECTRUM_RANGE
    ranks = np.arange(1, len(eigenvalues) + 1)
    scale = max(float(np.square(features, dtype=np.float64).sum()), 1e-300)
    used = (ranks >= first) & (ranks <= last) & (eigenvalues > 1e-10 * scale)
    if used.sum() < 2:
        return float("inf")
    slope, _ = np.polyfit(np.log(ranks[used]), np.log(eigenvalues[used]), 1)
    return -float(slope)


def intrinsic_dimension(features: np.ndarray) -> float:
    """The dimension of the manifold on which features lie, by two nearest neighbours.

    TwoNN (Facco et al. 2017, https://doi.org/10.1038/s41598-017-11873-y) in its maximum likelihood
    form: d = n / Σ log(r₂ / r₁), with the Euclidean distances r₁ < r₂ of each of n images from its
    two nearest. Images that equal another one are left out.

    Returns:
        d; 0 if all images are left out.
    """
    x = features.astype(np.float64) - features.mean(axis=0, dtype=np.float64)
    squares = np.square(x).sum(axis=1)
    distances = squares[:, np.newaxis] + squares - 2 * (x @ x.T)
    np.fill_diagonal(distances, np.inf)
    nearest = np.partition(distances, 1, axis=1)[:, :2]
    distinct = nearest[:, 0] > 1e-12 * max(float(squares.mean()), 1e-300)
    if not distinct.any():
        return 0.0
    ratios = np.log(nearest[distinct, 1] / nearest[distinct, 0]) / 2  # of squared distances
    return float(len(ratios) / max(ratios.sum(), 1e-12))


def retrieval_ranks(copies: np.ndarray, originals: np.ndarray) -> np.ndarray:
    """The rank of each image among all images by cosine similarity with its perturbed copy.

    The measure is the mean of 1 / rank, in (0, 1]: instance discrimination (Wu et al. 2018,
    https://arxiv.org/abs/1805.01978) as a test.

    Args:
        copies: Features of the copies, in the order of the originals.
        originals: Features of the images.

    Returns:
        int64 [N]: 1 if no other image is as similar to the copy as its original.
    """
    similarities = _units(copies) @ _units(originals).T
    own = np.diagonal(similarities)[:, np.newaxis]
    return (similarities >= own).sum(axis=1)


def neighbour_agreement(view1: np.ndarray, view2: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """The fraction of each image's k nearest others that two representations have in common.

    Neighbours are by cosine similarity, separately in each representation. Ties are broken at
    random, so that a constant agrees only by chance: k / (N - 1).

    Args:
        view1: Features of N images: from one perturbation, set of dimensions or training.
        view2: Features of the same images, from another one.
        k: Number of neighbours; fewer than N.

    Returns:
        float64 [N] in [0, 1].
    """
    agreement = np.empty(len(view1))
    neighbours = [_nearest_others(view, k, seed) for seed, view in enumerate((view1, view2))]
    for row, (one, other) in enumerate(zip(*neighbours, strict=True)):
        agreement[row] = len(np.intersect1d(one, other, assume_unique=True)) / k
    return agreement


def half_agreement(features: np.ndarray, k: int = NEIGHBOURS) -> np.ndarray:
    """`neighbour_agreement` between two random halves of the features' dimensions, [N].

    Duplicated dimensions raise it.
    """
    order = np.random.default_rng(0).permutation(features.shape[1])
    half = len(order) // 2
    return neighbour_agreement(features[:, order[:half]], features[:, order[half:]], k)


def relative_alignment(view1: np.ndarray, view2: np.ndarray) -> float:
    """How much closer two views of an image are than views of two images.

    It is 1 - E|u - u⁺|² / E|u - u'|², for features of unit length: the alignment of Wang & Isola
    (2020, https://arxiv.org/abs/2005.10242) relative to its value for views of different images. 1
    means that the views of an image are equal; 0 that an image's views are as far apart as any, as
    for a constant.
    """
    one, other = _units(view1), _units(view2)
    n = len(one)
    # |u - v|² = |u|² + |v|² - 2 uv, summed over all pairs minus those of the same image.
    squares = n * (np.square(one).sum() + np.square(other).sum())
    sums = one.sum(axis=0, dtype=np.float64) @ other.sum(axis=0, dtype=np.float64)
    same = alignment(view1, view2)
    different = (squares - 2 * sums - n * same) / (n * (n - 1))
    return 1 - same / float(different) if different > 1e-9 else 0.0


def lidar(views: np.ndarray) -> float:
    """The effective rank of the linear discriminant of images; the views of an image are a class.

    LiDAR (Thilak et al. 2024, https://arxiv.org/abs/2312.04000): exp of the entropy of the
    eigenvalues, divided by their sum, of (Σ_within + δ)^-½ Σ_between (Σ_within + δ)^-½. If there
    are more than 256 dimensions, it sees the first 256 principal components of the images' means; δ
    is relative to Σ_within.

    Args:
        views: float32 [Q, N, F], features of Q views of N images.

    Returns:
        A number in [1, F]; 1 for a constant.
    """
    means = views.mean(axis=0, dtype=np.float64)
    means -= means.mean(axis=0)
    deviations = views - views.mean(axis=0, dtype=np.float64)
    if views.shape[2] > LIDAR_COMPONENTS:
        axes = _principal_axes(means, LIDAR_COMPONENTS)
        means, deviations = means @ axes, deviations @ axes
    deviations = deviations.reshape(-1, deviations.shape[-1])
    between = means.T @ means / max(len(means) - 1, 1)
    within = deviations.T @ deviations / max(len(deviations) - len(means), 1)
    largest = max(float(np.trace(between)), float(np.trace(within)))
    if np.trace(between) <= 1e-10 * max(float(np.square(views).mean()), 1e-300) or not largest:
        return 1.0
    ridge = max(LIDAR_RIDGE * float(np.trace(within)) / len(within), 1e-12 * largest)
    eigenvalues = scipy.linalg.eigh(
        between, within + ridge * np.eye(len(within)), eigvals_only=True
    )
    eigenvalues = np.maximum(eigenvalues, 0)
    return float(np.exp(entr(eigenvalues / eigenvalues.sum()).sum()))


def pretext_neighbours(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """How well nearest neighbours identify the transformation that was applied to an image.

    This is a probe whose labels are free: those of rotations by right angles (Gidaris et al. 2018,
    https://arxiv.org/abs/1803.07728), by which Reed et al. (2021, https://arxiv.org/abs/2009.07724)
    choose augmentations, or of the place of a crop (Doersch et al. 2015,
    https://arxiv.org/abs/1505.05192).

    Args:
        train: float32 [T, N, F], features of N images after each of T transformations.
        test: float32 [T, M, F], features of M other images.

    Returns:
        float64 [M]: the fraction of each test image's transformations that the majority of the 20
        nearest of all T N training features share; 1 / T by chance.
    """
    gallery, labels = _with_transformations(train)
    queries, expected = _with_transformations(test)
    k = min(PRETEXT_NEIGHBOURS, len(gallery))
    similarity, indices = cosine_neighbours(queries, gallery, k)
    votes = np.zeros((len(queries), len(train)))
    rows = np.arange(len(queries))[:, np.newaxis]
    np.add.at(votes, (rows, labels[indices]), 1 + 1e-3 * similarity)
    return (votes.argmax(axis=1) == expected).reshape(len(test), -1).mean(axis=0)


def pretext_probe(train: np.ndarray, test: np.ndarray) -> np.ndarray:
    """Like `pretext_neighbours`, but by logistic regression, as in Reed et al."""
    features, labels = _with_transformations(train)
    problem = linear_classifier.Problem(
        features, labels, len(train), linear_classifier.softmax_loss
    )
    classifier = problem.fit(PRETEXT_C, tolerance=PRETEXT_TOLERANCE)
    queries, expected = _with_transformations(test)
    predicted = classifier.scores(queries).argmax(axis=1)
    return (predicted == expected).reshape(len(test), -1).mean(axis=0)


def cluster_stability(features: np.ndarray, clusters: int = CLUSTERS) -> float:
    """The agreement of k-means with two seeds (von Luxburg 2010, https://arxiv.org/abs/1007.1075).

    Returns:
        The adjusted Rand index: 1 if both have the same clusters, 0 by chance or for a constant.
    """
    one, other = (_kmeans(features, clusters, seed) for seed in (0, 1))
    return _rand_index(one.labels_, other.labels_)


def cluster_consistency(
    originals: np.ndarray, copies: np.ndarray, clusters: int = CLUSTERS
) -> float:
    """Whether perturbed copies fall into their originals' clusters, by k-means of the originals.

    Returns:
        The adjusted Rand index: 1 if all do, 0 by chance or for a constant.
    """
    kmeans = _kmeans(originals, clusters, 0)
    return _rand_index(kmeans.labels_, kmeans.predict(copies.astype(originals.dtype)))


def silhouette(features: np.ndarray, clusters: int = CLUSTERS) -> float:
    """How separate the clusters of k-means are (Rousseeuw 1987).

    https://doi.org/10.1016/0377-0427(87)90125-7: the mean of (b - a) / max(a, b), where a is the
    mean distance from the images in the same cluster, and b from those in the nearest other
    cluster.

    Returns:
        A number in [-1, 1]; 0 if there is only one cluster, as for a constant.
    """
    labels = _kmeans(features, clusters, 0).labels_
    if not 1 < len(set(labels)) < len(labels):
        return 0.0
    return float(metrics.silhouette_score(features, labels))


def _principal_axes(centred, count):
    """The first principal axes [F, count or N] of features [N, F] whose mean is 0."""
    if len(centred) >= centred.shape[1]:
        return np.linalg.eigh(centred.T @ centred)[1][:, ::-1][:, :count]
    eigenvalues, left = np.linalg.eigh(centred @ centred.T)
    kept = eigenvalues > 1e-10 * eigenvalues[-1]
    axes = centred.T @ (left[:, kept] / np.sqrt(eigenvalues[kept]))
    return axes[:, ::-1][:, :count]


def _with_transformations(features):
    """Features [T, N, F] as [T N, F], and the number of each row's transformation."""
    transformations, images, size = features.shape
    return features.reshape(-1, size), np.repeat(np.arange(transformations), images)


def _nearest_others(features, k, seed):
    """Indices [N, k] of the nearest others, in no particular order."""
    order = np.random.default_rng(seed).permutation(len(features))
    units = _units(features)
    similarities = units @ units[order].T
    similarities[np.arange(len(order)), np.argsort(order)] = -np.inf  # an image itself
    return order[np.argpartition(-similarities, k - 1, axis=1)[:, :k]]


def _units(features):
    lengths = np.linalg.norm(features, axis=1, keepdims=True)
    return features / np.maximum(lengths, SHORTEST)


def _kmeans(features, clusters, seed):
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)  # fewer distinct features than clusters
        return KMeans(min(clusters, len(features)), n_init=1, random_state=seed).fit(features)


def _rand_index(one, other):
    if len(set(one)) < 2:  # the index of two trivial partitions is 1
        return 0.0
    return float(metrics.adjusted_rand_score(one, other))
