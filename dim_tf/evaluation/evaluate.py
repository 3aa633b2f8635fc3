"""Runs the measures on an encoder, and the quick ones on its references."""

import dataclasses
import pkgutil
import time
from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import tensorflow as tf

from dim_tf.data.splits import Splits
from dim_tf.evaluation import bootstrap, evaluation_file, feature_choice, projector
from dim_tf.evaluation.array_storage import ArrayStorage
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.figures import Figure
from dim_tf.evaluation.measure import Illustrated, Measure, Result
from dim_tf.evaluation.measure_spec import (
    AssignClusters,
    Encode,
    MeasureContext,
    MeasureSpec,
    TrainableEncoders,
)
from dim_tf.evaluation.measures.probes import ignored_settings
from dim_tf.evaluation.report.formatting import join_with_and, reference_title
from dim_tf.evaluation.representation import ENDPOINTS, Representation
from dim_tf.experiment import Experiment
from dim_tf.registry import (
    DEFAULT_MEASURES,
    LABEL_FREE_MEASURES,
    MEASURES,
    REFERENCE_MEASURES,
    REFERENCE_TITLES,
)
from dim_tf.system import memory
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, RunError
from dim_tf.system.io_errors import reason

FREE_FRACTION = 0.5  # of the free memory, for images and features; measures need the rest

# Reasons why a measure may fail: its own numbers, or the memory.
_FAILURES = (RunError, MemoryError, RuntimeError, ValueError, tf.errors.OpError)


@dataclass(frozen=True)
class Evaluation:
    """The results of all measures.

    Attributes:
        content: Content of evaluation.json.
        figures: Figures for the report.
        projected: For TensorBoard's projector, the global feature of the first test images; None if
            the measure projection was not requested.
        failed: The reason, by name of each measure that could not be finished.
        results: Results of all measures, with what they were computed from.
        reference_results: The same, by reference.
    """

    content: dict[str, Any]
    figures: list[Figure]
    projected: Representation | None
    failed: dict[str, str]
    results: list[Result] = field(default_factory=list)
    reference_results: dict[str, list[Result]] = field(default_factory=dict)


@dataclass
class MeasureOutputs:
    """The outputs of the measures of one representation.

    Attributes:
        results: Results of all measures.
        figures: Figures for the report.
        metrics: `MetricInfo` as dicts, by metric.
        protocol: How each metric was measured, or why it was not.
        pooling: How endpoints were averaged over their locations, by endpoint.
        cost: Seconds, by measure.
        failed: The reason, by measure that failed.
        projected: Features for TensorBoard's projector.
        feature: The feature that the encoder returns, as from `feature_choice.choose`; empty for
            references.
    """

    results: list[Result] = field(default_factory=list)
    figures: list[Figure] = field(default_factory=list)
    metrics: dict[str, dict[str, Any]] = field(default_factory=dict)
    protocol: dict[str, str] = field(default_factory=dict)
    pooling: dict[str, str] = field(default_factory=dict)
    cost: dict[str, float] = field(default_factory=dict)
    failed: dict[str, str] = field(default_factory=dict)
    projected: Representation | None = None
    feature: dict[str, Any] = field(default_factory=dict)


def spec(name: str) -> MeasureSpec:
    """A measure of `MEASURES`; its module is imported now.

    Args:
        name: Name of the measure, as in --measures.
    """
    return pkgutil.resolve_name(MEASURES[name])


def run_measures(
    encode: Encode,
    references: Mapping[str, Encode],
    splits: Splits,
    experiment: Experiment,
    encoders: TrainableEncoders | None = None,
    assign_clusters: AssignClusters | None = None,
) -> Evaluation:
    """Measures a representation, and runs the quick measures on its references.

    A measure that fails has no values from then on; the others still run.

    Args:
        encode: images -> the representation that is measured; called once for the images of
            `splits`.
        references: The same for references, by name; features of only one at a time are in memory.
        splits: The data set.
        experiment: Says which measures run, and has their settings.
        encoders: For measures that train the encoder; None: these are left out.
        assign_clusters: The assignment of a model that assigns images to clusters.
    """
    for name in ignored_settings(experiment):
        say(f"evaluate: --{name} has no effect with --probe=fast; give --probe=authors to use it")
    data = EvaluationData.from_splits(splits, storage=_storage(experiment))
    outputs = _run_on_encoder(encode, data, experiment, encoders, assign_clusters)
    content = evaluation_file.nest(outputs.results)
    if data.has_labels and not data.has_classes:
        content["attributes"] = {
            result.endpoint: result.attributes
            for result in outputs.results
            if result.metric == "linear_probe_auc" and result.endpoint == "global"
        }

    began = time.perf_counter()
    measured = {*ENDPOINTS, "pixels", outputs.feature["name"]}
    by_reference = {
        name: _run_on_reference(name, _encoding_only(encode_reference, measured), data, experiment)
        for name, encode_reference in references.items()
    }
    cost = outputs.cost | {"references": time.perf_counter() - began}
    failed, pooling = dict(outputs.failed), dict(outputs.pooling)
    for name, of_reference in by_reference.items():
        pooling |= of_reference.pooling
        failed |= {
            f"{measure} of {reference_title(name)}": why
            for measure, why in of_reference.failed.items()
        }
    protocol = _protocol(outputs.protocol, splits, data, references, pooling, experiment)
    content |= {
        "measures": outputs.metrics,
        evaluation_file.FEATURE: outputs.feature,
        "references": {
            name: _without_uncertainty(of_reference.results)
            for name, of_reference in by_reference.items()
        },
        "protocol": protocol | {name: f"failed: {why}" for name, why in failed.items()},
        "cost": {name: round(seconds, 1) for name, seconds in cost.items()},
    }
    return Evaluation(
        content,
        outputs.figures,
        outputs.projected,
        failed,
        outputs.results,
        {name: of_reference.results for name, of_reference in by_reference.items()},
    )


def _storage(experiment: Experiment) -> ArrayStorage:
    gibibytes = experiment.evaluation.memory
    limit = int(gibibytes * 2**30) if gibibytes else int(FREE_FRACTION * memory.available_bytes())
    return ArrayStorage(limit, experiment.run_path)


def _protocol(
    of_metrics: dict[str, str],
    splits: Splits,
    data: EvaluationData,
    references: Iterable[str],
    pooling: dict[str, str],
    experiment: Experiment,
) -> dict[str, str]:
    """How everything was measured."""
    protocol = {
        "data": data.note,
        "images": (f"fingerprint {splits.fingerprint}, of some pixels of training and test images"),
    }
    if splits.label_names:
        protocol["labels_seen"] = f"fingerprint {splits.labels_fingerprint}, of all labels"
    protocol |= of_metrics
    if references:
        names = join_with_and([f"of {reference_title(name)}" for name in references])
        protocol["references"] = f"the quick measures {names}, probes with one seed"
    if pooling:
        endpoints = "; ".join(f"{endpoint}: {text}" for endpoint, text in pooling.items())
        protocol["pooled"] = (
            f"{endpoints}: means over the locations, for at most "
            f"{experiment.evaluation.max_features:,} numbers an image (--max_features)"
        )
    groups = bootstrap.group_count(len(data.test), data.test.groups)
    protocol["uncertainty"] = (
        f"std: over seeds; ci95: bootstrap over the {f'{groups:,} groups of ' if groups else ''}"
        f"test images, percentiles of {bootstrap.RESAMPLES} resamples"
    )
    return protocol


def _without_uncertainty(results: Iterable[Result]) -> dict[str, Any]:
    content = evaluation_file.nest(results)
    del content["uncertainty"]
    return content


# The features are local to these two, so that they are freed at the end: CelebA's conv features
# take 5.3 GB.


def _encoding_only(encode: Encode, endpoints: Collection[str]) -> Encode:
    return lambda data: encode(data).only(endpoints)


def _run_on_encoder(encode, data, experiment, encoders, assign_clusters) -> MeasureOutputs:
    began = time.perf_counter()
    encoded = encode(data)
    seconds = {"features": time.perf_counter() - began}
    began = time.perf_counter()
    feature = feature_choice.choose(
        encoded, experiment.export.feature, experiment.evaluation.max_features
    )
    seconds["feature"] = time.perf_counter() - began
    say(f"evaluate: feature: {feature['name']}, {feature['reason']}")
    measured = {*ENDPOINTS, feature["name"]}
    context = MeasureContext(
        encoded.only(measured),
        _encoding_only(encode, measured),
        experiment,
        experiment.evaluation.probe_seeds,
        encoders,
        assign_clusters,
    )
    del encoded
    _say_pooling(context.representation.pooling, experiment)
    outputs = _run("encoder", context, MEASURES)
    outputs.cost = {**seconds, **outputs.cost}
    outputs.feature = feature
    outputs.protocol = {
        "endpoints": context.representation.endpoint_summary,
        **outputs.protocol,
    }
    outputs.pooling = context.representation.pooling
    if "projection" in experiment.evaluation.measure_names:
        outputs.projected = projector.reduce(context.representation)
    return outputs


def _run_on_reference(name, encode, data, experiment) -> MeasureOutputs:
    try:
        representation = encode(data)
    except (*_FAILURES, InputError) as error:
        if name in REFERENCE_TITLES:
            raise
        # A model from elsewhere; its failure must not lose the run's own values.
        say(f"{name:>14}  features failed: {reason(error)}")
        return MeasureOutputs(failed={"features": reason(error)})
    context = MeasureContext(representation, encode, experiment, 1, None)
    pooling = {}
    if name == "pixels":
        pooling = representation.pooling
    elif name not in REFERENCE_TITLES:
        pooling = {
            f"{endpoint} of {name}": text for endpoint, text in representation.pooling.items()
        }
    # The other references have the endpoints of the encoder.
    _say_pooling(pooling, experiment)
    outputs = _run(name, context, REFERENCE_MEASURES)
    outputs.pooling = pooling
    return outputs


def _say_pooling(pooling: dict[str, str], experiment: Experiment) -> None:
    for endpoint, text in pooling.items():
        say(f"evaluate: {endpoint}: {text} (--max_features={experiment.evaluation.max_features})")


def _run(owner: str, context: MeasureContext, names: Iterable[str]) -> MeasureOutputs:
    """Runs those of the measures that were requested.

    Args:
        owner: Whose representation it is, for the printed lines.
        context: What is measured.
        names: Names of the measures.
    """
    outputs = MeasureOutputs()
    asked_for = context.experiment.evaluation.measure_names
    if asked_for == DEFAULT_MEASURES and not context.representation.data.has_labels:
        asked_for = (*asked_for, *LABEL_FREE_MEASURES)
    for name in names:
        if name not in asked_for:
            continue
        measure_spec = spec(name)
        if unmet := measure_spec.unmet_requirement(context):
            outputs.protocol[name] = f"left out: {unmet}"
            continue
        began = time.perf_counter()
        measure = measure_spec.build(context)
        results: list[Result] = []
        try:
            for result in measure.run():
                _say_result(owner, result)
                results.append(result)
            if isinstance(measure, Illustrated):
                outputs.figures += measure.figures()
        except _FAILURES as error:
            outputs.failed[name] = reason(error)
            say(f"{owner:>14}  {name} failed: {outputs.failed[name]}")
        else:
            outputs.cost[name] = time.perf_counter() - began
            outputs.protocol |= measure.protocol
        # Results that came before a failure are as good as without it.
        outputs.results += results
        outputs.metrics |= _metrics(measure, results, is_complete=name not in outputs.failed)
    return outputs


def _metrics(
    measure: Measure, results: Iterable[Result], is_complete: bool
) -> dict[str, dict[str, Any]]:
    """The metrics of a measure as dicts; for a failed one, only those that have results."""
    measured = {result.metric for result in results}
    return {
        name: dataclasses.asdict(info)
        for name, info in measure.metrics.items()
        if is_complete or name in measured
    }


def _say_result(owner: str, result: Result) -> None:
    say(f"{owner:>14}  {result.metric:<32} {result.endpoint:<8} {result.value:.4f}")
