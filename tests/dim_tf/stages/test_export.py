import types

import numpy as np
import pytest

from dim_tf.data.pixel_range import PixelRange
from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import evaluation_file
from dim_tf.experiment import Experiment
from dim_tf.export import publish
from dim_tf.export.feature import Feature
from dim_tf.stages import export as export_stage
from dim_tf.stages.export import export, exported_feature
from dim_tf.system.errors import InputError


def test_an_export_reads_16_bits_as_the_training_did(tmp_path, monkeypatch):
    images = Split(np.zeros([2, 32, 32, 3], np.uint8), None)
    splits = Splits("a", images, images, (), "", pixel_range=PixelRange(7, 4095))
    details = []
    encoder = types.SimpleNamespace(
        endpoint_shapes=lambda: {"global": (None, 5)}, freeze_above=lambda _: None
    )
    model = types.SimpleNamespace(encoder=encoder)
    monkeypatch.setattr(export_stage, "load_trained", lambda *_: (model, 1))
    monkeypatch.setattr(
        publish, "publish", lambda *arguments: details.append(arguments[-1]) or ("1", 0.0)
    )
    export(Experiment.of(name="a", run_dir=str(tmp_path)), splits)
    assert details[0].pixel_range == splits.pixel_range


CHOICE = {
    "name": "conv",
    "chosen": "auto",
    "reason": "the best",
    "metric": "knn_and_linear_probe",
    "images": 9,
    "max_features": 77,
    "dimensions": {"global": 5, "conv": 48},
    "validation": {"global": 0.5, "conv": 0.75},
    "standard_error": {"global": 0.1, "conv": 0.0},
    "parts": {"knn": {"global": 0.5, "conv": 0.7}, "linear_probe": {"global": 0.5, "conv": 0.8}},
}


def test_the_feature_is_that_of_the_evaluation_of_the_same_step(tmp_path):
    evaluation_file.write(tmp_path, {"feature": CHOICE, "protocol": {"step": 30}})
    settings = Experiment.of(name="a", run_dir=str(tmp_path), max_features=100)
    assert exported_feature(settings, 30) == Feature("conv", 77)
    assert exported_feature(settings, 31) == Feature("global", 100)
    named = settings.replace(feature="fc")
    assert exported_feature(named, 30) == Feature("fc", 77)
    assert exported_feature(named, 31) == Feature("fc", 100)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "pixels"},
        {"reason": None},
        {"max_features": "9"},
        {"validation": 3},
        {"validation": {"global": None}},
        {"dimensions": {}},
        {"metric": "svm"},
    ],
)
def test_a_damaged_choice_of_the_feature_is_refused(tmp_path, wrong):
    evaluation_file.write(tmp_path, {"feature": CHOICE | wrong, "protocol": {"step": 30}})
    with pytest.raises(InputError, match="'feature' is not as this version writes it"):
        exported_feature(Experiment.of(name="a", run_dir=str(tmp_path)), 30)


@pytest.mark.parametrize("step", [30, 31])
def test_an_export_gives_the_feature_that_was_chosen(tmp_path, monkeypatch, capsys, step):
    evaluation_file.write(tmp_path, {"feature": CHOICE, "protocol": {"step": 30}, "measures": {}})
    images = Split(np.zeros([2, 32, 32, 3], np.uint8), None)
    shapes = {"conv": (None, 4, 4, 3), "global": (None, 5)}
    published, frozen_above = [], []
    encoder = types.SimpleNamespace(
        endpoint_shapes=lambda: shapes, freeze_above=frozen_above.append
    )
    model = types.SimpleNamespace(encoder=encoder)
    monkeypatch.setattr(export_stage, "load_trained", lambda *_: (model, step))
    monkeypatch.setattr(
        publish, "publish", lambda *arguments: published.extend(arguments) or ("1", 0.0)
    )
    export(Experiment.of(name="a", run_dir=str(tmp_path)), Splits("a", images, images, (), ""))
    info, options = published[-2:]
    line = capsys.readouterr().out.splitlines()[0]
    if step == 30:
        assert options.feature == Feature("conv", 77)
        assert frozen_above == ["conv"]
        assert info.feature_choice == CHOICE
        assert line == "export: feature: conv, 48 numbers an image: the best"
    else:
        assert options.feature.name == "global"
        assert line.startswith("export: feature: global, 5 numbers an image: there is no eval")
