"""Measures an encoder and the floors beside it; evaluation.json."""

import dataclasses
import math
import time
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Any

import keras
import tensorflow as tf

from dim_tf.console import say
from dim_tf.data.splits import Splits
from dim_tf.errors import RunError
from dim_tf.evaluation import bootstrap, excerpt, projector
from dim_tf.evaluation.clusters import Clusters
from dim_tf.evaluation.few_labels import FewLabels
from dim_tf.evaluation.fine_tuning import FineTuning
from dim_tf.evaluation.geometry import Geometry
from dim_tf.evaluation.measure import NO_LABELS, Illustrated, Measure, Result
from dim_tf.evaluation.mine import MutualInformation
from dim_tf.evaluation.ndm import NeuralDependencyMeasure
from dim_tf.evaluation.neighbours import NearestNeighbours
from dim_tf.evaluation.pictures import Picture
from dim_tf.evaluation.prior_match import PriorMatch
from dim_tf.evaluation.probes import Probe
from dim_tf.evaluation.projection import PlaneProjections
from dim_tf.evaluation.reconstruction import Reconstruction
from dim_tf.evaluation.report.values import listed
from dim_tf.evaluation.representation import Representation
from dim_tf.evaluation.svm import SupportVectorMachine
from dim_tf.experiment import Experiment
from dim_tf.files import replace_text, with_checksum
from dim_tf.writing import reason

Encode = Callable[[excerpt.Excerpt], Representation]

# What a measure may fail of: its own numbers, the memory, or a process of the SVM that was killed,
# which joblib tells as a RuntimeError.
_FAILURES = (RunError, MemoryError, RuntimeError, ValueError, tf.errors.OpError)


@dataclasses.dataclass(frozen=True)
class Networks:
    """What fine-tuning starts from.

    Attributes:
        encoder: the trained one.
        random_encoder: of the same architecture, not trained.
    """

    encoder: keras.Model
    random_encoder: keras.Model


@dataclasses.dataclass(frozen=True)
class Subject:
    """What is measured.

    Attributes:
        features: its representation of the data.
        encode: images as excerpts -> their representation, by the same encoder.
        experiment: the settings of the measures.
        seeds: trainings averaged for each figure of a probe.
        networks: the encoder itself; None where there is none that can be trained.
    """

    features: Representation
    encode: Encode
    experiment: Experiment
    seeds: int
    networks: Networks | None


@dataclasses.dataclass(frozen=True)
class Entry:
    """A measure that --measures can ask for.

    Attributes:
        make: builds it.
        floor: whether it is measured of random weights and of pixels too.
        labels: whether it needs labels.
        classes: whether it needs labels that are classes.
        networks: whether it needs the encoder itself.
        prior: whether it needs one that prior matching trained.
    """

    make: Callable[[Subject], Measure]
    floor: bool = False
    labels: bool = False
    classes: bool = False
    networks: bool = False
    prior: bool = False

    def lacks(self, subject: Subject) -> str:
        """Why it cannot measure the subject; empty if it can."""
        if (self.labels or self.classes) and not subject.features.splits.labelled:
            return NO_LABELS
        if self.classes and not subject.features.splits.has_classes:
            return "needs one class an image; these labels are attributes"
        if self.networks and subject.networks is None:
            return "needs an encoder that can be trained: that of a run"
        if self.prior:
            if subject.networks is None or not subject.experiment.model.matched_prior:
                return (
                    "needs an encoder that prior matching trained: that of a run of --model=dim or "
                    "aae with --gamma"
                )
            if subject.features.test["global"].shape[1] != subject.networks.encoder.global_dim:
                return (
                    "needs one global feature an image; this encoder has a map of them, each of "
                    "which prior matching takes as a sample"
                )
        return ""


def _probe(hidden: bool) -> Callable[[Subject], Probe]:
    def make(s):
        e = s.experiment
        return Probe(s.features, hidden, e.probe_epochs, s.seeds, e.probe_learning_rate)

    return make


def _few_labels(s):
    e = s.experiment
    return FewLabels(s.features, e.probe_epochs, s.seeds, e.probe_learning_rate)


def _fine_tuning(s):
    e = s.experiment
    return FineTuning(
        s.networks.encoder,
        s.networks.random_encoder,
        s.features.splits,
        e.fine_tuning_epochs,
        e.fine_tuning_share,
        e.learning_rate,
        e.seed,
        e.max_features,
    )


# In the order of the report. The names are those of `Experiment`.
MEASURES: dict[str, Entry] = {
    "knn": Entry(lambda s: NearestNeighbours(s.features), floor=True),
    "linear": Entry(_probe(hidden=False), floor=True, labels=True),
    "mlp": Entry(_probe(hidden=True), floor=True, labels=True),
    "few_labels": Entry(_few_labels, classes=True),
    "svm": Entry(lambda s: SupportVectorMachine(s.features), classes=True),
    "fine_tuning": Entry(_fine_tuning, classes=True, networks=True),
    "clusters": Entry(lambda s: Clusters(s.features), floor=True, classes=True),
    "geometry": Entry(lambda s: Geometry(s.features, s.encode), floor=True),
    "projection": Entry(lambda s: PlaneProjections(s.features)),
    "reconstruction": Entry(lambda s: Reconstruction(s.features)),
    "prior_match": Entry(
        lambda s: PriorMatch(s.features, s.experiment.model.matched_prior), prior=True
    ),
    "ndm": Entry(lambda s: NeuralDependencyMeasure(s.features)),
    "mine": Entry(lambda s: MutualInformation(s.features)),
}


@dataclasses.dataclass(frozen=True)
class Evaluation:
    """What was measured.

    Attributes:
        figures: what goes into evaluation.json.
        pictures: for the report.
        projected: what TensorBoard's projector shows: the global feature of the first test images
            alone; None where the measure projection was not asked for.
        failed: why, by the name of each measure that could not be finished.
    """

    figures: dict[str, Any]
    pictures: list[Picture]
    projected: Representation | None
    failed: dict[str, str]


@dataclasses.dataclass
class _Taken:
    """Of one subject, by the names of --measures or of figures."""

    results: list[Result] = dataclasses.field(default_factory=list)
    pictures: list[Picture] = dataclasses.field(default_factory=list)
    kinds: dict[str, Any] = dataclasses.field(default_factory=dict)
    protocol: dict[str, str] = dataclasses.field(default_factory=dict)
    pooled: dict[str, str] = dataclasses.field(default_factory=dict)
    cost: dict[str, float] = dataclasses.field(default_factory=dict)
    failed: dict[str, str] = dataclasses.field(default_factory=dict)
    projected: Representation | None = None


def evaluate(
    encode: Encode,
    floors: dict[str, Encode],
    splits: Splits,
    experiment: Experiment,
    networks: Networks | None = None,
) -> Evaluation:
    """Measures a representation, and the cheap measures of some others as floors.

    A measure that fails has no figures; the others are taken nevertheless.

    Args:
        encode: images as excerpts -> their representation; called once for that of `splits`.
        floors: likewise, by name. One's features are in memory at a time.
        splits: the data.
        experiment: what is measured, and the settings of the measures.
        networks: for the measures that train the encoder; None: these are left out.
    """
    images = excerpt.of(splits)
    taken = _of_encoder(encode, images, experiment, networks)
    evaluation: dict[str, Any] = _nested(taken.results)
    if images.labelled and not images.has_classes:
        evaluation["attributes"] = {
            r.endpoint: r.attributes
            for r in taken.results
            if r.measure == "linear_probe_auc" and r.endpoint == "global"
        }

    began = time.perf_counter()
    found, failed, pooled = {}, dict(taken.failed), dict(taken.pooled)
    for whose, encode_floor in floors.items():
        floor = _of_floor(whose, encode_floor, images, experiment)
        found[whose] = _nested(floor.results)
        del found[whose]["uncertainty"]
        pooled |= floor.pooled
        failed |= {f"{name} of {_FLOORS[whose]}": why for name, why in floor.failed.items()}
    cost = taken.cost | {"floors": time.perf_counter() - began}
    named = listed([f"of {_FLOORS[whose]}" for whose in floors])
    seen = f"fingerprint {splits.fingerprint}, of some pixels of training and test images"
    protocol = {"data": images.note, "images": seen}
    if splits.label_names:
        protocol["labels_seen"] = f"fingerprint {splits.labels_fingerprint}, of all labels"
    protocol |= taken.protocol
    if floors:
        protocol["floors"] = f"the quick measures {named}, probes with one seed"
    if pooled:
        told = "; ".join(f"{endpoint}: {how}" for endpoint, how in pooled.items())
        protocol["pooled"] = (
            f"{told}: means over the locations, for at most "
            f"{experiment.evaluation.max_features:,} numbers an image (--max_features)"
        )
    protocol["uncertainty"] = (
        "std: over seeds; ci95: bootstrap over the test images, percentiles of "
        f"{bootstrap.RESAMPLES} resamples"
    )
    figures = {
        **evaluation,
        "measures": taken.kinds,
        "floors": found,
        "protocol": protocol | {name: f"failed: {why}" for name, why in failed.items()},
        "cost": {name: round(seconds, 1) for name, seconds in cost.items()},
    }
    return Evaluation(figures, taken.pictures, taken.projected, failed)


# The features that these two make end with them: CelebA's conv features take 5.3 GB.


def _of_encoder(encode, images, experiment, networks) -> _Taken:
    began = time.perf_counter()
    subject = Subject(
        encode(images), encode, experiment, experiment.evaluation.probe_seeds, networks
    )
    seconds = time.perf_counter() - began
    pooled = _told_of_pooling(subject.features, experiment)
    taken = _take("encoder", subject, MEASURES)
    taken.cost = {"features": seconds, **taken.cost}
    taken.protocol = {"endpoints": subject.features.described, **taken.protocol}
    taken.pooled = pooled
    if "projection" in experiment.evaluation.measure_names:
        taken.projected = projector.shown(subject.features)
    return taken


def _of_floor(whose, encode, images, experiment) -> _Taken:
    features = encode(images)
    pooled = _told_of_pooling(features, experiment) if whose == "pixels" else {}
    subject = Subject(features, encode, experiment, 1, None)
    taken = _take(whose, subject, {name: entry for name, entry in MEASURES.items() if entry.floor})
    taken.pooled = pooled
    return taken


def _told_of_pooling(features: Representation, experiment: Experiment) -> dict[str, str]:
    """What was averaged over its locations; says so."""
    for endpoint, how in features.pooled.items():
        say(f"evaluate: {endpoint}: {how} (--max_features={experiment.evaluation.max_features})")
    return features.pooled


def _take(whose: str, subject: Subject, entries: dict[str, Entry]) -> _Taken:
    """Those of the measures that were asked for."""
    taken = _Taken()
    for name, entry in entries.items():
        if name not in subject.experiment.evaluation.measure_names:
            continue
        if lack := entry.lacks(subject):
            taken.protocol[name] = f"left out: {lack}"
            continue
        began = time.perf_counter()
        measure = entry.make(subject)
        came = len(taken.results)
        try:
            for result in _announced(whose, measure):
                taken.results.append(result)
            if isinstance(measure, Illustrated):
                taken.pictures += measure.pictures()
        except _FAILURES as error:
            taken.failed[name] = reason(error)
            say(f"{whose:>14}  {name} failed: {taken.failed[name]}")
            # What came before is as good as without the failure.
            names = {result.measure for result in taken.results[came:]}
            kinds = {of: kind for of, kind in measure.kinds.items() if of in names}
            taken.kinds |= {of: dataclasses.asdict(kind) for of, kind in kinds.items()}
            continue
        taken.cost[name] = time.perf_counter() - began
        taken.kinds |= {of: dataclasses.asdict(kind) for of, kind in measure.kinds.items()}
        taken.protocol |= measure.protocol
    return taken


_FLOORS = {
    "random_encoder": "the encoder with random weights",
    "start_weights": "the encoder with the weights that training began with",
    "pixels": "the raw pixels",
}


def _announced(whose: str, measure: Measure) -> Iterable[Result]:
    for result in measure.run():
        row = f"{whose:>14}  {result.measure:<32} {result.endpoint:<8} {result.value:.4f}"
        say(row)
        yield result


def _nested(results: Iterable[Result]) -> dict[str, Any]:
    """{"measure": {"endpoint": value}, "uncertainty": {"measure": {"endpoint": {...}}}}."""
    values: dict[str, Any] = {}
    uncertainty: dict[str, Any] = {}
    for result in results:
        values.setdefault(result.measure, {})[result.endpoint] = result.value
        if result.uncertainty:
            spread = dataclasses.asdict(result.uncertainty)
            uncertainty.setdefault(result.measure, {})[result.endpoint] = spread
    return {**values, "uncertainty": uncertainty}


def write(folder: Path, evaluation: dict[str, Any]) -> None:
    """Writes evaluation.json, whole or not at all; what is not finite becomes null."""
    replace_text(folder / "evaluation.json", with_checksum(_finite(evaluation)))


def _finite(value):
    if isinstance(value, dict):
        return {key: _finite(inner) for key, inner in value.items()}
    if isinstance(value, (list, tuple)):
        return [_finite(inner) for inner in value]
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value
