"""What a verdict without labels is worth: how often labels confirmed such answers.

The rotation probe (`measures.rotation`) takes the place of kNN and the linear probe. Its answers on
short runs of several objectives, whose images have labels, were compared with those of the probes
(benchmarks/label_free.py, docs/LABEL_FREE.md); `CONFIRMED` has the counts.
"""

from dataclasses import dataclass
from typing import Any

METRIC = "rotation_probe"
LEAST_RELIABILITY = 0.8  # of an answer that is passed on


@dataclass(frozen=True)
class Confirmed:
    """How often probes with labels agreed with an answer.

    Attributes:
        times: The probes say the same, by a difference of at least two points.
        of: Such answers; each is counted by kNN and by the linear probe.
    """

    times: int
    of: int

    @property
    def reliability(self) -> float:
        """The fraction that was confirmed."""
        return self.times / self.of


# Of the answers "yes" and "no" to whether training helped: docs/results/label_free.json.
CONFIRMED = {"yes": Confirmed(0, 1), "no": Confirmed(0, 1)}


def qualify(verdict: dict[str, Any], *, trained_on_rotations: bool = False) -> dict[str, Any]:
    """A verdict by the rotation probe with its reliability, or without its recommendation.

    The recommendation is refused where labels confirmed less than 80 % of such answers, and where
    training rotated or upended images: an encoder that is trained not to see rotations is worse by
    this probe and may be better.

    Args:
        verdict: As in evaluation.json, by `METRIC`: `sentence`, `helped` and others.
        trained_on_rotations: Whether training's augmentation rotates images by right angles, or
            flips them upside down.

    Returns:
        The verdict with another `sentence`, with `helped` "unclear" where it is refused, and with
        `reliability`: `confirmed` and `of`, or None where no answer was given.
    """
    helped = verdict["helped"]
    if trained_on_rotations:
        why = "training rotated or upended images, and the rotation probe counts that against it"
        return _refused(verdict, why)
    if helped == "unclear":
        return verdict | {"sentence": _without_labels(verdict["sentence"]), "reliability": None}
    confirmed = CONFIRMED[helped]
    record = f"labels confirmed {confirmed.times} of {confirmed.of} such answers in our trials"
    if confirmed.reliability < LEAST_RELIABILITY:
        return _refused(verdict, record)
    return verdict | {
        "sentence": f"{_without_labels(verdict['sentence'])}; {record}",
        "reliability": {"confirmed": confirmed.times, "of": confirmed.of},
    }


def _refused(verdict, why):
    sentence = (
        f"No recommendation without labels: {why}. The rotation probe says: {verdict['sentence']}. "
        "Some hundred labelled images (--labels) would tell"
    )
    return verdict | {"sentence": sentence, "helped": "unclear", "reliability": None}


def _without_labels(sentence):
    return f"Without labels, by the rotation probe: {sentence}"
