"""The method: encoders, critics, estimators, prior matching and `DeepInfoMax`.

Usable alone; knows no flags, files or data sets.
"""

from keras_models import critics, encoders, estimators, priors, terms
from keras_models.deep_infomax import DeepInfoMax

__all__ = ["DeepInfoMax", "critics", "encoders", "estimators", "priors", "terms"]
