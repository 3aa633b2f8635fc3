"""The method: encoders, critics, estimators, prior matching and `DeepInfoMax`.

Usable alone; knows no flags, files or data sets.
"""

from keras_models import keras_settings

keras_settings.check_backend()  # before Keras is imported, which fails in a long traceback

from keras_models import critics, encoders, estimators, priors, terms  # noqa: E402
from keras_models.deep_infomax import DeepInfoMax  # noqa: E402

__all__ = ["DeepInfoMax", "critics", "encoders", "estimators", "priors", "terms"]
