"""The self-organizing map (Kohonen 1990, https://doi.org/10.1109/5.58325), by MiniSom."""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class FittedMap:
    """Prototypes, row by row of the grid.

    Attributes:
        prototypes: [rows · columns, F].
        quantization_error: Mean distance of an input from the nearest prototype.
        topographic_error: Fraction of the inputs whose two nearest prototypes are not neighbours.
    """

    prototypes: np.ndarray
    quantization_error: float
    topographic_error: float


def fit(
    x: np.ndarray, rows: int, columns: int, passes: int = 2, rate: float = 0.5, seed: int = 0
) -> FittedMap:
    """Moves the prototypes: m_i += α(t)·h_ci(t)·(x - m_i), c the nearest to x.

    Kohonen 1990, equations 3 to 6: h is a normal function of the distance on the grid. Its width
    falls linearly over the steps, from half the longer side to 1, and α from `rate` to 0, so that a
    prototype is at last the mean of many inputs. (MiniSom's default is to end at a third of both.)
    The first prototypes are inputs; the seed determines the order of the inputs.

    Args:
        x: float [N, F].
        rows: Rows of the grid.
        columns: Columns of the grid.
        passes: Passes over all inputs.
        rate: α at the first step.
        seed: Seed of all random numbers.

    Raises:
        ImportError: MiniSom is not installed.
    """
    from minisom import MiniSom

    width = max(1.0, max(rows, columns) / 2)
    som = MiniSom(
        rows,
        columns,
        x.shape[1],
        sigma=width,
        learning_rate=rate,
        decay_function="linear_decay_to_zero",
        sigma_decay_function="linear_decay_to_one",
        random_seed=seed % 2**32,
    )
    som.random_weights_init(x)
    som.train(x, passes * len(x), random_order=True)
    prototypes = som.get_weights().reshape(rows * columns, -1)
    squares = (prototypes**2).sum(1)
    nearest = np.argsort(squares - 2 * x @ prototypes.T, axis=1)[:, :2]
    places = np.stack(np.divmod(nearest, columns), -1)  # [N, 2, 2]
    steps = np.abs(places[:, 0] - places[:, -1]).max(-1)
    errors = [
        np.linalg.norm(row - prototypes[best]) for row, best in zip(x, nearest[:, 0], strict=True)
    ]
    return FittedMap(prototypes, float(np.mean(errors)), float(np.mean(steps > 1)))
