"""Verdicts without labels say how often labels confirmed such answers, or refuse."""

import json
from pathlib import Path

import pytest

from dim_tf.evaluation import label_free_verdict
from dim_tf.evaluation.label_free_verdict import CONFIRMED, LEAST_RELIABILITY, Confirmed, qualify

RESULTS = Path(__file__).parents[3] / "docs/results/label_free.json"
PROXY = "pretext probe, rotation"


def verdict(helped, sentence="Training helped: rotation probe 71.0 %"):
    return {"sentence": sentence, "metric": "rotation_probe", "helped": helped, "n": 500}


@pytest.fixture(autouse=True)
def counts(monkeypatch):
    counted = {"yes": Confirmed(9, 10), "no": Confirmed(7, 10)}
    monkeypatch.setattr(label_free_verdict, "CONFIRMED", counted)


def test_a_reliable_answer_is_passed_on_with_its_record():
    qualified = qualify(verdict("yes"))
    assert qualified["helped"] == "yes"
    assert qualified["reliability"] == {"confirmed": 9, "of": 10}
    assert qualified["sentence"] == (
        "Without labels, by the rotation probe: Training helped: rotation probe 71.0 %; labels "
        "confirmed 9 of 10 such answers in our trials"
    )
    assert qualified["n"] == 500


def test_an_unreliable_answer_is_refused():
    refused = qualify(verdict("no", "Training did not help: use the pixels"))
    assert (refused["helped"], refused["reliability"]) == ("unclear", None)
    assert refused["sentence"].startswith("No recommendation without labels: labels confirmed 7 of")
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
    for answer, place in (("yes", 0), ("no", 1)):
        counted = [by_probe["all"][answer] for by_probe in measured.values()]
        times, of = sum(row[place] for row in counted), sum(map(sum, counted))
        assert CONFIRMED[answer] == Confirmed(times, of)
    assert LEAST_RELIABILITY == 0.8
