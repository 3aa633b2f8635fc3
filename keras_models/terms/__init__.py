"""The terms of the objective, one file each. `DeepInfoMax` is an encoder and a list of terms."""

from keras_models.terms.coordinates import (
    Coordinates,
    RelativeCoordinates,
    coordinate_tasks,
)
from keras_models.terms.mutual_information import (
    MutualInformation,
    global_mutual_information,
    local_mutual_information,
)
from keras_models.terms.output import TermOutput
from keras_models.terms.prior_matching import PriorMatching, prior_matching

__all__ = [
    "Coordinates",
    "MutualInformation",
    "PriorMatching",
    "RelativeCoordinates",
    "TermOutput",
    "coordinate_tasks",
    "global_mutual_information",
    "local_mutual_information",
    "prior_matching",
]
