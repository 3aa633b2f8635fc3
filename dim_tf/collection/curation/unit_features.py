"""Features of length 1, whose products are cosines."""

import numpy as np

_SMALLEST_LENGTH = 1e-6  # shorter features are treated as if they had this length


def unit_rows(features: np.ndarray) -> np.ndarray:
    """The features divided by their lengths, float32 [N, D].

    Args:
        features: float [N, D].
    """
    rows = np.asarray(features, np.float32)
    lengths = np.linalg.norm(rows, axis=1, keepdims=True)
    return rows / np.maximum(lengths, _SMALLEST_LENGTH)
