"""What is known of a run after an attempt: figures are replaced, but never lost."""

import pytest

from dim_tf.tables.records import REFERENCES, Record, after

ASKED = {"mlp", "svm"}


def record(figures, failed=None, step=1, images="a"):
    """Of measures by name with their figures."""
    evaluation = {f"{name}_figure": {"conv": value} for name, value in figures.items()}
    if figures:
        evaluation |= {"protocol": {"step": step, "images": images}, "cost": dict(figures)}
    facts = {"row": "a", "seed": 0, "settings": {}, "cost": {}}
    facts["versions"] = {"commit": f"c{figures}"}
    told = {"machine": "", "date": "", "command": "", "attempt": str(figures)}
    return Record(
        measures=list(figures), evaluation=evaluation, failed=failed or {}, **facts, **told
    )


def figures(found):
    end = "_figure"
    every = {k.removesuffix(end): v for k, v in found.evaluation.items() if k.endswith(end)}
    assert list(every) == found.measures
    return {name: endpoints["conv"] for name, endpoints in every.items()}


def test_figures_of_the_same_weights_stand_together():
    found = after(record({"mlp": 1}), record({"svm": 2}), ASKED, anew=False)
    assert figures(found) == {"mlp": 1, "svm": 2}
    assert found.evaluation["cost"] == {"mlp": 1, "svm": 2}
    assert found.trained == {"commit": "c{'mlp': 1}", "machine": "", "date": ""}
    third = after(found, record({"ndm": 3}), {"ndm"}, anew=False)
    assert third.trained == found.trained
    assert found.failed == {}


def test_the_first_attempt_is_all_that_is_known():
    now = record({"mlp": 1}, {"svm": "no"})
    assert after(None, now, ASKED, anew=False) is now
    assert after(record({}, {"train": "no"}), now, ASKED, anew=False) is now


@pytest.mark.parametrize("anew", [False, True])
def test_an_attempt_without_figures_leaves_those_before(anew):
    now = record({}, {"train": "no"})
    found = after(record({"mlp": 1}), now, ASKED, anew)
    assert figures(found) == {"mlp": 1}
    assert found.failed == {"train": "no"}
    assert found.attempt == now.attempt


@pytest.mark.parametrize(("name", "value"), [("step", 2), ("images", "b")])
def test_what_cannot_stand_together_is_told_and_left_out(name, value):
    now = record({"svm": 2}, **{name: value})
    found = after(record({"mlp": 1}), now, ASKED, anew=False)
    assert figures(found) == {"mlp": 1}
    assert f"are of {name} " in found.failed["evaluate"]


def test_new_weights_replace_what_they_have_all_figures_of():
    before = record({"mlp": 1})
    assert figures(after(before, record({"svm": 2}, {"mlp": "no"}), ASKED, anew=True)) == {"mlp": 1}
    both = record({"mlp": 3, "svm": 2})
    assert after(before, both, ASKED, anew=True) is both


def test_failures_are_those_of_the_last_attempt_at_each_measure():
    before = record({"mlp": 1}, {"svm": "no", "ndm": "diverged", REFERENCES: "no", "train": "no"})
    found = after(before, record({"svm": 2}), ASKED, anew=False)
    assert found.failed == {"ndm": "diverged", REFERENCES: "no"}
    found = after(before, record({"svm": 2}), {*ASKED, REFERENCES}, anew=False)
    assert found.failed == {"ndm": "diverged"}
