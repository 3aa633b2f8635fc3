"""The reliability of a verdict without labels: how often labels confirmed such answers.

The rotation probe (`measures.rotation`) replaces kNN and the linear probe. Its answers were
compared with those of the probes on short runs of several objectives, whose images have labels
(benchmarks/label_free.py, docs/LABEL_FREE.md); `RECORDS` has the counts.
"""

from dataclasses import asdict, dataclass
from typing import Any

METRIC = "rotation_probe"
LEAST_RELIABILITY = 0.8  # of an answer that is passed on


@dataclass(frozen=True)
class Record:
    """What probes with labels said when the rotation probe gave an answer.

    Attributes:
        confirmed: They said the same, with a difference of at least two points.
        contradicted: They said the opposite, by at least as much.
        close: Their difference was smaller.
    """

    confirmed: int
    contradicted: int
    close: int

    @property
    def reliability(self) -> float:
        """The fraction of answers that was confirmed, not counting the close ones."""
        return self.confirmed / (self.confirmed + self.contradicted)

    def __str__(self):
        return (
            f"in trials with labels, probes confirmed {self.confirmed} such answers, contradicted "
            f"{self.contradicted} and found {self.close} too close to call"
        )


# Answers "yes" and "no" to whether training helped, each compared with kNN and with the linear
# probe: docs/results/label_free.json.
RECORDS = {"yes": Record(14, 2, 4), "no": Record(38, 1, 9)}


def qualify(verdict: dict[str, Any], *, trained_on_rotations: bool = False) -> dict[str, Any]:
    """A verdict by the rotation probe, with its reliability or without its recommendation.

    The recommendation is refused if labels confirmed less than 80 % of such answers, not counting
    those that were too close to call. It is also refused if training rotated images or turned them
    upside down: an encoder that learns to ignore rotations is worse by this probe but may be
    better.

    Args:
        verdict: As in evaluation.json, by `METRIC`: `sentence`, `helped` and others.
        trained_on_rotations: Whether training's augmentation rotates images by right angles, or
            flips them upside down.

    Returns:
        The verdict with another `sentence`, with `helped` "unclear" if the recommendation is
        refused, and with `reliability`: `confirmed`, `contradicted`, `close`; None if no answer is
        given.
    """
    helped = verdict["helped"]
    if trained_on_rotations:
        why = "training rotated or upended images, and the rotation probe counts that against it"
        return _refused(verdict, why)
    if helped == "unclear":
        return verdict | {"sentence": _without_labels(verdict["sentence"]), "reliability": None}
    record = RECORDS[helped]
    if record.reliability < LEAST_RELIABILITY:
        return _refused(verdict, str(record))
    return verdict | {
        "sentence": f"{_without_labels(verdict['sentence'])}; {record}",
        "reliability": asdict(record),
    }


def _refused(verdict, why):
    sentence = (
        f"No recommendation without labels: {why}. The rotation probe says: {verdict['sentence']}. "
        "Some hundred labelled images (--labels) would tell"
    )
    return verdict | {"sentence": sentence, "helped": "unclear", "reliability": None}


def _without_labels(sentence):
    return f"Without labels: {sentence}"
