"""Losses and metrics of ten training steps of everything that can be trained, as JSON.

    python tests/golden/losses.py write                  # tests/golden/losses.json
    python tests/golden/losses.py check --tolerance 1e-5 # on the machine that wrote it

A change that should leave the numbers alone is made against these: write before, check after. On
another kind of CPU rounding differs, and Adam enlarges it; `test_losses.py` allows for that.

Cases are every flagfile in flags/ (its model, encoder and objective at a small batch, in float32)
and every estimator with every critic (a small encoder).
"""

import argparse
import json
from collections.abc import Iterator
from pathlib import Path

import keras
import numpy as np
import tensorflow as tf
from absl import flags

from dim_tf.cli import flagfiles
from dim_tf.cli import flags as settings_flags
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment, model_settings
from dim_tf.models.fitted import FittedModel
from dim_tf.registry import ESTIMATORS, SOURCES
from dim_tf.training import plan
from dim_tf.training.model import make_model
from keras_models import DeepInfoMax, encoders, terms
from keras_models.objective_model import Batch, ObjectiveModel

ROOT = Path(__file__).parents[2]
LOSSES = Path(__file__).with_suffix(".json")
STEPS = 10
BATCH = 8
CLASSES = 10


def has_steps(flagfile: Path) -> bool:
    """Whether it trains one model, and by steps."""
    lines = flagfile.read_text().splitlines()
    models = [line.removeprefix("--model=") for line in lines if line.startswith("--model=")]
    is_fitted = bool(models) and issubclass(model_settings(models[0]), FittedModel)
    return "--mode=table" not in lines and not is_fitted


FLAGFILES = sorted(path.stem for path in (ROOT / "flags").glob("*.cfg") if has_steps(path))
LOCAL_CRITICS = ("dot", "concat")
GLOBAL_CRITICS = ("conv", "dense", "dot")

Losses = dict[str, list[float]]


def cases() -> Iterator[str]:
    """Names of all cases."""
    yield from (f"flags/{name}" for name in FLAGFILES)
    yield from (f"local/{e}/{critic}" for e in ESTIMATORS for critic in LOCAL_CRITICS)
    yield from (f"global/{e}/{critic}" for e in ESTIMATORS for critic in GLOBAL_CRITICS)


def losses(case: str) -> Losses:
    """The loss and the metrics of each of `STEPS` steps on one batch, at a constant rate.

    Args:
        case: one of `cases`.
    """
    keras.backend.clear_session()
    kind, _, name = case.partition("/")
    model, batch = of_flagfile(name) if kind == "flags" else of_critic(kind, *name.split("/"))
    steps = [model.train_step(batch) for _ in range(STEPS)]
    return {metric: [float(step[metric]) for step in steps] for metric in steps[0]}


def of_flagfile(name: str) -> tuple[ObjectiveModel, Batch]:
    """The model of a flagfile and a batch for it."""
    values = flags.FlagValues()
    settings_flags.define(values)
    path = str(ROOT / "flags" / f"{name}.cfg")
    values(["", *flagfiles.expanded([f"--flagfile={path}", "--name=golden"])])
    settings = settings_flags.experiment(values, [""])
    settings = settings.replace(
        precision="float32",
        batch_size=BATCH,
        schedule="constant",
        warmup_steps=0,
        warmup_fraction=0.0,
        learning_rate=settings.training.learning_rate or plan.learning_rate(BATCH),
        online_probe=False,
    )
    splits = random_images(settings)
    rows = np.arange(BATCH)
    images = tf.constant(splits.train.images[rows], tf.float32) / 127.5 - 1
    batch = Batch(images, tf.constant(splits.train.labels[rows]), tf.constant(rows))
    return make_model(settings, splits), batch


def random_images(settings: Experiment) -> Splits:
    """Smooth random images of the data set's size, the same ones always."""
    size = settings.data.image_size or SOURCES[settings.data.dataset].image_size or 32
    channels = 1 if settings.data.dataset in ("digits", "fashion_mnist") else 3
    coarse = np.random.default_rng(0).uniform(0, 255, (2 * BATCH, 4, 4, channels))
    images = tf.image.resize(coarse, [size, size], "bicubic").numpy().clip(0, 255).astype(np.uint8)
    split = Split(images, np.arange(2 * BATCH) % CLASSES)
    return Splits("golden", split, split, tuple(map(str, range(CLASSES))), "random images")


def of_critic(kind: str, estimator: str, critic: str) -> tuple[DeepInfoMax, Batch]:
    """A small encoder with one term of mutual information, and a batch for it."""
    keras.mixed_precision.set_global_policy("float32")
    keras.utils.set_random_seed(0)
    encoder = encoders.ConvNet((16, 16, 3), ((8, 4, 2, 1), (16, 4, 2, 1)), (32,), 0, 8)
    make = {"local": terms.local_mutual_information, "global": terms.global_mutual_information}
    settings = {"units": 16} if critic == "dot" else {}
    model = DeepInfoMax(encoder, [make[kind](critic, estimator, **settings)])
    model.compile(1e-3)
    model.build()
    images = np.random.default_rng(1).uniform(-1, 1, (BATCH, 16, 16, 3)).astype(np.float32)
    return model, Batch(tf.constant(images))


def differences(before: Losses, after: Losses) -> dict[str, float]:
    """For each metric, the largest difference as a fraction of its largest value.

    A metric that only one of them has differs infinitely.
    """
    errors = {}
    for name in before.keys() | after.keys():
        if name not in before or name not in after:
            errors[name] = float("inf")
            continue
        a, b = np.array(before[name]), np.array(after[name])
        errors[name] = float(np.abs(a - b).max() / max(np.abs(a).max(), 1e-6))
    return errors


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("action", choices=("write", "check"))
    parser.add_argument("--tolerance", type=float, default=1e-5, help="relative, of check")
    parser.add_argument("--only", default="", help="cases whose name contains this")
    arguments = parser.parse_args()
    names = [case for case in cases() if arguments.only in case]
    if arguments.action == "write":
        table = json.loads(LOSSES.read_text()) if arguments.only else {}
        table |= {case: losses(case) for case in names}
        LOSSES.write_text(json.dumps(table, indent=1) + "\n", encoding="utf-8")
        return 0
    table, failures = json.loads(LOSSES.read_text()), 0
    for case in names:
        metric, difference = max(
            differences(table[case], losses(case)).items(), key=lambda item: item[1]
        )
        differs = not difference <= arguments.tolerance  # also where it is NaN
        failures += differs
        sign = "  DIFFERS" if differs else ""
        print(f"{case:40} {metric:24} {difference:.1e}{sign}", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    raise SystemExit(main())
