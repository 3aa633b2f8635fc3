"""The names that settings choose from: encoders, estimators, models, measures, tables.

Those of parts that need TensorFlow stand here again, for --help needs none; tests compare them.
"""

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
# Those of keras_models.encoders.input_scaling and .backbone.
INPUT_SCALINGS = ("-1..1", "0..1", "0..255", "torch", "caffe")
ENCODER_HEADS = ("linear", "mlp")
BATCH_NORM = ("train", "frozen")
# How each model's encoder learns, in a sentence that begins "An image encoder, learned".
# Those that always take two views of an image stand apart.
TWO_VIEWS = {
    "simclr": "from unlabelled images by SimCLR (Chen et al. 2020)",
    "vicreg": "from unlabelled images by VICReg (Bardes et al. 2022)",
    "barlow_twins": "from unlabelled images by Barlow Twins (Zbontar et al. 2021)",
    "amdim": "from unlabelled images by Deep InfoMax across two views (Bachman et al. 2019)",
}
MODELS = {
    "dim": "from unlabelled images by Deep InfoMax (Hjelm et al. 2019)",
    "ae": "from unlabelled images as an autoencoder",
    "vae": "from unlabelled images as a variational autoencoder (Kingma & Welling 2014)",
    "beta_vae": "from unlabelled images as a β-VAE (Higgins et al. 2017)",
    "aae": "from unlabelled images as an adversarial autoencoder (Makhzani et al. 2016)",
    "bigan": "from unlabelled images by BiGAN (Donahue et al. 2017)",
    "nat": "from unlabelled images by Noise As Targets (Bojanowski & Joulin 2017)",
    "cpc": "from unlabelled images by contrastive predictive coding (van den Oord et al. 2018)",
    **TWO_VIEWS,
    "supervised": "from images and their labels by cross-entropy: full supervision",
}
CROP_ENCODERS = {32: "crops32x32", 64: "crops64x64"}  # those of cpc, by image size
# QUERY-CONTEXT pairs of endpoints whose mutual information is learned, where --pairs is not given.
DIM_PAIRS = ("global-local",)
AMDIM_PAIRS = ("global-local", "global-conv", "conv-conv")
ENDPOINTS = ("local", "conv", "fc", "global")
# "module:object" of each measure's `MeasureSpec`, imported when it is used; the report's order.
MEASURES = {
    "knn": "dim_tf.evaluation.measures.knn:SPEC",
    "linear": "dim_tf.evaluation.measures.probes:LINEAR",
    "mlp": "dim_tf.evaluation.measures.probes:MLP",
    "few_labels": "dim_tf.evaluation.measures.few_labels:SPEC",
    "svm": "dim_tf.evaluation.measures.svm:SPEC",
    "fine_tuning": "dim_tf.evaluation.measures.fine_tuning:SPEC",
    "clusters": "dim_tf.evaluation.measures.clusters:SPEC",
    "geometry": "dim_tf.evaluation.measures.geometry:SPEC",
    "projection": "dim_tf.evaluation.measures.projection:SPEC",
    "reconstruction": "dim_tf.evaluation.measures.reconstruction:SPEC",
    "prior_match": "dim_tf.evaluation.measures.prior_match:SPEC",
    "ndm": "dim_tf.evaluation.measures.ndm:SPEC",
    "mine": "dim_tf.evaluation.measures.mine:SPEC",
}
DEFAULT_MEASURES = ("knn", "linear", "mlp", "clusters", "geometry", "projection")
# The quick ones, taken of the references too (random weights, start weights, raw pixels).
REFERENCE_MEASURES = ("knn", "linear", "mlp", "clusters", "geometry")
MAX_FEATURES = 2**14  # of an endpoint, that measures take: 50,000 images of so many are 3.3 GB
# Those of dim_tf.export.tflite.
TFLITE = ("float32", "float16", "dynamic", "int8", "float32_batch1", "uint8_batch1")
# Those of dim_tf.tables.
TABLES = ("1", "2", "3", "4", "cpc", "alpha", "beta", "gamma", "negatives")
