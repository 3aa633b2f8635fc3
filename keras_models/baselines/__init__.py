"""Models of two views: other ways to train the same encoders."""

from keras_models.baselines.amdim import MultiScaleDIM
from keras_models.baselines.simclr import SimCLR
from keras_models.baselines.vicreg import VICReg

__all__ = ["MultiScaleDIM", "SimCLR", "VICReg"]
