"""Trains short runs and measures them by probes and by the proxies that need no labels.

    python benchmarks/label_free.py --data_dir=$TFDS_DATA_DIR --tiny_dir=tiny10k/ \
        --fashion_dir=/usr/share/datasets/fashion-mnist

Trains basic32x32 on four data sets (10,000 images at most, 32 pixels) by each of `OBJECTIVES` in
turn, and takes the probes (nearest neighbours, linear) and all proxies of conv, fc and global at
the steps `STEPS`; likewise of random weights, of raw pixels and of exported/dim_cifar10/1. Writes
OUT/rows/NAME.json for each run; the same command resumes after an interruption, and --minutes ends
it before a run that would begin later. A data set whose folder is not given is left out.
label_free_report.py makes the tables and the figure of docs/LABEL_FREE.md from the rows.
"""

import argparse
import dataclasses
import json
import os
import time
from collections.abc import Callable
from pathlib import Path

os.environ.setdefault("TF_CPP_MIN_LOG_LEVEL", "2")
os.environ.setdefault("OPENBLAS_NUM_THREADS", "1")  # more wait busily where others use the machine

import keras
import numpy as np
import tensorflow as tf

from dim_tf import data
from dim_tf.data import image_ops
from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import label_free, linear_classifier, perturbations, saved_encoder
from dim_tf.evaluation.attribute_metrics import by_attribute, means
from dim_tf.evaluation.evaluation_data import EvaluationData, EvaluationSplit
from dim_tf.evaluation.measures import geometry
from dim_tf.evaluation.measures.knn import NearestNeighbours
from dim_tf.evaluation.representation import Representation
from dim_tf.experiment import Experiment
from dim_tf.system.files import atomic_write_text
from dim_tf.training import loop
from dim_tf.training.model import make_encoder

SIZE = 32
TRAINING_IMAGES = 10_000
PROBE_TRAIN, PROBE_TEST = 2500, 1500
PROXY_IMAGES = 500  # the first test images: perturbed copies of them are encoded too
PRETEXT_TRAIN, PRETEXT_TEST = 300, 250
TINY_CLASSES = 50  # of Tiny ImageNet's 200, whose images are measured: each fourth
STEPS = (50, 150)
SHOWN_ENDPOINTS = ("conv", "fc", "global")

COMMON = {
    "encoder": "basic32x32",
    "image_size": SIZE,
    "precision": "bfloat16",
    "batch_size": 100,
    "steps": STEPS[-1],
    "epochs": 1000,
    "learning_rate": 1e-3,
    "schedule": "cosine",
    "warmup_steps": 20,
    "online_probe": False,
    "checkpoint_every": STEPS[-1],
    "log_every": STEPS[-1],
    "track": "none",
    "resume": False,
}
DIM = {"gamma": 0.0, "critic_units": 128}
VIEWS = {"color_jitter_strength": 0.5, "min_crop_scale": 0.2}
TWO_VIEWS = {
    **DIM,
    **VIEWS,
    "views": 2,
    "pairs": "global-global",
    "estimator": "infonce",
    "critic_temperature": 0.2,
    "weight_decay": 0.05,
}
OBJECTIVES: dict[str, dict] = {
    "two views": TWO_VIEWS,
    "dim infonce": {**DIM, "estimator": "infonce"},
    "nat": {"model": "nat"},
    "ae": {"model": "ae"},
    "vicreg": {"model": "vicreg", **{f"vicreg.{name}": value for name, value in VIEWS.items()}},
    "dim jsd": {**DIM, "estimator": "jsd"},
    "barlow twins": {
        "model": "barlow_twins",
        **{f"barlow_twins.{name}": value for name, value in VIEWS.items()},
    },
    "vae": {"model": "vae"},
}
SECOND_SEED = ("two views", "ae")  # trained again, if time is left

PERTURBATIONS = ("natural", "strong", "tilted", "blurred", "inverted")
PRETEXT_TASKS = {"rotation": perturbations.rotations, "quadrant": perturbations.quadrants}

Encode = Callable[[np.ndarray], dict[str, np.ndarray]]


@dataclasses.dataclass(frozen=True)
class Measured:
    """The images that a representation is measured on.

    Attributes:
        splits: What is trained on.
        probe: The labelled images of the probes.
        copies: uint8 [M, H, W, C] by perturbation, of the first test images.
        pretext: By task the transformed training and test images, uint8 [T, N, H, W, C] each.
    """

    splits: Splits
    probe: EvaluationData
    copies: dict[str, np.ndarray]
    pretext: dict[str, tuple[np.ndarray, np.ndarray]]

    @classmethod
    def of(cls, splits: Splits, train: EvaluationSplit, test: EvaluationSplit) -> "Measured":
        """With the perturbed copies of the test images."""
        images = test.images[:PROXY_IMAGES]
        return cls(
            splits,
            EvaluationData(train, test, splits.label_names, splits.note),
            {name: perturbations.perturb(images, name) for name in PERTURBATIONS},
            {
                name: (transform(train.images[:PRETEXT_TRAIN]), transform(images[:PRETEXT_TEST]))
                for name, transform in PRETEXT_TASKS.items()
            },
        )


def load(dataset: str, data_dir: str) -> Measured:
    """The first images of a data set, 32 pixels a side."""
    name = "folder" if dataset == "tiny imagenet" else dataset
    splits = data.load(name, data.DataRequest(data_dir=data_dir, image_size=SIZE, download=False))
    train = Split(_pixels(splits.train, TRAINING_IMAGES), splits.train.labels[:TRAINING_IMAGES])
    splits = dataclasses.replace(splits, train=train, report=None)
    if dataset != "tiny imagenet":
        probe_train = EvaluationSplit(train.images[:PROBE_TRAIN], train.labels[:PROBE_TRAIN])
        test = EvaluationSplit(_pixels(splits.test, PROBE_TEST), splits.test.labels[:PROBE_TEST])
        return Measured.of(splits, probe_train, test)
    # Of 200 classes with ten test images each, accuracies would hardly differ from chance.
    images = np.concatenate([train.images, _pixels(splits.test, len(splits.test))])
    labels = np.concatenate([train.labels, splits.test.labels])
    step = len(splits.label_names) // TINY_CLASSES
    kept = np.random.default_rng(0).permutation(np.flatnonzero(labels % step == 0))
    halves = np.array_split(kept, 2)
    pieces = [EvaluationSplit(images[half], labels[half] // step) for half in halves]
    splits = dataclasses.replace(splits, label_names=splits.label_names[::step])
    return Measured.of(splits, *pieces)


def _pixels(split: Split, count: int) -> np.ndarray:
    return np.ascontiguousarray(split.images[np.arange(min(count, len(split)))])


def encode_with(encoder: keras.Model) -> Encode:
    """Images -> the flattened endpoints of an encoder of ours."""
    channels = encoder.image_shape[-1]

    @tf.function(input_signature=[tf.TensorSpec([None, *encoder.image_shape])])
    def traced(x):
        outputs = encoder(x, training=False)
        return {name: tf.reshape(outputs[name], [len(x), -1]) for name in SHOWN_ENDPOINTS}

    def endpoints(pixels):
        return traced(image_ops.encoder_input(image_ops.to_unit(pixels), channels))

    return _in_batches(endpoints)


def encode_with_saved(path: str) -> Encode:
    """Images -> the flattened endpoints of an exported encoder of RGB images."""
    encoder = saved_encoder.load(path)

    def endpoints(pixels):
        outputs = encoder.endpoints(image_ops.with_channels(image_ops.to_unit(pixels), 3))
        return {name: tf.reshape(outputs[name], [len(pixels), -1]) for name in SHOWN_ENDPOINTS}

    return _in_batches(endpoints)


def encode_pixels(images: np.ndarray) -> dict[str, np.ndarray]:
    """Raw pixels in [-1, 1]."""
    return {"pixels": images.reshape(len(images), -1).astype(np.float32) / 127.5 - 1}


def _in_batches(endpoints) -> Encode:
    def encode(images):
        batches = [
            {name: x.numpy() for name, x in endpoints(tf.constant(images[i : i + 250])).items()}
            for i in range(0, len(images), 250)
        ]
        return {name: np.concatenate([batch[name] for batch in batches]) for name in batches[0]}

    return encode


def measure(encode: Encode, measured: Measured, step: int, per_image: dict) -> list[dict]:
    """The probes and proxies of each endpoint.

    Args:
        encode: The representation.
        measured: The images.
        step: Of training, for the points.
        per_image: Gets the values of each image of the proxies that have such, float16 by
            "STEP/ENDPOINT/PROXY", and "STEP/ENDPOINT/features" of the first test images.
    """
    probe = measured.probe
    train, test = encode(probe.train.images), encode(probe.test.images)
    copies = {name: encode(images) for name, images in measured.copies.items()}
    pretext = {
        task: [[encode(images) for images in transformed] for transformed in splits]
        for task, splits in measured.pretext.items()
    }
    points = []
    for endpoint in train:
        features = Representation({endpoint: train[endpoint]}, {endpoint: test[endpoint]}, probe)
        originals = test[endpoint][:PROXY_IMAGES]
        views = {name: copy[endpoint] for name, copy in copies.items()}
        transformed = {
            task: tuple(np.stack([one[endpoint] for one in split]) for split in splits)
            for task, splits in pretext.items()
        }
        values, of_images = proxies(originals, views, transformed)
        knn = next(iter(NearestNeighbours(features).run())).value
        points.append(
            {
                "step": step,
                "endpoint": endpoint,
                "size": train[endpoint].shape[1],
                "knn": round(knn, 5),
                "linear": round(linear_accuracy(features, endpoint), 5),
                "proxies": {name: round(float(value), 6) for name, value in values.items()},
            }
        )
        for name, array in {**of_images, "features": originals}.items():
            per_image[f"{step}/{endpoint}/{name}"] = array.astype(np.float16)
    return points


def proxies(
    originals: np.ndarray,
    views: dict[str, np.ndarray],
    pretext: dict[str, tuple[np.ndarray, ...]],
) -> tuple[dict[str, float], dict[str, np.ndarray]]:
    """All proxies of one endpoint, and the values of each image of those that have such.

    Args:
        originals: float32 [N, F].
        views: Likewise, by perturbation.
        pretext: By task the transformed training and test images', float32 [T, M, F] each.
    """
    of_images = {"half agreement": label_free.half_agreement(originals)}
    for task, splits in pretext.items():
        of_images[f"pretext neighbours, {task}"] = label_free.pretext_neighbours(*splits)
        of_images[f"pretext probe, {task}"] = label_free.pretext_probe(*splits)
    values = {
        "effective rank": geometry.effective_rank(originals),
        "spectrum decay": label_free.spectrum_decay(originals),
        "intrinsic dimension": label_free.intrinsic_dimension(originals),
        "uniformity": geometry.uniformity(originals),
        "cluster stability": label_free.cluster_stability(originals),
        "silhouette": label_free.silhouette(originals),
        "lidar": label_free.lidar(np.stack([originals, *views.values()])),
    }
    for name, copies in views.items():
        ranks = label_free.retrieval_ranks(copies, originals)
        of_images[f"retrieval, {name}"] = 1 / ranks
        of_images[f"agreement, {name}"] = label_free.neighbour_agreement(copies, originals)
        values[f"alignment, {name}"] = geometry.alignment(copies, originals)
        values[f"relative alignment, {name}"] = label_free.relative_alignment(copies, originals)
        values[f"cluster consistency, {name}"] = label_free.cluster_consistency(originals, copies)
    return values | {name: float(array.mean()) for name, array in of_images.items()}, of_images


def linear_accuracy(features: Representation, endpoint: str) -> float:
    """Logistic regression with C = 3, or 10 of fewer than 1,000 features; of attributes the AUC."""
    train, test, probe = features.train[endpoint], features.test[endpoint], features.data
    loss = linear_classifier.softmax_loss if probe.has_classes else linear_classifier.sigmoid_loss
    problem = linear_classifier.Problem(train, probe.train.labels, len(probe.label_names), loss)
    classifier = problem.fit(10.0 if train.shape[1] < 1000 else 3.0, tolerance=1e-4)
    scores = classifier.scores(test)
    if probe.has_classes:
        return float(np.mean(scores.argmax(axis=1) == probe.test.labels))
    return means(by_attribute(scores, probe.test.labels, probe.label_names))["auc"]


class MeasureAtSteps(keras.callbacks.Callback):
    """Measures the encoder while it is trained, by a copy of it in float32."""

    def __init__(self, encoder: keras.Model, encode: Encode, measured: Measured):
        super().__init__()
        self.points: list[dict] = []
        self.per_image: dict[str, np.ndarray] = {}
        self._encoder, self._encode, self._measured = encoder, encode, measured
        self._step = 0

    def on_train_batch_end(self, batch, logs=None):
        self._step += 1
        if self._step in STEPS:
            self._encoder.set_weights(self.model.encoder.get_weights())
            self.points += measure(self._encode, self._measured, self._step, self.per_image)


def experiment_of(objective: str, dataset: str, seed: int, folder: Path) -> Experiment:
    """The settings of a run."""
    source = "folder" if dataset == "tiny imagenet" else dataset
    experiment = Experiment.of(
        name=folder.name,
        run_dir=str(folder),
        dataset=source,
        data_dir=str(folder),  # not read: the data are loaded once for all runs
        recipe="paper",
        seed=seed,
        **{**COMMON, **OBJECTIVES[objective]},
    )
    if experiment.model.has_two_views:
        return experiment
    return experiment.replace(augmentation="none")


def queue(datasets: list[str]) -> list[tuple[str, str, int]]:
    """(data set, objective or reference, seed) of each row, in the order in which they run."""
    references = [("pixels", 0), ("random", 0), ("random", 1)]
    trained = [(objective, 0) for objective in OBJECTIVES]
    trained += [(objective, 1) for objective in SECOND_SEED]
    rows = [(dataset, *row) for row in references + trained for dataset in datasets]
    if "cifar10" in datasets:
        rows.insert(3 * len(datasets), ("cifar10", "exported", 0))
    return rows


def main() -> None:
    """The command line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--data_dir", default="", help="of cifar10 and celeb_a")
    parser.add_argument("--tiny_dir", default="", help="Tiny ImageNet's images by class")
    parser.add_argument("--fashion_dir", default="", help="of fashion_mnist")
    parser.add_argument("--out", type=Path, default=Path("runs/label_free"))
    parser.add_argument("--minutes", type=float, default=float("inf"))
    arguments = parser.parse_args()
    began = time.perf_counter()
    folders = {
        "cifar10": arguments.data_dir,
        "fashion_mnist": arguments.fashion_dir,
        "celeb_a": arguments.data_dir,
        "tiny imagenet": arguments.tiny_dir,
    }
    folders = {name: folder for name, folder in folders.items() if folder}
    measured: dict[str, Measured] = {}
    keras.mixed_precision.set_global_policy("float32")
    setting = experiment_of("ae", "cifar10", 0, arguments.out).replace(precision="float32")
    encoder = make_encoder(setting, (SIZE, SIZE, 3))
    encoder.build()
    encode = encode_with(encoder)
    (arguments.out / "rows").mkdir(parents=True, exist_ok=True)
    for dataset, objective, seed in queue(list(folders)):
        name = f"{dataset}-{objective}-seed{seed}".replace(" ", "_")
        path = arguments.out / "rows" / f"{name}.json"
        if path.exists():
            continue
        if time.perf_counter() - began > 60 * arguments.minutes:
            break
        if dataset not in measured:
            measured[dataset] = load(dataset, folders[dataset])
        began_row = time.perf_counter()
        row = {"dataset": dataset, "objective": objective, "seed": seed}
        per_image: dict[str, np.ndarray] = {}
        if objective in OBJECTIVES:
            experiment = experiment_of(objective, dataset, seed, arguments.out / name)
            callback = MeasureAtSteps(encoder, encode, measured[dataset])
            loop.train(experiment, measured[dataset].splits, callbacks=[callback])
            points, per_image = callback.points, callback.per_image
            row["settings"] = {**COMMON, **OBJECTIVES[objective]}
        elif objective == "random":
            keras.mixed_precision.set_global_policy("float32")
            random = make_encoder(setting.replace(seed=seed), (SIZE, SIZE, 3))
            random.build()
            encoder.set_weights(random.get_weights())
            points = measure(encode, measured[dataset], 0, per_image)
        else:
            saved = objective == "exported"
            other = encode_with_saved("exported/dim_cifar10/1") if saved else encode_pixels
            points = measure(other, measured[dataset], 0, per_image)
        np.savez_compressed(path.with_suffix(".npz"), **per_image)
        row |= {"seconds": round(time.perf_counter() - began_row, 1), "points": points}
        atomic_write_text(path, json.dumps(row) + "\n")
        last = [point for point in points if point["step"] == points[-1]["step"]]
        summary = ", ".join(f"{p['endpoint']} {p['knn']:.3f}/{p['linear']:.3f}" for p in last)
        print(f"{name}: {summary} ({row['seconds']:.0f} s)", flush=True)


if __name__ == "__main__":
    main()
