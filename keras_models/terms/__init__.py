"""The terms of the objective, one file each. `DeepInfoMax` is an encoder and a list of terms."""

from keras_models.terms.adversarial_independence import (
    AdversarialIndependence,
    adversarial_independence,
)
from keras_models.terms.barlow_twins import BarlowTwins
from keras_models.terms.base import Term, TermOutput
from keras_models.terms.coordinates import (
    Coordinates,
    RelativeCoordinates,
    coordinate_tasks,
)
from keras_models.terms.mmd import MaximumMeanDiscrepancy
from keras_models.terms.mutual_information import (
    MutualInformation,
    global_mutual_information,
    local_mutual_information,
)
from keras_models.terms.nt_xent import NTXent
from keras_models.terms.predictability import PredictabilityMinimization
from keras_models.terms.prior_matching import PriorMatching, prior_matching
from keras_models.terms.vicreg import VICReg

__all__ = [
    "AdversarialIndependence",
    "BarlowTwins",
    "Coordinates",
    "MaximumMeanDiscrepancy",
    "MutualInformation",
    "NTXent",
    "PredictabilityMinimization",
    "PriorMatching",
    "RelativeCoordinates",
    "Term",
    "TermOutput",
    "VICReg",
    "adversarial_independence",
    "coordinate_tasks",
    "global_mutual_information",
    "local_mutual_information",
    "prior_matching",
]
