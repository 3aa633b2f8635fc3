"""The names that settings choose from: data sets, encoders, models, measures, tables.

Importing this module needs no TensorFlow, so that --help is quick. A value "module:object" is
imported on use (`pkgutil.resolve_name`). Tests compare the names with those that keras_models has
too.
"""

from dataclasses import dataclass


@dataclass(frozen=True)
class SourceSpec:
    """A data source and its defaults.

    Attributes:
        loader: "module:function", a function from a `DataRequest` to `Splits`.
        image_size: Pixels a side; 0: chosen by the images.
        augmentation: Augmentation for models of one view; one of `AUGMENTATIONS`.
        reads_image_files: Whether --data_dir may contain it as image files.
    """

    loader: str
    image_size: int
    augmentation: str = "none"
    reads_image_files: bool = False


SOURCES = {
    "digits": SourceSpec("dim_tf.data.sources.digits:load", 28),
    "cifar10": SourceSpec("dim_tf.data.sources.cifar10:load", 32),
    "cifar100": SourceSpec("dim_tf.data.sources.cifar100:load", 32),
    "stl10": SourceSpec("dim_tf.data.sources.stl10:load", 64),
    "tiny_imagenet": SourceSpec(
        "dim_tf.data.sources.tiny_imagenet:load", 64, reads_image_files=True
    ),
    "tiny_imagenet_stl10": SourceSpec(
        "dim_tf.data.sources.tiny_imagenet_stl10:load", 64, reads_image_files=True
    ),
    "celeb_a": SourceSpec("dim_tf.data.sources.celeb_a:load", 64, reads_image_files=True),
    "fashion_mnist": SourceSpec("dim_tf.data.sources.fashion_mnist:load", 28),
    "folder": SourceSpec("dim_tf.data.sources.folder:load", 0, "natural", reads_image_files=True),
}
# Those of keras_models.views, and none.
AUGMENTATIONS = ("natural", "document", "aerial", "microscopy", "none")


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
    "nice",
    "realnvp",
)
ESTIMATORS = ("jsd", "infonce", "dv", "nwj", "gan", "rkl", "hellinger", "chi2", "w1")
PRIOR_DIVERGENCES = (*ESTIMATORS, "bgan", "wgan_gp")
# Those of keras_models.encoders.backbone.
INPUT_SCALINGS = ("-1..1", "0..1", "0..255", "torch", "caffe")
ENCODER_HEADS = ("linear", "mlp")
BATCH_NORM = ("train", "frozen")
PRIORS = ("uniform", "gaussian", "ball", "sphere")
# --model -> its settings, which build the model.
MODELS = {
    "dim": "dim_tf.models.dim:DIM",
    "ae": "dim_tf.models.autoencoder:AutoencoderModel",
    "vae": "dim_tf.models.vae:VariationalAutoencoder",
    "beta_vae": "dim_tf.models.vae:BetaVAE",
    "aae": "dim_tf.models.aae:AdversarialAutoencoderModel",
    "bigan": "dim_tf.models.bigan:BiGANModel",
    "ali": "dim_tf.models.ali:ALIModel",
    "dcgan": "dim_tf.models.dcgan:DCGANModel",
    "infogan": "dim_tf.models.infogan:InfoGANModel",
    "nat": "dim_tf.models.nat:NAT",
    "cpc": "dim_tf.models.cpc:ContrastivePredictiveCoding",
    "simclr": "dim_tf.models.simclr:SimCLR",
    "vicreg": "dim_tf.models.vicreg:VICReg",
    "barlow_twins": "dim_tf.models.barlow_twins:BarlowTwins",
    "iic": "dim_tf.models.iic:InvariantInformationClustering",
    "imsat": "dim_tf.models.imsat:SelfAugmentedTraining",
    "dec": "dim_tf.models.dec:DeepEmbeddedClustering",
    "dac": "dim_tf.models.dac:DeepAdaptiveClustering",
    "context_encoder": "dim_tf.models.context_encoder:ContextEncoderModel",
    "context_prediction": "dim_tf.models.context_prediction:ContextPredictionModel",
    "exemplar": "dim_tf.models.exemplar:ExemplarModel",
    "multi_task": "dim_tf.models.multi_task:MultiTask",
    "supervised": "dim_tf.models.supervised:SupervisedModel",
    "generator": "dim_tf.models.generator:Generator",
    # Fitted without training steps.
    "pca": "dim_tf.models.pca:PCAModel",
    "fastica": "dim_tf.models.ica:FastICAModel",
    "infomax_ica": "dim_tf.models.ica:InfomaxICA",
    "sfa": "dim_tf.models.sfa:SlowFeatureAnalysis",
    "som": "dim_tf.models.som:SelfOrganizingMap",
    "rbm": "dim_tf.models.rbm:RestrictedBoltzmannMachine",
    "kmeans_features": "dim_tf.models.kmeans_features:KMeansFeatures",
    "denoising_ae": "dim_tf.models.denoising:DenoisingAutoencoderModel",
    "stacked_denoising_ae": "dim_tf.models.stacked_denoising:StackedDenoisingAutoencoderModel",
    "contractive_ae": "dim_tf.models.contractive:ContractiveAutoencoderModel",
    "beta_tcvae": "dim_tf.models.beta_tcvae:BetaTCVAEModel",
    "vib": "dim_tf.models.vib:InformationBottleneck",
    "nice": "dim_tf.models.flows:NICEModel",
    "realnvp": "dim_tf.models.flows:RealNVPModel",
}
FLOWS = ("nice", "realnvp")  # models that are their own encoders
LATENT_PRIORS = ("gaussian", "logistic")  # of flows
CROP_ENCODERS = {32: "crops32x32", 64: "crops64x64"}  # those of cpc, by image size
ENDPOINTS = ("local", "conv", "fc", "global")
# --feature: what an encoder returns for an image; those of dim_tf.export.feature.
FEATURES = ("global", "fc", "conv", "local_pooled")
# "module:object" of each measure's `MeasureSpec`, imported on use; in the order of the report.
MEASURES = {
    "knn": "dim_tf.evaluation.measures.knn:SPEC",
    "linear": "dim_tf.evaluation.measures.probes:LINEAR",
    "mlp": "dim_tf.evaluation.measures.probes:MLP",
    "few_labels": "dim_tf.evaluation.measures.few_labels:SPEC",
    "svm": "dim_tf.evaluation.measures.svm:SPEC",
    "fine_tuning": "dim_tf.evaluation.measures.fine_tuning:SPEC",
    "clusters": "dim_tf.evaluation.measures.clusters:SPEC",
    "geometry": "dim_tf.evaluation.measures.geometry:SPEC",
    "rotation": "dim_tf.evaluation.measures.rotation:SPEC",
    "projection": "dim_tf.evaluation.measures.projection:SPEC",
    "patches": "dim_tf.evaluation.measures.patches:SPEC",
    "reconstruction": "dim_tf.evaluation.measures.reconstruction:SPEC",
    "prior_match": "dim_tf.evaluation.measures.prior_match:SPEC",
    "ndm": "dim_tf.evaluation.measures.ndm:SPEC",
    "mine": "dim_tf.evaluation.measures.mine:SPEC",
    "mig": "dim_tf.evaluation.measures.mig:SPEC",
}
DEFAULT_MEASURES = ("knn", "linear", "mlp", "clusters", "geometry", "projection")
LABEL_FREE_MEASURES = ("rotation",)  # also measured by default if there are no labels
# What an encoder is compared with, in addition to the models of --reference; in this order.
REFERENCE_TITLES = {
    "random_weights": "random weights",
    "start_weights": "start weights",
    "pixels": "raw pixels",
}
# The quick ones, also run on the references (random weights, start weights, raw pixels).
REFERENCE_MEASURES = ("knn", "linear", "mlp", "clusters", "geometry", "rotation")
MAX_FEATURES = 2**14  # of an endpoint in measures: for 50,000 images these are 3.3 GB
# Those of dim_tf.export.tflite.
TFLITE = ("float32", "float16", "dynamic", "int8", "float32_batch1", "uint8_batch1")
# --track -> the callback that writes metrics there; each but the first needs an extra.
TRACKERS = {
    "tensorboard": "dim_tf.training.trackers:TensorBoard",
    "wandb": "dim_tf.training.trackers:WeightsAndBiases",
    "mlflow": "dim_tf.training.trackers:MLflow",
}
# Those of dim_tf.tables.
TABLES = ("1", "2", "3", "4", "cpc", "cited", "alpha", "beta", "gamma", "negatives")
