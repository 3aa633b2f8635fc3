"""The terms of the objective, one file each. `DeepInfoMax` is an encoder and a list of terms."""

from keras_models.terms.mutual_information import LocalMutualInformation, local_mutual_information
from keras_models.terms.output import TermOutput
from keras_models.terms.prior_matching import PriorMatching, prior_matching

__all__ = [
    "LocalMutualInformation",
    "PriorMatching",
    "TermOutput",
    "local_mutual_information",
    "prior_matching",
]
