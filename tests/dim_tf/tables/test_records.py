"""The record of a run after an attempt: metrics are replaced, but never lost."""

import pytest

from dim_tf.tables.records import REFERENCES, Record, merge

REQUESTED = {"mlp", "svm"}


def record(values, failed=None, step=1, images="a"):
    """A record of measures with one value each."""
    evaluation = {f"{name}_metric": {"conv": value} for name, value in values.items()}
    if values:
        evaluation |= {"protocol": {"step": step, "images": images}, "cost": dict(values)}
    facts = {"row": "a", "seed": 0, "settings": {}, "cost": {}}
    facts["versions"] = {"commit": f"c{values}"}
    provenance = {"machine": "", "date": "", "command": "", "attempt": str(values)}
    return Record(
        measures=list(values), evaluation=evaluation, failed=failed or {}, **facts, **provenance
    )


def values_of(record):
    suffix = "_metric"
    by_measure = {
        k.removesuffix(suffix): v for k, v in record.evaluation.items() if k.endswith(suffix)
    }
    assert list(by_measure) == record.measures
    return {name: endpoints["conv"] for name, endpoints in by_measure.items()}


def test_metrics_of_the_same_weights_are_combined():
    merged = merge(record({"mlp": 1}), record({"svm": 2}), REQUESTED, retrained=False)
    assert values_of(merged) == {"mlp": 1, "svm": 2}
    assert merged.evaluation["cost"] == {"mlp": 1, "svm": 2}
    assert merged.trained == {"commit": "c{'mlp': 1}", "machine": "", "date": ""}
    third = merge(merged, record({"ndm": 3}), {"ndm"}, retrained=False)
    assert third.trained == merged.trained
    assert merged.failed == {}


def test_the_first_attempt_is_the_record():
    now = record({"mlp": 1}, {"svm": "no"})
    assert merge(None, now, REQUESTED, retrained=False) is now
    assert merge(record({}, {"train": "no"}), now, REQUESTED, retrained=False) is now


@pytest.mark.parametrize("retrained", [False, True])
def test_an_attempt_without_metrics_leaves_the_earlier_ones(retrained):
    now = record({}, {"train": "no"})
    merged = merge(record({"mlp": 1}), now, REQUESTED, retrained)
    assert values_of(merged) == {"mlp": 1}
    assert merged.failed == {"train": "no"}
    assert merged.attempt == now.attempt


@pytest.mark.parametrize(("name", "value"), [("step", 2), ("images", "b")])
def test_metrics_of_other_weights_or_images_are_reported_and_left_out(name, value):
    now = record({"svm": 2}, **{name: value})
    merged = merge(record({"mlp": 1}), now, REQUESTED, retrained=False)
    assert values_of(merged) == {"mlp": 1}
    assert f"are of {name} " in merged.failed["evaluate"]


def test_metrics_of_new_weights_replace_old_ones_if_none_is_missing():
    before = record({"mlp": 1})
    assert values_of(
        merge(before, record({"svm": 2}, {"mlp": "no"}), REQUESTED, retrained=True)
    ) == {"mlp": 1}
    both = record({"mlp": 3, "svm": 2})
    assert merge(before, both, REQUESTED, retrained=True) is both


def test_failures_are_those_of_the_last_attempt_at_each_measure():
    before = record({"mlp": 1}, {"svm": "no", "ndm": "diverged", REFERENCES: "no", "train": "no"})
    merged = merge(before, record({"svm": 2}), REQUESTED, retrained=False)
    assert merged.failed == {"ndm": "diverged", REFERENCES: "no"}
    merged = merge(before, record({"svm": 2}), {*REQUESTED, REFERENCES}, retrained=False)
    assert merged.failed == {"ndm": "diverged"}
