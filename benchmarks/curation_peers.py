"""What imagededup and cleanlab name in a collection; benchmarks/curation.py calls this.

    python benchmarks/curation_peers.py METHOD COLLECTION.npz ANSWER.npy

It runs in a process of its own: PyTorch, which imagededup needs, can crash beside TensorFlow. The
collection has `paths` of images, `features` float32 [N, D] and `labels` int64 [N]; the answer is
pairs of rows, int64 [P, 2], or rows, int64 [R].
"""

import importlib.util
import sys
from collections.abc import Callable, Iterable

import numpy as np

HASH_BITS = 10  # imagededup's max_distance_threshold
CNN_COSINE = 0.9  # imagededup's min_similarity_threshold
BLOCK = 1024  # rows of cosines at a time
Collection = dict[str, np.ndarray]


def imagededup_hash(collection: Collection) -> np.ndarray:
    """Pairs of imagededup's PHash that differ in at most 10 of 64 bits, its default.

    The codes are compared here, as imagededup's own comparison of 50,600 images had not ended after
    12 minutes on two cores.
    """
    from imagededup.methods import PHash

    hasher = PHash(verbose=False)
    codes = [int(hasher.encode_image(path), 16) for path in collection["paths"]]
    return close_codes(np.array(codes, np.uint64))


def close_codes(codes: np.ndarray) -> np.ndarray:
    """Pairs of rows, int64 [P, 2], whose codes, uint64 [N], differ in at most 10 bits."""
    pairs = []
    for row in range(len(codes) - 1):
        bits = np.bitwise_count(codes[row + 1 :] ^ codes[row])
        (near,) = np.nonzero(bits <= HASH_BITS)
        pairs.append(np.stack([np.full(len(near), row), near + row + 1], axis=1))
    return np.concatenate(pairs)


def imagededup_cnn(collection: Collection) -> np.ndarray:
    """Pairs by the rule of imagededup's CNN, a cosine of 0.9 or more, on the features.

    imagededup itself keeps all N² cosines in memory, and downloads its network.
    """
    units = collection["features"] / np.linalg.norm(collection["features"], axis=1, keepdims=True)
    pairs = []
    for start in range(0, len(units), BLOCK):
        first, second = np.nonzero(units[start : start + BLOCK] @ units.T >= CNN_COSINE)
        first += start
        pairs.append(np.stack([first, second], axis=1)[first < second])
    return np.concatenate(pairs)


def cleanlab_duplicates(collection: Collection) -> np.ndarray:
    """Pairs of cleanlab's Datalab."""
    sets = _issues(collection, "near_duplicate")["near_duplicate_sets"]
    return _pairs({a: [int(b) for b in others] for a, others in enumerate(sets)})


def cleanlab_outliers(collection: Collection) -> np.ndarray:
    """Rows of cleanlab's Datalab."""
    return np.flatnonzero(_issues(collection, "outlier")["is_outlier_issue"])


def cleanlab_labels(collection: Collection) -> np.ndarray:
    """Rows of cleanlab's find_label_issues, by out-of-fold probabilities, as it documents."""
    from cleanlab.filter import find_label_issues
    from sklearn.linear_model import LogisticRegression
    from sklearn.model_selection import cross_val_predict
    from sklearn.pipeline import make_pipeline
    from sklearn.preprocessing import StandardScaler

    model = make_pipeline(StandardScaler(), LogisticRegression(max_iter=400))
    features, labels = collection["features"], collection["labels"]
    probabilities = cross_val_predict(model, features, labels, cv=5, method="predict_proba")
    return np.flatnonzero(find_label_issues(labels, probabilities, n_jobs=1))


# Method -> the packages it needs, and its function.
METHODS: dict[str, tuple[tuple[str, ...], Callable[[Collection], np.ndarray]]] = {
    "imagededup_hash": (("imagededup",), imagededup_hash),
    "imagededup_cnn": ((), imagededup_cnn),
    "cleanlab_duplicates": (("cleanlab", "datasets"), cleanlab_duplicates),
    "cleanlab_outliers": (("cleanlab", "datasets"), cleanlab_outliers),
    "cleanlab_labels": (("cleanlab",), cleanlab_labels),
}


def is_installed(method: str) -> bool:
    """Whether the packages of a method are there."""
    return all(importlib.util.find_spec(name) for name in METHODS[method][0])


def _issues(collection, kind):
    from cleanlab import Datalab

    lab = Datalab({"row": list(range(len(collection["features"])))}, verbosity=0)
    lab.find_issues(features=collection["features"], issue_types={kind: {}})
    return lab.get_issues(kind)


def _pairs(neighbours: dict[int, Iterable[int]]) -> np.ndarray:
    ends = {(int(a), int(b)) for a, others in neighbours.items() for b in others}
    pairs = sorted({(min(pair), max(pair)) for pair in ends})
    return np.array(pairs, np.int64).reshape(-1, 2)


if __name__ == "__main__":
    method, collection_file, answer_file = sys.argv[1:]
    with np.load(collection_file, allow_pickle=False) as file:
        answer = METHODS[method][1](dict(file))
    np.save(answer_file, answer)
