"""`Experiment`: every setting of a run, validated, in one frozen dataclass.

Its fields are the command line's flags: name, default, help and allowed values stand here once.
"""

import dataclasses
import json
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from dim_tf import backbone_settings
from dim_tf.data import DataRequest, check_request
from dim_tf.data.image_bounds import MAX_PIXELS
from dim_tf.data.sources import SOURCES, check_name
from dim_tf.names import (
    AMDIM_PAIRS,
    BATCH_NORM,
    CROP_ENCODERS,
    DEFAULT_MEASURES,
    DIM_PAIRS,
    ENCODER_HEADS,
    ENCODERS,
    ENDPOINTS,
    ESTIMATORS,
    INPUT_SCALINGS,
    MAX_FEATURES,
    MEASURES,
    MODELS,
    TABLES,
    TFLITE,
    TWO_VIEWS,
)
from dim_tf.setting import BY_TWO_VIEWS, checked, setting, told
from dim_tf.system.errors import InputError
from dim_tf.system.json_files import parse_json_object

LONGEST_NAME = 200  # bytes of a folder's name; file systems take 255


@dataclass(frozen=True)
class Experiment:
    """The settings of a run. Their meaning is in each field's help."""

    name: str = setting(
        "",
        "name of the run and of the export; empty: the flagfile's stem, of --dataset=folder the "
        "folder's name",
        identity=False,
    )
    run_dir: str = setting("", "run folder; empty: runs/NAME", identity=False, is_path=True)
    export_dir: str = setting("exported", "folder of exported models", identity=False, is_path=True)

    dataset: str = setting(
        "digits",
        f"data set: {', '.join(SOURCES)}; or tfds:NAME[/CONFIG][:VERSION], any data set of "
        "TensorFlow Datasets that has images",
    )
    data_dir: str = setting(
        "",
        "folder of the data set's files, of --dataset=folder the images themselves; empty: where "
        "its library keeps them",
        identity=False,
        is_path=True,
    )
    image_size: int = setting(
        0, "pixels a side; 0: the data set's default", minimum=0, maximum=4096
    )
    download: bool = setting(True, "whether missing data may be downloaded", identity=False)
    cache_dir: str = setting(
        "",
        "folder for what is decoded of --dataset=folder; empty: $XDG_CACHE_HOME/dim_tf or "
        "~/.cache/dim_tf",
        identity=False,
        is_path=True,
    )
    cache_gib: float = setting(
        20.0, "how large it may become, in GiB; 0: nothing is kept", minimum=0, identity=False
    )
    bad_images: float = setting(
        0.05,
        "share of the image files that may be unreadable",
        minimum=0,
        maximum=1,
        identity=False,
    )
    labels: str = setting(
        "auto",
        "labels of --dataset=folder: folders, the first folder of each image; none; auto: folders, "
        "if all images are in folders that look like classes",
        choices=("auto", "none", "folders"),
        identity=False,
    )
    split: str = setting(
        "auto",
        "training and test images of --dataset=folder: folders, those called train, test and the "
        "like; hash, by the hash of each image's pixels; auto: folders, where there are such",
        choices=("auto", "folders", "hash"),
        identity=False,  # what it comes to is compared: data.json
    )
    pixel_range: str = setting(
        "auto",
        "values of the 16-bit images of --dataset=folder that become black and white: LOW,HIGH; "
        "dtype, all 16 bits; auto, those that the images use",
        identity=False,  # what it comes to is compared: data.json
    )
    holdout: float = setting(
        0.0,
        "share of the training images that is not trained on but measured on, in place of the test "
        "images, to choose settings by; 0: none",
        minimum=0,
        maximum=0.9,
    )
    augment: str = setting(
        "auto",
        "random crops (shifts by up to 1/8 of the side) and horizontal flips in training; auto: "
        "crop_flip for --dataset=folder, none for others",
        choices=("auto", "none", "crop", "flip", "crop_flip"),
    )

    model: str = setting(
        "dim",
        "what is trained: an encoder, "
        + "; ".join(f"{name}, {how}" for name, how in MODELS.items())
        + "; or generator, images made of prior samples by prior matching alone",
        choices=(*MODELS, "generator"),
    )
    encoder: str = setting(
        "",
        f"encoder: {', '.join(ENCODERS)}; or any Keras model: keras:CLASS of keras.applications, "
        "as keras:ResNet50V2; keras_hub:PRESET; or FILE.keras; empty: chosen from the image size",
    )
    encoder_weights: str = setting(
        "auto",
        "weights that a Keras model begins with: random; imagenet, of keras:CLASS; a file "
        ".weights.h5 or .keras of the same model; auto: random of keras:CLASS, of others their own",
    )
    local_layer: str = setting(
        "auto",
        "of a Keras model, the layer whose output is the local map; auto: the last one whose "
        "map has at least 7 locations a side and an eighth of the image's pixels a side",
    )
    conv_layer: str = setting(
        "auto",
        "of a Keras model, the layer whose output is the endpoint conv, on whose mean the head of "
        "the global feature stands; auto: the last map",
    )
    encoder_head: str = setting(
        "linear",
        "of a Keras model, what makes the global feature: linear, a dense layer; mlp, two, with "
        "batch norm and ReLU between them",
        choices=ENCODER_HEADS,
    )
    input_scaling: str = setting(
        "auto",
        f"what a Keras model takes pixels in: {', '.join(INPUT_SCALINGS)}, or OFFSET,SCALE for "
        "(pixel - OFFSET) / SCALE of pixels in 0..255, or three of each; auto: what keras:CLASS or "
        "keras_hub:PRESET was trained on",
    )
    backbone_batch_norm: str = setting(
        "train",
        "batch norm of a Keras model: train; frozen, its statistics, scales and offsets stay",
        choices=BATCH_NORM,
    )
    frozen_steps: int = setting(
        0,
        "first steps in which a Keras model stands still, while its head, critics and the like "
        "learn",
        minimum=0,
    )
    backbone_learning_rate_scale: float = setting(
        1.0, "what the learning rate of a Keras model is multiplied by", minimum=0, maximum=1000
    )
    init_from: str = setting(
        "",
        "a run folder or an exported encoder, whose encoder's weights training begins with",
        is_path=True,
    )
    latent_dim: int = setting(64, "units of the global feature", minimum=1, maximum=2**16)
    estimator: str = setting(
        "jsd",
        "estimator of mutual information; kl is nwj",
        choices=(*ESTIMATORS, "kl"),
        read_by=("dim",),
    )
    local_critic: str = setting(
        "dot", "critic of local features", choices=("dot", "concat"), read_by=("dim", "amdim")
    )
    global_critic: str = setting(
        "conv",
        "critic of whole local maps, for --alpha",
        choices=("conv", "dense", "dot"),
        read_by=("dim",),
    )
    mi_units: int = setting(
        2048,
        "units of the dot-product critics, of dim and amdim",
        minimum=1,
        maximum=2**16,
        read_by=("dim", "amdim"),
    )
    critic_layer_norm: bool = setting(
        True, "layer norm in the dot-product critic", read_by=("dim", "amdim")
    )
    critic_implementation: str = setting(
        "fast",
        "of the dot-product critic: fast; or reference, the paper's layers one by one, for the "
        "same numbers",
        choices=("fast", "reference"),
        identity=False,
        read_by=("dim", "amdim"),
    )
    critic_temperature: float = setting(
        0.0,
        "of the dot-product critic, whose scores are then correlations of codes over it; 0: a "
        "learned scale",
        minimum=0,
        read_by=("dim", "amdim"),
    )
    negatives: int = setting(
        0,
        "other images that each is paired with; 0: the critic's default, all for dot, 1 for others",
        minimum=0,
        read_by=("dim", "amdim"),
    )
    locations: int = setting(
        0,
        "places of the local map scored in a step, drawn at random; 0: all",
        minimum=0,
        read_by=("dim", "amdim"),
    )
    alpha: float = setting(0.0, "weight of global mutual information", minimum=0, read_by=("dim",))
    beta: float = setting(1.0, "weight of local mutual information", minimum=0, read_by=("dim",))
    gamma: float = setting(
        0.1, "weight of prior matching, of dim and aae; 0: none", minimum=0, read_by=("dim", "aae")
    )
    prior: str = setting(
        "uniform",
        "prior of the global feature, and of the codes of bigan and generator",
        choices=("uniform", "gaussian", "ball", "sphere"),
        read_by=("dim", "aae", "bigan", "generator"),
    )
    prior_divergence: str = setting(
        "gan",
        "what the prior's discriminator estimates",
        choices=(*ESTIMATORS, "kl"),
        read_by=("dim", "aae", "generator"),
    )
    prior_penalty: float = setting(
        1.0,
        "weight of the discriminator's gradient penalty",
        minimum=0,
        read_by=("dim", "aae", "bigan", "generator"),
    )
    coordinates: float = setting(
        0.0,
        "weight of the task to tell a local feature's row and column",
        minimum=0,
        read_by=("dim", "amdim"),
    )
    relative_coordinates: float = setting(
        0.0,
        "weight of the task to tell the offset of two local features",
        minimum=0,
        read_by=("dim", "amdim"),
    )
    prior_matching: str = setting(
        "adversarial",
        "how the global feature is matched with the prior: adversarial, by a discriminator; mmd, "
        "by the maximum mean discrepancy",
        choices=("adversarial", "mmd"),
        read_by=("dim",),
    )
    occlusion: bool = setting(
        False,
        "take the global feature from the image with a random block occluded",
        read_by=("dim",),
    )
    views: int = setting(
        1,
        "views of each image: 1, the image; 2, two augmentations, one for the query and one for "
        "the context",
        choices=(1, 2),
        read_by=("dim",),
    )
    pairs: str = setting(
        "",
        "pairs QUERY-CONTEXT of endpoints (local, conv, fc, global) whose mutual information is "
        "maximised, with commas between, each of weight --beta, of amdim 1; empty: "
        f"{','.join(DIM_PAIRS)}, of amdim {','.join(AMDIM_PAIRS)}",
        read_by=("dim", "amdim"),
        refused=True,
    )
    symmetric: bool = setting(
        True,
        "with two views, take the query from either and the context from the other, and average",
        read_by=("dim", "amdim"),
    )
    smallest_crop: float = setting(
        0.3,
        "of models with two views, the least share of the image's area that a crop shows, before "
        "sides that are longer than the image's are cut; 1: no crops",
        above=0,
        maximum=1,
        read_by=(BY_TWO_VIEWS,),
    )
    colours: float = setting(
        1.0,
        "of models with two views, strength of the colour jitter, which includes grayscale; 0: "
        "none",
        minimum=0,
        maximum=2,
        read_by=(BY_TWO_VIEWS,),
    )

    kl_weight: float = setting(
        4.0,
        "for --model=beta_vae, the weight of the KL divergence from the prior",
        above=0,
        read_by=("beta_vae",),
        refused=True,
    )
    temperature: float = setting(
        0.5, "for --model=simclr, of the softmax", above=0, read_by=("simclr",), refused=True
    )

    epochs: int = setting(20, "epochs of training", minimum=1, identity=False, maximum=10**6)
    steps: int = setting(0, "caps the steps of training; 0: no cap", minimum=0, identity=False)
    batch_size: int = setting(64, "images in a step, over all replicas", minimum=2, maximum=2**20)
    learning_rate: float = setting(1e-4, "of Adam, for both optimizers", above=0)
    schedule: str = setting(
        "constant",
        "of the learning rate: constant; cosine, falling to 0 at the end of training, whose length "
        "then belongs to the run",
        choices=("constant", "cosine"),
    )
    warmup_steps: int = setting(
        0, "of --schedule=cosine, first steps over which the learning rate rises from 0", minimum=0
    )
    weight_decay: float = setting(
        0.0,
        "decoupled: a step shrinks weights by this times the learning rate; of matrices and "
        "kernels but the discriminators'; 0: none",
        minimum=0,
    )
    seed: int = setting(0, "of all random numbers", minimum=0, maximum=2**32 - 1)

    strategy: str = setting(
        "auto",
        "devices: auto (mirrored where there are several GPUs or --replicas), one, mirrored, "
        "multi_worker (this is one of several processes, --cluster says which)",
        choices=("auto", "one", "mirrored", "multi_worker"),
        identity=False,
    )
    replicas: int = setting(
        0,
        "logical CPU replicas, to try out replicas without GPUs; 0: none",
        minimum=0,
        identity=False,
        maximum=64,
    )
    cluster: str = setting(
        "tf_config",
        "where --strategy=multi_worker learns of the other processes: the environment variable "
        "TF_CONFIG, Slurm's variables, or Kubernetes (an indexed Job whose pods have the label "
        "job-name=worker)",
        choices=("tf_config", "slurm", "kubernetes"),
        identity=False,
    )
    worker_timeout: float = setting(
        120.0,
        "seconds that a process of --strategy=multi_worker waits for the others, at the start and "
        "in each exchange",
        above=0,
        maximum=86_400,
        identity=False,
    )
    micro_batches: int = setting(
        1,
        "parts of a step's images that are gone through one after the other, to save memory; "
        "negatives and batch norm are then a part's",
        minimum=1,
        maximum=2**20,
    )
    score_chunk: int = setting(
        0,
        "images whose globals are scored at a time by the critic dot with all negatives; 0: as "
        "many as take 64 MiB",
        minimum=0,
        identity=False,
        read_by=("dim", "amdim"),
    )
    sync_batch_norm: bool = setting(True, "batch norm statistics over all replicas")
    precision: str = setting(
        "float32", "of layers; scores and losses are float32", choices=("float32", "bfloat16")
    )
    jit_compile: str = setting(
        "auto",
        "XLA: auto (on GPUs), true, false",
        choices=("auto", "true", "false"),
        identity=False,
    )

    online_probe: bool = setting(
        True,
        "train a linear probe of the global feature beside the encoder, where there are labels; "
        "the encoder is the same without it",
        identity=False,
    )
    steps_per_execution: int = setting(
        1,
        "steps that TensorFlow takes before Python looks at them; must divide an epoch's steps",
        minimum=1,
        identity=False,
    )
    checkpoint_every: int = setting(
        500, "steps between checkpoints; there is one at the end too", minimum=1, identity=False
    )
    keep_checkpoints: int = setting(2, "newest checkpoints kept", minimum=1, identity=False)
    log_every: int = setting(1, "steps between lines of metrics.jsonl", minimum=1, identity=False)
    resume: bool = setting(
        True, "go on from the run folder's checkpoint; false: start anew", identity=False
    )

    on_nan: str = setting(
        "stop",
        "at a loss or a weight that is not finite: stop; restore, go back to the last checkpoint "
        "and on with the images in another order",
        choices=("stop", "restore"),
        identity=False,
    )
    nan_restores: int = setting(
        3, "how often a run may go back with --on_nan=restore", minimum=1, identity=False
    )

    measures: str = setting(
        ",".join(DEFAULT_MEASURES),
        f"what is measured: all, or a list of {', '.join(MEASURES)}",
        identity=False,
    )
    encoder_path: str = setting(
        "",
        "for --mode=evaluate, the encoder to measure: a SavedModel, of ours or of anyone, or a "
        ".keras file; empty: the run's",
        identity=False,
        is_path=True,
    )
    probe_epochs: int = setting(
        10, "epochs of each probe's training", minimum=1, identity=False, maximum=10**6
    )
    probe_seeds: int = setting(
        2, "probes trained for each figure of the encoder", minimum=1, identity=False, maximum=1000
    )

    floors: bool = setting(
        True,
        "measure the encoder with random weights, with those that training began with where they "
        "are others, and the raw pixels too",
        identity=False,
    )
    max_features: int = setting(
        MAX_FEATURES,
        "numbers of an endpoint that measures take; larger ones are averaged over their locations",
        minimum=3,  # a pixel's
        identity=False,
    )
    probe_learning_rate: float = setting(
        1e-4, "of each probe; the authors' is 1e-4", above=0, identity=False
    )
    fine_tuning_epochs: int = setting(
        10,
        "epochs of the measure fine_tuning, at --learning_rate",
        minimum=1,
        identity=False,
        maximum=10**6,
    )
    fine_tuning_share: float = setting(
        1.0, "share of the training images whose labels it sees", above=0, identity=False, maximum=1
    )

    keep_versions: int = setting(
        0, "newest exported versions that stay; 0: all", minimum=0, identity=False
    )
    license: str = setting("", "licence of the weights, for the model card", identity=False)
    card_note: str = setting("", "a sentence of your own, for the model card", identity=False)
    max_pixels: int = setting(
        MAX_PIXELS,
        "images of more pixels are refused, in serving and of --dataset=folder, whose JPEGs are "
        "decoded at a reduced scale instead",
        minimum=1,
        identity=False,
        maximum=2**28,
    )
    quantized: bool = setting(
        False, "export the signature quantized: features as bytes", identity=False
    )
    neighbours_index: str = setting(
        "",
        "export the signature neighbours, which finds an image's neighbours among: train, the "
        "images of training; or a folder that --mode=embed wrote",
        identity=False,
        is_path=True,
    )
    neighbours: int = setting(
        10, "neighbours that it finds", minimum=1, identity=False, maximum=10**6
    )
    tflite: str = setting(
        "all",
        f"TFLite files of the export, with commas between: {', '.join(TFLITE)}; all; none",
        identity=False,
    )
    tflite_endpoints: bool = setting(
        False, "export a TFLite file of all endpoints too", identity=False
    )

    saved_model: str = setting(
        "",
        "for --mode=embed, the exported encoder; empty: the newest of EXPORT_DIR/NAME",
        identity=False,
        is_path=True,
    )
    embed_input: str = setting(
        "",
        "images to embed: a folder, a pattern of TFRecord files, or tfds:NAME:SPLIT",
        identity=False,
        is_path=True,
    )
    embed_output: str = setting(
        "", "folder of embeddings; empty: RUN_DIR/embeddings", identity=False, is_path=True
    )
    embed_format: str = setting(
        "parquet", "of embeddings", choices=("parquet", "tfrecord"), identity=False
    )
    embed_shard: int = setting(
        4096, "images a file of embeddings", minimum=1, identity=False, maximum=10**7
    )

    runs: str = setting(
        "",
        "for --mode=compare, run folders or their names under runs/, with commas between; the page "
        "goes to RUN_DIR, or to runs/compare-NAMES where that is not given",
        identity=False,
    )
    table: str = setting(
        "",
        "for --mode=table, which: one of the paper's, its comparison with CPC, or an ablation; it "
        "goes to RUN_DIR, or to runs/tableTABLE-DATASET where that is not given",
        choices=("", *TABLES),
        identity=False,
    )
    rows: str = setting(
        "",
        "rows of the table to run, in this order, with commas between; NAME:N runs the first N of "
        "--table_seeds; empty: all",
        identity=False,
    )
    table_seeds: str = setting(
        "0",
        "seeds of each row, with commas between: all rows with the first, then the next",
        identity=False,
    )
    results: str = setting(
        "",
        "folder to which the table and each finished row's figures are copied, and in which rows "
        "that were finished elsewhere are found; empty: none",
        identity=False,
        is_path=True,
    )

    def __post_init__(self):
        for field in dataclasses.fields(self):
            object.__setattr__(self, field.name, checked(field, getattr(self, field.name)))
        for name, path in self.encoder_files.items():  # they may be no paths, so no is_path
            object.__setattr__(self, name, os.path.expanduser(path))
        check_name(self.dataset)
        check_request(self.dataset, self.data_request)
        if not self.name:
            raise InputError("--name is empty and no --flagfile gives one; give a name")
        if self.name == "serving":
            raise InputError("--name=serving is the folder of the server's configuration; rename")
        _check_name(self.name)
        _check_no_pattern("run_dir" if self.run_dir else "name", str(self.run_path))
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
        if self.critic_temperature and self.model in ("dim", "amdim"):
            if "dot" not in self.critics:
                raise InputError(
                    "--critic_temperature is of the dot-product critic, and no weighted term has "
                    "it; take --local_critic=dot or --global_critic=dot, or leave it out"
                )
            if not self.critic_layer_norm:
                raise InputError(
                    "--critic_temperature is of codes with layer norm; leave it or "
                    "--nocritic_layer_norm out"
                )
        if self.score_chunk and self.critic_implementation == "reference":
            raise InputError(
                "--score_chunk is for --critic_implementation=fast; leave one of the two out"
            )
        if self.warmup_steps and self.schedule == "constant":
            raise InputError("--warmup_steps is for --schedule=cosine; give that or leave it out")
        for name, models in refused_elsewhere().items():
            default = self.__dataclass_fields__[name].default
            own = self.table or self.model in models  # a table gives it to its rows of those models
            if getattr(self, name) != default and not own:
                raise InputError(
                    f"--{name} is for --model={' or '.join(models)}, not {self.model}; leave it out"
                )
        pairs = {f"{query}-{context}" for query in ENDPOINTS for context in ENDPOINTS}
        if not set(self.pair_names) <= pairs or len(set(self.pair_names)) < len(self.pair_names):
            raise InputError(
                f"--pairs={self.pairs}; expected pairs QUERY-CONTEXT, none twice, with commas "
                f"between, each of {', '.join(ENDPOINTS)}"
            )
        itself = [pair for pair in self.pair_names if len(set(pair.split("-"))) == 1]
        if itself and self.model == "dim" and self.views == 1 and not self.occlusion:
            raise InputError(
                f"--pairs={itself[0]} compares a view with itself; give --views=2, or other pairs"
            )
        if self.pairs and self.model == "dim" and not self.beta:
            raise InputError("--pairs is of weight --beta, which is 0; leave one of the two out")
        if self.model == "dim" and self.views == 2 and self.occlusion and self.symmetric:
            raise InputError(
                "--occlusion with --views=2 needs --nosymmetric: an occluded view gives the query "
                "alone"
            )
        crops = tuple(CROP_ENCODERS.values())
        if self.model == "cpc" and not self.table and self.encoder not in ("", *crops):
            raise InputError(
                f"--model=cpc predicts the features of crops, and {self.encoder} has none: take "
                f"--encoder={' or '.join(crops)}, or leave --encoder out"
            )
        backbone_settings.check(self)
        unknown = [name for name in self.tflite_names if name not in TFLITE]
        if unknown:
            raise InputError(
                f"--tflite has no {unknown[0]!r}; expected all, none, or a list of "
                f"{', '.join(TFLITE)}"
            )
        unknown = [name for name in self.measure_names if name not in MEASURES]
        if unknown:
            raise InputError(
                f"--measures has no {unknown[0]!r}; expected all, or a list of "
                f"{', '.join(MEASURES)}, with commas between"
            )
        if len(set(self.measure_names)) < len(self.measure_names):
            raise InputError(f"--measures={self.measures} names a measure twice; name it once")

    @property
    def run_path(self) -> Path:
        return Path(self.run_dir or Path("runs") / self.name)

    @property
    def unread(self) -> list[str]:
        """The settings that are not their defaults and that the model, as it is set, ignores."""
        readers = {self.model} | ({BY_TWO_VIEWS} if self.has_two_views else set())
        idle = self._idle
        return [
            field.name
            for field in dataclasses.fields(self)
            if getattr(self, field.name) != field.default
            and (
                field.name in idle
                or (field.metadata["read_by"] and not readers & set(field.metadata["read_by"]))
            )
        ]

    @property
    def _idle(self) -> set[str]:
        """Settings that other settings leave without effect."""
        is_dim, critics = self.model == "dim", self.critics
        without = {  # settings -> whether what reads them is there
            ("local_critic",): not is_dim or self.beta,
            ("global_critic",): self.alpha,
            ("estimator", "negatives"): critics,
            ("mi_units", "critic_layer_norm", "critic_implementation"): "dot" in critics,
            ("critic_temperature", "score_chunk"): "dot" in critics,
            ("locations",): "local" in self.contexts,
            ("symmetric",): self.has_two_views,
            ("prior", "prior_matching"): self.gamma or not is_dim,
            ("prior_divergence", "prior_penalty"): not is_dim
            or (self.gamma and self.prior_matching == "adversarial"),
        }
        return {name for names, reader in without.items() if not reader for name in names}

    @property
    def critics(self) -> set[str]:
        """The kinds of critics of the terms that have a weight."""
        if self.model not in ("dim", "amdim"):
            return set()
        local = {self.local_critic} if self.contexts else set()
        return local | ({self.global_critic} if self.alpha and self.model == "dim" else set())

    @property
    def contexts(self) -> set[str]:
        """The endpoints that are contexts of --pairs, where these have a weight."""
        default = {"dim": DIM_PAIRS if self.beta else (), "amdim": AMDIM_PAIRS}
        pairs = self.pair_names or default.get(self.model, ())
        return {pair.split("-")[1] for pair in pairs}

    @property
    def reader(self) -> str:
        """Of the settings that are read: the model, by the flags that choose it."""
        views = f" --views={self.views}" if self.model == "dim" else ""
        return f"--model={self.model}{views}"

    @property
    def has_two_views(self) -> bool:
        return self.model in TWO_VIEWS or (self.model == "dim" and self.views == 2)

    @property
    def encoder_files(self) -> dict[str, Path]:
        """The files of the encoder's backbone, by the setting that names each."""
        files = {}
        if backbone_settings.is_file(self.encoder):
            files["encoder"] = Path(self.encoder)
        if backbone_settings.has_weights_file(self.encoder_weights):
            files["encoder_weights"] = Path(self.encoder_weights)
        return files

    @property
    def matches_prior(self) -> bool:
        """Whether the encoder's features are trained to be distributed like the prior."""
        return self.model in ("dim", "aae") and self.gamma > 0

    @property
    def data_request(self) -> DataRequest:
        return DataRequest(
            self.data_dir,
            self.image_size,
            self.download,
            self.cache_dir,
            self.cache_gib,
            self.bad_images,
            self.labels,
            self.split,
            self.pixel_range,
            self.max_pixels,
        )

    @property
    def augmentation(self) -> str:
        """What `augment` means for this data set."""
        if self.augment != "auto":
            return self.augment
        return SOURCES[self.dataset].augment if self.dataset in SOURCES else "none"

    @property
    def pair_names(self) -> tuple[str, ...]:
        """What `pairs` lists; empty: the model's own."""
        return tuple(pair.strip() for pair in self.pairs.split(",")) if self.pairs else ()

    @property
    def measure_names(self) -> tuple[str, ...]:
        """What `measures` lists."""
        if self.measures == "all":
            return tuple(MEASURES)
        return tuple(name.strip() for name in self.measures.split(","))

    @property
    def tflite_names(self) -> tuple[str, ...]:
        """What `tflite` lists."""
        if self.tflite in ("all", "none"):
            return TFLITE if self.tflite == "all" else ()
        return tuple(name.strip() for name in self.tflite.split(","))

    @property
    def identity(self) -> dict[str, Any]:
        """The settings that make it this experiment: no folders, no devices, no lengths."""
        found = {
            field.name: getattr(self, field.name)
            for field in dataclasses.fields(self)
            if field.metadata["identity"]
        }
        for name, path in self.encoder_files.items():  # wherever it is; its hash is compared
            found[name] = f"FILE{path.suffix}"
        if self.schedule != "constant":  # what the learning rate falls over
            found |= {"epochs": self.epochs, "steps": self.steps}
        return found | {"augment": self.augmentation}

    def to_json(self) -> str:
        return json.dumps(dataclasses.asdict(self), indent=2) + "\n"

    @classmethod
    def from_json(cls, text: str) -> "Experiment":
        """Reads what `to_json` wrote; settings that it does not know get their default.

        Raises:
            InputError: not such a text, a setting that this version does not know, or a value that
                is not of its type or not allowed.
        """
        try:
            values = parse_json_object(text)
        except ValueError as error:
            raise InputError(f"not an experiment.json of this version: {error}") from error
        unknown = set(values) - {field.name for field in dataclasses.fields(cls)}
        if unknown:
            raise InputError(
                f"not an experiment.json of this version: it has the setting {min(unknown)!r}, "
                "which is unknown here"
            )
        return cls(**values)

    def differences(self, other: "Experiment") -> list[str]:
        """Settings that make `other` another experiment, as 'name: theirs -> mine'."""
        mine, theirs = self.identity, other.identity
        return [
            f"{name}: {theirs[name]!r} -> {mine[name]!r}"
            for name in mine  # one that either lacks depends on another that is different
            if name in theirs and mine[name] != theirs[name]
        ]


def refused_elsewhere() -> dict[str, tuple[str, ...]]:
    """Settings that some models alone have, and those models."""
    fields = dataclasses.fields(Experiment)
    return {f.name: f.metadata["read_by"] for f in fields if f.metadata["refused"]}


def _check_no_pattern(name, path):
    """Checkpoints are found, and old ones removed, by patterns that begin with the run folder."""
    signs = [sign for sign in path if sign in "*?[]\\"]
    if signs:
        raise InputError(
            f"--{name}: the run folder {told(path)} has {signs[0]!r} in its path, which stands "
            "for other files where TensorFlow looks for checkpoints; leave it out"
        )


def _check_name(name):
    """A name is a folder's, in runs/ and in EXPORT_DIR, and one of the list --runs."""
    why = ""
    if any(sign in name for sign in "/,"):
        why = "is a folder's name, and one of a list in --runs; leave out '/' and ','"
    elif name.startswith("."):
        why = "is the name of a hidden folder; leave out the '.' before it"
    elif name != name.strip():
        why = "begins or ends with a space; leave it out"
    elif len(os.fsencode(name)) > LONGEST_NAME:
        why = f"has more than {LONGEST_NAME} bytes; give a shorter one"
    if why:
        raise InputError(f"--name={told(name)} {why}")
