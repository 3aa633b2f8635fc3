"""The method: encoders, critics, estimators, terms, priors and `DeepInfoMax`.

This package stands alone: it has no flags and reads no data sets.
"""

from keras_models import keras_settings

keras_settings.check_backend()  # before the import of Keras, whose traceback is long

from keras_models import critics, encoders, estimators, priors, terms  # noqa: E402
from keras_models.deep_infomax import DeepInfoMax  # noqa: E402

__all__ = ["DeepInfoMax", "critics", "encoders", "estimators", "priors", "terms"]
