"""What Deep InfoMax is compared with: other ways to train the same encoders.

Each is an `ObjectiveModel` with an `encoder`, whose endpoints are those of every encoder.
"""

from keras_models.baselines.supervised import Supervised

__all__ = ["Supervised"]
