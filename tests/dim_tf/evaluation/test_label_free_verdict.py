"""Verdicts without labels say how often labels confirmed such answers, or refuse."""

import json
from pathlib import Path

import pytest

from dim_tf.evaluation import label_free_verdict
from dim_tf.evaluation.label_free_verdict import LEAST_RELIABILITY, RECORDS, Record, qualify

RESULTS = Path(__file__).parents[3] / "docs/results/label_free.json"
PROXY = "pretext probe, rotation"


def verdict(helped, sentence="Training helped: rotation probe 71.0 %"):
    return {"sentence": sentence, "metric": "rotation_probe", "helped": helped, "n": 500}


@pytest.fixture(autouse=True)
def counts(monkeypatch):
    counted = {"yes": Record(8, 2, 5), "no": Record(7, 2, 90)}
    monkeypatch.setattr(label_free_verdict, "RECORDS", counted)


def test_a_reliable_answer_is_passed_on_with_its_record():
    qualified = qualify(verdict("yes"))
    assert qualified["helped"] == "yes"
    assert qualified["reliability"] == {"confirmed": 8, "contradicted": 2, "close": 5}
    assert qualified["sentence"] == (
        "Without labels: Training helped: rotation probe 71.0 %; in "
        "trials with labels, probes confirmed 8 such answers, contradicted 2 and found 5 too close "
        "to call"
    )
    assert qualified["n"] == 500


def test_an_unreliable_answer_is_refused():
    refused = qualify(verdict("no", "Training did not help: use the pixels"))
    assert (refused["helped"], refused["reliability"]) == ("unclear", None)
    assert refused["sentence"].startswith("No recommendation without labels: in trials with labels")
    assert "confirmed 7 such answers, contradicted 2" in refused["sentence"]
    assert "Training did not help: use the pixels" in refused["sentence"]


@pytest.mark.parametrize("helped", ["yes", "no", "unclear"])
def test_an_encoder_that_was_trained_not_to_see_rotations_gets_no_verdict(helped):
    refused = qualify(verdict(helped), trained_on_rotations=True)
    assert refused["helped"] == "unclear"
    assert "counts that against it" in refused["sentence"]


def test_what_cannot_be_told_apart_stays_so():
    unclear = qualify(verdict("unclear", "Training and pixels cannot be told apart"))
    assert (unclear["helped"], unclear["reliability"]) == ("unclear", None)
    assert "No recommendation" not in unclear["sentence"]


def test_the_counts_are_those_of_the_calibration():
    measured = json.loads(RESULTS.read_text())["verdicts"][PROXY]
    for answer, order in (("yes", (0, 1, 2)), ("no", (1, 0, 2))):
        counted = [by_probe["all"][answer] for by_probe in measured.values()]
        assert RECORDS[answer] == Record(*(sum(row[place] for row in counted) for place in order))
        assert RECORDS[answer].reliability >= LEAST_RELIABILITY
