"""The names that settings choose from: data sets, encoders, models, measures, tables.

Importing this module needs no TensorFlow, so that --help is quick. A value "module:object" is
imported when it is used; names of what keras_models has by name are compared with it by tests.
"""

from importlib import import_module
from typing import Any

from dim_tf.data import SOURCES as SOURCES

# Those of keras_models.
ENCODERS = (
    "basic28x28",
    "basic32x32",
    "basic64x64",
    "basic",
    "alex64x64",
    "foldalex64x64",
    "foldmultialex64x64",
    "crops32x32",
    "crops64x64",
    "resnet19_32x32",
    "resnet34_32x32",
    "foldresnet19_32x32",
    "foldresnet34_32x32",
    "residual32x32",
    "residual64x64",
    "residual32x32_wide",
    "residual64x64_wide",
)
ESTIMATORS = ("jsd", "infonce", "dv", "nwj", "gan", "rkl", "hellinger", "chi2", "w1")
# Those of keras_models.encoders.backbone.
INPUT_SCALINGS = ("-1..1", "0..1", "0..255", "torch", "caffe")
ENCODER_HEADS = ("linear", "mlp")
BATCH_NORM = ("train", "frozen")
PRIORS = ("uniform", "gaussian", "ball", "sphere")
# --model -> its settings, which make it.
MODELS = {
    "dim": "dim_tf.models.dim:DIM",
    "ae": "dim_tf.models.autoencoder:AutoencoderModel",
    "vae": "dim_tf.models.vae:VariationalAutoencoder",
    "beta_vae": "dim_tf.models.vae:BetaVAE",
    "aae": "dim_tf.models.aae:AdversarialAutoencoderModel",
    "bigan": "dim_tf.models.bigan:BiGANModel",
    "nat": "dim_tf.models.nat:NAT",
    "cpc": "dim_tf.models.cpc:ContrastivePredictiveCoding",
    "simclr": "dim_tf.models.simclr:SimCLR",
    "vicreg": "dim_tf.models.vicreg:VICReg",
    "barlow_twins": "dim_tf.models.barlow_twins:BarlowTwins",
    "supervised": "dim_tf.models.supervised:SupervisedModel",
    "generator": "dim_tf.models.generator:Generator",
}
CROP_ENCODERS = {32: "crops32x32", 64: "crops64x64"}  # those of cpc, by image size
ENDPOINTS = ("local", "conv", "fc", "global")
# Those of dim_tf.evaluation.evaluate.
DEFAULT_MEASURES = ("knn", "linear", "mlp", "clusters", "geometry", "projection")
MEASURES = (
    *DEFAULT_MEASURES,
    "few_labels",
    "svm",
    "fine_tuning",
    "reconstruction",
    "prior_match",
    "ndm",
    "mine",
)
# Those that are measured of random weights and of pixels too (dim_tf.evaluation.evaluate).
FLOOR_MEASURES = ("knn", "linear", "mlp", "clusters", "geometry")
MAX_FEATURES = 2**14  # of an endpoint, that measures take: 50,000 images of so many are 3.3 GB
# Those of dim_tf.export.lite.
TFLITE = ("float32", "float16", "dynamic", "int8", "float32_batch1", "uint8_batch1")
# Those of dim_tf.tables.
TABLES = ("1", "2", "3", "4", "cpc", "alpha", "beta", "gamma", "negatives")


def load(target: str) -> Any:
    """The object that "module:object" names, imported."""
    module, _, name = target.partition(":")
    return getattr(import_module(module), name)
