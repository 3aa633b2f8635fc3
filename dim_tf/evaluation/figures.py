"""Figures that a measure can add to its values; the report draws each type.

Images are uint8 [..., H, W, C] with C = 1 or 3.
"""

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True)
class NeighbourPanel:
    """Nearest neighbours of some test images."""

    title: str  # which feature, and by which distance: "global feature, L1 distance"
    queries: np.ndarray  # uint8 [Q, H, W, C]
    neighbours: np.ndarray  # uint8 [Q, k, H, W, C], the nearest first
    same_label: np.ndarray | None  # bool [Q, k]: has the query's label; None: there are no classes


@dataclass(frozen=True)
class SampleGrid:
    """Images side by side."""

    title: str
    images: np.ndarray  # uint8 [N, H, W, C]


@dataclass(frozen=True)
class Reconstructions:
    """Images, and their reconstructions by a decoder of their features."""

    title: str  # from what, and how: "from the global feature, decoder trained with L2"
    originals: np.ndarray  # uint8 [N, H, W, C]
    reconstructed: np.ndarray  # uint8 [N, H, W, C], in the order of the originals


@dataclass(frozen=True)
class PatchMaps:
    """Images, and their local maps as colours: a cell for each location."""

    title: str  # of what: "local map"
    images: np.ndarray  # uint8 [N, h, w, C]
    maps: np.ndarray  # uint8 [N, H, W, 3], in the order of the images
    explained: tuple[float, float, float]  # of the variance, by the component of each colour


@dataclass(frozen=True)
class Projection:
    """Features in the plane."""

    title: str  # of what, and how: "global feature, t-SNE"
    points: np.ndarray  # float [N, 2]
    labels: np.ndarray | None  # int [N], indices of label_names; None: there are no classes
    label_names: tuple[str, ...]  # of all classes; empty without labels
    images: np.ndarray | None  # uint8 [N, h, w, C], small: one for each point; None: dots alone


@dataclass(frozen=True)
class ConfusionMatrix:
    """How often each class was predicted as each other."""

    title: str  # of which classifier: "MLP probe on the global feature"
    counts: np.ndarray  # int [C, C], rows: the true class, columns: the prediction
    label_names: tuple[str, ...]


@dataclass(frozen=True)
class Histogram:
    """Densities over the same bins."""

    title: str
    edges: np.ndarray  # float [B + 1], ascending
    series: dict[str, np.ndarray]  # name → density [B]


Figure = (
    NeighbourPanel
    | SampleGrid
    | Reconstructions
    | PatchMaps
    | Projection
    | ConfusionMatrix
    | Histogram
)
