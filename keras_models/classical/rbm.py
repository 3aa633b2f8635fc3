"""The restricted Boltzmann machine of binary units, by scikit-learn."""

from dataclasses import dataclass

import numpy as np
from sklearn.neural_network import BernoulliRBM


@dataclass(frozen=True)
class FittedMachine:
    """The hidden units' probabilities σ(v·W + b) of visible units v in [0, 1].

    Attributes:
        weights: W, [F, D].
        bias: b, [D].
        pseudo_likelihood: Mean logarithm of scikit-learn's pseudo-likelihood, in nats per image. It
            is defined for binary pixels; for grey ones it is only a number to watch.
    """

    weights: np.ndarray
    bias: np.ndarray
    pseudo_likelihood: float


def fit(
    pixels: np.ndarray, units: int, passes: int = 10, rate: float = 0.01, batch: int = 10, seed=0
) -> FittedMachine:
    """Fits a machine to pixels, which are the probabilities of its visible units.

    Hinton 2002 (https://doi.org/10.1162/089976602760128018) starts the Markov chain of every update
    at the images and takes one step. scikit-learn continues the chains of the previous update
    (persistent contrastive divergence, Tieleman 2008, https://doi.org/10.1145/1390156.1390290),
    which follows the gradient of the likelihood more closely.

    Args:
        pixels: float [N, F], in [0, 1].
        units: D.
        passes: Passes over all images.
        rate: Learning rate.
        batch: Images, and chains, per update.
        seed: Seed of all random numbers.
    """
    machine = BernoulliRBM(
        units, learning_rate=rate, batch_size=batch, n_iter=passes, random_state=seed
    ).fit(pixels)
    likelihood = float(np.mean(machine.score_samples(pixels[:1000])))
    return FittedMachine(machine.components_.T, machine.intercept_hidden_, likelihood)
