import json
import types

import numpy as np
import pytest

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import representation
from dim_tf.experiment import Experiment
from dim_tf.stages import evaluate


def test_another_persons_encoder_is_pooled_as_the_flag_says(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        evaluate.saved_encoder, "load", lambda _: types.SimpleNamespace(description="")
    )
    monkeypatch.setattr(evaluate, "_evaluate", lambda *arguments: calls.append(arguments))
    settings = Experiment.of(name="a", run_dir=str(tmp_path), encoder_path="b", max_features=100)
    evaluate.evaluate_saved(settings, None)
    _, _, encode, references, _, _ = calls[0]
    assert encode.keywords == references["pixels"].keywords == {"max_features": 100}


@pytest.mark.parametrize(
    ("augmentation", "helped", "beginning"),
    [("natural", "yes", "Without labels: "), ("aerial", "unclear", "No recommendation")],
)
def test_a_verdict_without_labels_has_its_record_or_is_refused(
    tmp_path, monkeypatch, augmentation, helped, beginning
):
    """An encoder that sees which half is bright, and a reference that sees nothing."""
    rng = np.random.default_rng(0)
    images = rng.integers(0, 100, (60, 8, 8, 1), np.uint8)
    images[:, :4, :4] += 120
    split = Split(images, None)
    splits = Splits("a", split, split, (), "")
    settings = Experiment.of(
        name="a", run_dir=str(tmp_path), views=2, augmentation=augmentation, measures="rotation"
    )

    def blind(data):
        one = [np.ones((len(x.images), 2), np.float32) for x in (data.train, data.test)]
        return representation.Representation({"pixels": one[0]}, {"pixels": one[1]}, data)

    def seeing(data):
        pixels = representation.from_pixels(data)
        return representation.Representation(
            {"global": pixels.train["pixels"]}, {"global": pixels.test["pixels"]}, data
        )

    evaluate._evaluate(settings, splits, seeing, {"pixels": blind}, None, {"step": 1})
    decision = json.loads((tmp_path / "evaluation.json").read_text())["verdict"]
    assert (decision["metric"], decision["helped"]) == ("rotation_probe", helped)
    assert decision["sentence"].startswith(beginning)
    assert (decision["reliability"] is None) == (helped == "unclear")
    assert decision["sentence"].split(":")[0] in (tmp_path / "report.html").read_text()
