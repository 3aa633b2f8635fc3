import types

import numpy as np

from dim_tf import stages
from dim_tf.data.pixel_range import PixelRange
from dim_tf.data.splits import Split, Splits
from dim_tf.experiment import Experiment
from dim_tf.export import publish


def test_another_persons_encoder_is_pooled_as_the_flag_says(tmp_path, monkeypatch):
    calls = []
    monkeypatch.setattr(
        stages.saved_encoder, "load", lambda _: types.SimpleNamespace(description="")
    )
    monkeypatch.setattr(stages, "_evaluate", lambda *arguments: calls.append(arguments))
    settings = Experiment.of(name="a", run_dir=str(tmp_path), encoder_path="b", max_features=100)
    stages.evaluate_saved(settings, None)
    _, _, encode, references, _, _ = calls[0]
    assert encode.keywords == references["pixels"].keywords == {"max_features": 100}


def test_an_export_reads_16_bits_as_the_training_did(tmp_path, monkeypatch):
    images = Split(np.zeros([2, 32, 32, 3], np.uint8), None)
    splits = Splits("a", images, images, (), "", pixel_range=PixelRange(7, 4095))
    details = []
    encoder = types.SimpleNamespace(endpoint_shapes=lambda: {"global": (None, 5)})
    model = types.SimpleNamespace(encoder=encoder)
    monkeypatch.setattr(stages, "load_trained", lambda *_: (model, 1))
    monkeypatch.setattr(
        publish, "publish", lambda *arguments: details.append(arguments[-1]) or ("1", 0.0)
    )
    stages.export(Experiment.of(name="a", run_dir=str(tmp_path)), splits)
    assert details[0].pixel_range == splits.pixel_range
