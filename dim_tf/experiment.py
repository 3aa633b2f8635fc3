"""`Experiment`: every setting of a run, validated, in one frozen dataclass.

Its fields are the command line's flags: name, default, help and allowed values stand here once.
"""

import dataclasses
import json
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf.data import SOURCES, Request
from dim_tf.errors import InputError

# Those of keras_models, which needs TensorFlow; --help does not. A test compares them.
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
# How each model's encoder learns, in a sentence that begins "An image encoder, learned".
MODELS = {
    "dim": "from unlabelled images by Deep InfoMax (Hjelm et al. 2019)",
    "ae": "from unlabelled images as an autoencoder",
    "vae": "from unlabelled images as a variational autoencoder (Kingma & Welling 2014)",
    "beta_vae": "from unlabelled images as a β-VAE (Higgins et al. 2017)",
    "aae": "from unlabelled images as an adversarial autoencoder (Makhzani et al. 2016)",
    "bigan": "from unlabelled images by BiGAN (Donahue et al. 2017)",
    "nat": "from unlabelled images by Noise As Targets (Bojanowski & Joulin 2017)",
    "cpc": "from unlabelled images by contrastive predictive coding (van den Oord et al. 2018)",
    "simclr": "from unlabelled images by SimCLR (Chen et al. 2020)",
    "vicreg": "from unlabelled images by VICReg (Bardes et al. 2022)",
    "amdim": "from unlabelled images by multi-scale Deep InfoMax (Bachman et al. 2019)",
    "supervised": "from images and their labels by cross-entropy: full supervision",
}
# Settings that some models alone have.
OF_MODELS = {"kl_weight": ("beta_vae",), "temperature": ("simclr",)}
# Those of dim_tf.evaluation.evaluate. A test compares them.
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


def _setting(default, help, *, choices=(), minimum=None, above=None, identity=True) -> Any:
    """A field.

    Args:
        default: its default.
        help: its line in --help.
        choices: the allowed values; empty: any.
        minimum: the least allowed number.
        above: a bound that a number must exceed.
        identity: whether another value makes another experiment, which a run folder refuses.
    """
    metadata = {
        "help": help,
        "choices": choices,
        "minimum": minimum,
        "above": above,
        "identity": identity,
    }
    return dataclasses.field(default=default, metadata=metadata)


@dataclass(frozen=True)
class Experiment:
    """The settings of a run. Their meaning is in each field's help."""

    name: str = _setting(
        "", "name of the run and of the export; empty: the flagfile's stem", identity=False
    )
    run_dir: str = _setting("", "run folder; empty: runs/NAME", identity=False)
    export_dir: str = _setting("exported", "folder of exported models", identity=False)

    dataset: str = _setting("digits", "data set", choices=tuple(SOURCES))
    data_dir: str = _setting(
        "", "folder of the data set's files; empty: where its library keeps them", identity=False
    )
    image_size: int = _setting(0, "pixels a side; 0: the data set's default", minimum=0)
    download: bool = _setting(True, "whether missing data may be downloaded", identity=False)
    augment: str = _setting(
        "none",
        "random crops (shifts by up to 1/8 of the side) and horizontal flips in training",
        choices=("none", "crop", "flip", "crop_flip"),
    )

    model: str = _setting(
        "dim",
        "what is trained: an encoder, "
        + "; ".join(f"{name}, {how}" for name, how in MODELS.items())
        + "; or generator, images made of prior samples by prior matching alone",
        choices=(*MODELS, "generator"),
    )
    encoder: str = _setting(
        "", "encoder; empty: chosen from the image size", choices=("", *ENCODERS)
    )
    latent_dim: int = _setting(64, "units of the global feature", minimum=1)
    estimator: str = _setting(
        "jsd", "estimator of mutual information; kl is nwj", choices=(*ESTIMATORS, "kl")
    )
    local_critic: str = _setting("dot", "critic of local features", choices=("dot", "concat"))
    global_critic: str = _setting(
        "conv", "critic of whole local maps, for --alpha", choices=("conv", "dense", "dot")
    )
    mi_units: int = _setting(2048, "units of the dot-product critics, of dim and amdim", minimum=1)
    critic_layer_norm: bool = _setting(True, "layer norm in the dot-product critic")
    negatives: int = _setting(
        0,
        "other images that each is paired with; 0: the critic's default, all for dot, 1 for others",
        minimum=0,
    )
    locations: int = _setting(
        0, "places of the local map scored in a step, drawn at random; 0: all", minimum=0
    )
    alpha: float = _setting(0.0, "weight of global mutual information", minimum=0)
    beta: float = _setting(1.0, "weight of local mutual information", minimum=0)
    gamma: float = _setting(0.1, "weight of prior matching, of dim and aae; 0: none", minimum=0)
    prior: str = _setting(
        "uniform",
        "prior of the global feature, and of the codes of bigan and generator",
        choices=("uniform", "gaussian", "ball", "sphere"),
    )
    prior_divergence: str = _setting(
        "gan", "what the prior's discriminator estimates", choices=(*ESTIMATORS, "kl")
    )
    prior_penalty: float = _setting(
        1.0, "weight of the discriminator's gradient penalty", minimum=0
    )
    coordinates: float = _setting(
        0.0, "weight of the task to tell a local feature's row and column", minimum=0
    )
    relative_coordinates: float = _setting(
        0.0, "weight of the task to tell the offset of two local features", minimum=0
    )
    occlusion: bool = _setting(
        False, "take the global feature from the image with a random block occluded"
    )
    views: int = _setting(
        1,
        "2: local map and global feature from two augmentations of the image",
        choices=(1, 2),
    )

    kl_weight: float = _setting(
        4.0, "for --model=beta_vae, the weight of the KL divergence from the prior", above=0
    )
    temperature: float = _setting(0.5, "for --model=simclr, of the softmax", above=0)

    epochs: int = _setting(20, "epochs of training", minimum=1, identity=False)
    steps: int = _setting(0, "caps the steps of training; 0: no cap", minimum=0, identity=False)
    batch_size: int = _setting(64, "images in a step, over all replicas", minimum=2)
    learning_rate: float = _setting(1e-4, "of Adam, for both optimizers", above=0)
    seed: int = _setting(0, "of all random numbers", minimum=0)

    strategy: str = _setting(
        "auto",
        "devices: auto (mirrored where there are several GPUs or --replicas), one, mirrored, "
        "multi_worker (this is one of several processes, --cluster says which)",
        choices=("auto", "one", "mirrored", "multi_worker"),
        identity=False,
    )
    replicas: int = _setting(
        0,
        "logical CPU replicas, to try out replicas without GPUs; 0: none",
        minimum=0,
        identity=False,
    )
    cluster: str = _setting(
        "tf_config",
        "where --strategy=multi_worker learns of the other processes: the environment variable "
        "TF_CONFIG, Slurm's variables, or Kubernetes (an indexed Job whose pods have the label "
        "job-name=worker)",
        choices=("tf_config", "slurm", "kubernetes"),
        identity=False,
    )
    micro_batches: int = _setting(
        1,
        "parts of a step's images that are gone through one after the other, to save memory; "
        "negatives and batch norm are then a part's",
        minimum=1,
    )
    score_chunk: int = _setting(
        0,
        "images whose globals are scored at a time by the critic dot with all negatives; 0: as "
        "many as take 64 MiB",
        minimum=0,
        identity=False,
    )
    sync_batch_norm: bool = _setting(True, "batch norm statistics over all replicas")
    precision: str = _setting(
        "float32", "of layers; scores and losses are float32", choices=("float32", "bfloat16")
    )
    jit_compile: str = _setting(
        "auto",
        "XLA: auto (on GPUs), true, false",
        choices=("auto", "true", "false"),
        identity=False,
    )

    online_probe: bool = _setting(
        True,
        "train a linear probe of the global feature beside the encoder, where there are labels; "
        "the encoder is the same without it",
        identity=False,
    )
    steps_per_execution: int = _setting(
        1,
        "steps that TensorFlow takes before Python looks at them; must divide an epoch's steps",
        minimum=1,
        identity=False,
    )
    checkpoint_every: int = _setting(
        500, "steps between checkpoints; there is one at the end too", minimum=1, identity=False
    )
    keep_checkpoints: int = _setting(2, "newest checkpoints kept", minimum=1, identity=False)
    log_every: int = _setting(1, "steps between lines of metrics.jsonl", minimum=1, identity=False)
    resume: bool = _setting(
        True, "go on from the run folder's checkpoint; false: start anew", identity=False
    )

    measures: str = _setting(
        ",".join(DEFAULT_MEASURES),
        f"what is measured: all, or a list of {', '.join(MEASURES)}",
        identity=False,
    )
    encoder_path: str = _setting(
        "",
        "for --mode=evaluate, the encoder to measure: a SavedModel, of ours or of anyone, or a "
        ".keras file; empty: the run's",
        identity=False,
    )
    probe_epochs: int = _setting(10, "epochs of each probe's training", minimum=1, identity=False)
    probe_seeds: int = _setting(
        2, "probes trained for each figure of the encoder", minimum=1, identity=False
    )

    probe_learning_rate: float = _setting(
        1e-4, "of each probe; the authors' is 1e-4", above=0, identity=False
    )
    fine_tuning_epochs: int = _setting(
        10, "epochs of the measure fine_tuning, at --learning_rate", minimum=1, identity=False
    )
    fine_tuning_share: float = _setting(
        1.0, "share of the training images whose labels it sees", above=0, identity=False
    )

    keep_versions: int = _setting(
        0, "newest exported versions that stay; 0: all", minimum=0, identity=False
    )
    license: str = _setting("", "licence of the weights, for the model card", identity=False)
    max_pixels: int = _setting(
        2**25, "encoded images of more pixels are refused in serving", minimum=1, identity=False
    )
    quantized: bool = _setting(
        False, "export the signature quantized: features as bytes", identity=False
    )
    neighbours_index: str = _setting(
        "",
        "export the signature neighbours, which finds an image's neighbours among: train, the "
        "images of training; or a folder that --mode=embed wrote",
        identity=False,
    )
    neighbours: int = _setting(10, "neighbours that it finds", minimum=1, identity=False)
    tflite_endpoints: bool = _setting(
        False, "export a TFLite file of all endpoints too", identity=False
    )

    saved_model: str = _setting(
        "",
        "for --mode=embed, the exported encoder; empty: the newest of EXPORT_DIR/NAME",
        identity=False,
    )
    embed_input: str = _setting(
        "",
        "images to embed: a folder, a pattern of TFRecord files, or tfds:NAME:SPLIT",
        identity=False,
    )
    embed_output: str = _setting(
        "", "folder of embeddings; empty: RUN_DIR/embeddings", identity=False
    )
    embed_format: str = _setting(
        "parquet", "of embeddings", choices=("parquet", "tfrecord"), identity=False
    )
    embed_shard: int = _setting(4096, "images a file of embeddings", minimum=1, identity=False)

    runs: str = _setting(
        "",
        "for --mode=compare, run folders or their names under runs/, with commas between; the page "
        "goes to RUN_DIR, or to runs/compare-NAMES where that is not given",
        identity=False,
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            _validate(field, getattr(self, field.name))
        if not self.name:
            raise InputError("--name is empty and no --flagfile gives one; give a name")
        if "/" in self.name or self.name in (".", ".."):
            raise InputError(f"--name={self.name} is used as a folder's name; leave out '/'")
        if self.name == "serving":
            raise InputError("--name=serving is the folder of the server's configuration; rename")
        if self.replicas and self.batch_size % self.replicas:
            raise InputError(
                f"--batch_size={self.batch_size} does not divide by --replicas={self.replicas}"
            )
        if self.replicas and self.strategy not in ("auto", "mirrored"):
            raise InputError(f"--replicas needs --strategy=auto or mirrored, not {self.strategy}")
        for name in ("checkpoint_every", "log_every", "steps"):
            value = getattr(self, name)
            always = value == 1 and name != "steps"  # as often as can be
            if value % self.steps_per_execution and not always:
                raise InputError(
                    f"--{name}={value} is not a multiple of --steps_per_execution="
                    f"{self.steps_per_execution}; nothing can be done between its steps"
                )
        if self.replicas and self.jit_compile == "true":
            raise InputError("XLA cannot compile --replicas on the CPU; leave --jit_compile out")
        weights = ("alpha", "beta", "coordinates", "relative_coordinates")
        if self.model == "dim" and not any(getattr(self, weight) for weight in weights):
            raise InputError(
                "nothing to learn: --" + ", --".join(weights) + " are all 0; give one a weight"
            )
        for name, models in OF_MODELS.items():
            default = self.__dataclass_fields__[name].default
            if getattr(self, name) != default and self.model not in models:
                raise InputError(
                    f"--{name} is for --model={' or '.join(models)}, not {self.model}; leave it out"
                )
        if self.fine_tuning_share > 1:
            raise InputError(f"--fine_tuning_share={self.fine_tuning_share}; expected at most 1")
        unknown = [name for name in self.measure_names if name not in MEASURES]
        if unknown:
            raise InputError(
                f"--measures has no {unknown[0]!r}; expected all, or a list of "
                f"{', '.join(MEASURES)} without spaces"
            )
        if self.seed >= 2**32:
            raise InputError(f"--seed={self.seed}; expected less than {2**32}")

    @property
    def run_path(self) -> Path:
        return Path(self.run_dir or Path("runs") / self.name)

    @property
    def matches_prior(self) -> bool:
        """Whether the encoder's features are trained to be distributed like the prior."""
        return self.model in ("dim", "aae") and self.gamma > 0

    @property
    def data_request(self) -> Request:
        return Request(self.data_dir, self.image_size, self.download, reports=self.run_path)

    @property
    def measure_names(self) -> tuple[str, ...]:
        """What `measures` lists."""
        return MEASURES if self.measures == "all" else tuple(self.measures.split(","))

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that make it this experiment: no folders, no devices, no lengths."""
        return {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["identity"]
        }

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Experiment":
        """Reads what `to_json` wrote; settings that it does not know get their default.

        Raises:
            InputError: not such a text, or it has settings that this version does not know.
        """
        try:
            values = json.loads(text)
            return cls(**values)
        except (json.JSONDecodeError, TypeError) as error:
            raise InputError(f"not an experiment.json of this version: {error}") from error

    def differences(self, other: "Experiment") -> list[str]:
        """Settings that make `other` another experiment, as 'name: theirs -> mine'."""
        theirs = other.identity
        return [
            f"{name}: {theirs[name]!r} -> {mine!r}"
            for name, mine in self.identity.items()
            if mine != theirs[name]
        ]


def _validate(field, value):
    meta = field.metadata
    if meta["choices"] and value not in meta["choices"]:
        allowed = ", ".join(repr(choice) for choice in meta["choices"])
        raise InputError(f"--{field.name}={value!r}; expected one of {allowed}")
    if meta["minimum"] is not None and not value >= meta["minimum"]:
        raise InputError(f"--{field.name}={value}; expected at least {meta['minimum']}")
    if meta["above"] is not None and not value > meta["above"]:
        raise InputError(f"--{field.name}={value}; expected more than {meta['above']}")
    if isinstance(value, float) and value in (float("inf"), float("-inf")):
        raise InputError(f"--{field.name}={value}; expected a finite number")
