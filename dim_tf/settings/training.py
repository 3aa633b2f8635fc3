"""Settings of training."""

from dataclasses import dataclass

from dim_tf.registry import TRACKERS
from dim_tf.settings.config_field import Settings, config_field
from dim_tf.system.errors import InputError

# Values that training replaces by ones that it chooses (`dim_tf.training.plan`), by flag.
AUTOMATIC = {
    "batch_size": 0,
    "learning_rate": 0.0,
    "precision": "auto",
    "backbone_batch_norm": "auto",
    "frozen_steps": -1,
}


@dataclass(frozen=True)
class TrainingSettings(Settings):
    """How long training runs, its optimizer, its devices, and what it writes."""

    epochs: int = config_field(
        20,
        "Epochs of training; 0: set by --minutes.",
        common=True,
        minimum=0,
        maximum=10**6,
        hyperparameter=False,
    )
    minutes: float = config_field(
        0.0,
        "Minutes of training, instead of --epochs; 0: set by --epochs.",
        details="The speed is measured once at the start and sets the number of steps. The time "
        "counts from when the images have been read, and includes measuring, compilation and "
        "checkpoints. A run that resumes ends at the same step.",
        common=True,
        minimum=0,
        maximum=10**6,
        hyperparameter=False,
    )
    steps: int = config_field(
        0, "Largest number of training steps; 0: no limit.", minimum=0, hyperparameter=False
    )
    batch_size: int = config_field(
        64,
        "Images per step, over all replicas; 0: 32 to 256, by the number of training images.",
        minimum=0,
        maximum=2**20,
    )
    learning_rate: float = config_field(
        1e-4,
        "Learning rate of Adam, for both optimizers; 0: 1e-3 times the square root of the batch "
        "size over 256.",
        minimum=0,
    )
    schedule: str = config_field(
        "constant",
        "Learning rate schedule: constant; cosine, falling to 0 at the end of training, whose "
        "length is then fixed and cannot be extended.",
        choices=("constant", "cosine"),
    )
    warmup_steps: int = config_field(
        0,
        "First steps over which the learning rate of --schedule=cosine rises from 0.",
        minimum=0,
    )
    warmup_fraction: float = config_field(
        0.0,
        "Instead of --warmup_steps, the length of the warm-up as a fraction of all steps.",
        minimum=0,
        maximum=0.9,
    )
    weight_decay: float = config_field(
        0.0,
        "Decoupled weight decay: each step shrinks all matrices and kernels, except those of "
        "discriminators, by this times the learning rate; 0: none.",
        minimum=0,
    )
    seed: int = config_field(
        0, "Seed of all random numbers.", common=True, minimum=0, maximum=2**32 - 1
    )
    precision: str = config_field(
        "float32",
        "Precision of layers: float32; bfloat16; auto, bfloat16 if it measures faster here.",
        details="Scores and losses are always float32.",
        common=True,
        choices=("float32", "bfloat16", "auto"),
    )
    strategy: str = config_field(
        "auto",
        "Devices: auto (mirrored where there are several GPUs or --replicas), one, mirrored, "
        "multi_worker (this is one of several processes; --cluster says which).",
        choices=("auto", "one", "mirrored", "multi_worker"),
        hyperparameter=False,
    )
    replicas: int = config_field(
        0,
        "Logical CPU replicas, to try out replicas without GPUs; 0: none.",
        minimum=0,
        maximum=64,
        hyperparameter=False,
    )
    cluster: str = config_field(
        "tf_config",
        "Where --strategy=multi_worker finds the other processes: the environment variable "
        "TF_CONFIG, Slurm's variables, or Kubernetes (an indexed Job whose pods have the label "
        "job-name=worker).",
        choices=("tf_config", "slurm", "kubernetes"),
        hyperparameter=False,
    )
    worker_timeout: float = config_field(
        120.0,
        "Seconds that a process of --strategy=multi_worker waits for the others, at the start and "
        "in each exchange.",
        above=0,
        maximum=86_400,
        hyperparameter=False,
    )
    micro_batches: int = config_field(
        1,
        "Parts of a step's images that are processed one after another to save memory; negatives "
        "and batch norm then come from one part only.",
        minimum=1,
        maximum=2**20,
    )
    sync_batch_norm: bool = config_field(True, "Batch norm statistics over all replicas.")
    jit_compile: str = config_field(
        "auto",
        "XLA: auto (on GPUs), true, false.",
        choices=("auto", "true", "false"),
        hyperparameter=False,
    )
    online_probe: bool = config_field(
        True,
        "Train a linear probe of the global feature beside the encoder, if there are labels; the "
        "encoder is the same without it.",
        hyperparameter=False,
    )
    steps_per_execution: int = config_field(
        1,
        "Steps that TensorFlow runs before control returns to Python; must divide the steps of an "
        "epoch.",
        minimum=1,
        hyperparameter=False,
    )
    checkpoint_every: int = config_field(
        500,
        "Steps between checkpoints; the last step has one too.",
        minimum=1,
        hyperparameter=False,
    )
    keep_checkpoints: int = config_field(
        2, "Number of newest checkpoints that are kept.", minimum=1, hyperparameter=False
    )
    log_every: int = config_field(
        1, "Steps between lines of metrics.jsonl.", minimum=1, hyperparameter=False
    )
    track: str = config_field(
        "tensorboard",
        "Where metrics are written in addition to metrics.jsonl, with commas between: "
        f"{', '.join(TRACKERS)}; or none.",
        hyperparameter=False,
    )
    resume: bool = config_field(
        True,
        "Resume from the run folder's checkpoint; false: start anew.",
        hyperparameter=False,
    )
    on_nan: str = config_field(
        "stop",
        "When a loss or a weight is not finite: stop; or restore, go back to the last checkpoint "
        "and continue with the images in another order.",
        choices=("stop", "restore"),
        hyperparameter=False,
    )
    nan_restores: int = config_field(
        3, "How often --on_nan=restore may go back.", minimum=1, hyperparameter=False
    )

    def check(self):
        """Checks length, devices, schedule, trackers, and multiples of `steps_per_execution`."""
        if self.minutes and self.epochs:
            raise InputError(
                f"--epochs={self.epochs} and --minutes={self.minutes:g} are both given; give one, "
                "and 0 for the other where a flagfile gives it"
            )
        if not self.minutes and not self.epochs:
            raise InputError("--epochs=0 leaves the length to --minutes; give that, or --epochs")
        if self.minutes and self.strategy == "multi_worker":
            raise InputError(
                "--minutes is for one process, which measures its speed by itself; with "
                "--strategy=multi_worker give --epochs"
            )
        if self.batch_size == 1:
            raise InputError("--batch_size=1; expected at least 2, or 0 to have it chosen")
        if self.replicas and self.batch_size % self.replicas:
            raise InputError(
                f"--batch_size={self.batch_size} does not divide by --replicas={self.replicas}"
            )
        if self.replicas and self.strategy not in ("auto", "mirrored"):
            raise InputError(f"--replicas needs --strategy=auto or mirrored, not {self.strategy}")
        if self.replicas and self.jit_compile == "true":
            raise InputError("XLA cannot compile --replicas on the CPU; leave --jit_compile out")
        for name in ("warmup_steps", "warmup_fraction"):
            if getattr(self, name) and self.schedule == "constant":
                raise InputError(f"--{name} is for --schedule=cosine; give that or leave it out")
        if self.warmup_steps and self.warmup_fraction:
            raise InputError(
                "--warmup_steps and --warmup_fraction are two lengths of the warm-up; give one"
            )
        unknown = [name for name in self.tracker_names if name not in TRACKERS]
        if unknown:
            raise InputError(
                f"--track has no {unknown[0]!r}; expected none, or a list of "
                f"{', '.join(TRACKERS)}, with commas between"
            )
        if len(set(self.tracker_names)) < len(self.tracker_names):
            raise InputError(f"--track={self.track} names a tracker twice; name it once")
        for name in ("checkpoint_every", "log_every", "steps"):
            value = getattr(self, name)
            is_every_execution = value == 1 and name != "steps"
            if not is_every_execution:
                self.check_multiple(name, value)

    @property
    def length(self) -> str:
        """The length of training, as text."""
        return f"{self.minutes:g} minutes" if self.minutes else f"{self.epochs:,} epochs"

    @property
    def tracker_names(self) -> tuple[str, ...]:
        """The names in `track`."""
        if self.track == "none":
            return ()
        return tuple(name.strip() for name in self.track.split(","))

    def check_multiple(self, flag: str, steps: int) -> None:
        """Checks that a number of steps ends where control returns to Python.

        Raises:
            InputError: It is not a multiple of `steps_per_execution`.
        """
        if steps % self.steps_per_execution:
            raise InputError(
                f"--{flag}={steps} is not a multiple of --steps_per_execution="
                f"{self.steps_per_execution}; nothing can be done between its steps"
            )
