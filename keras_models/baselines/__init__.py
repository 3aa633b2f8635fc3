"""What Deep InfoMax is compared with: other ways to train the same encoders.

Each is an `ObjectiveModel` with an `encoder`, whose endpoints are those of every encoder.
"""

from keras_models.baselines.aae import AdversarialAutoencoder
from keras_models.baselines.amdim import MultiScaleDIM
from keras_models.baselines.autoencoder import Autoencoder
from keras_models.baselines.bigan import BiGAN
from keras_models.baselines.cpc import CPC
from keras_models.baselines.nat import NoiseAsTargets
from keras_models.baselines.simclr import SimCLR
from keras_models.baselines.supervised import Supervised
from keras_models.baselines.vae import VAE
from keras_models.baselines.vicreg import VICReg

__all__ = [
    "CPC",
    "VAE",
    "AdversarialAutoencoder",
    "Autoencoder",
    "BiGAN",
    "MultiScaleDIM",
    "NoiseAsTargets",
    "SimCLR",
    "Supervised",
    "VICReg",
]
