"""Every measure of an encoder that is a Keras model, as a run of the command takes them."""

import json
from functools import partial

import numpy as np
import pytest
from small_backbone import SIZE, small_backbone_encoder

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import card_metrics, representation
from dim_tf.evaluation.measure_spec import TrainableEncoders
from dim_tf.experiment import Experiment
from dim_tf.registry import MEASURES
from dim_tf.stages import evaluate
from keras_models import DeepInfoMax, terms

OF_ENDPOINTS = (
    "knn",
    "linear_probe",
    "mlp_probe",
    "linear_probe_10_percent",
    "svm",
    "cluster_accuracy",
    "alignment",
    "effective_rank",
)
OF_GLOBAL = (
    "tsne_trustworthiness",
    "ms_ssim",
    "reconstruction_error",
    "prior_discriminator",
    "ndm",
    "mine",
    "mig",
)


def bright_and_dark(count):
    labels = np.arange(count) % 2
    noise = np.random.default_rng(count).integers(0, 120, (count, SIZE, SIZE, 3))
    return Split((noise + 130 * labels[:, None, None, None]).astype(np.uint8), labels)


@pytest.mark.slow
def test_a_keras_model_passes_through_every_measure(tmp_path):
    splits = Splits("made", bright_and_dark(96), bright_and_dark(48), ("dark", "bright"), "a note")
    objective = terms.local_mutual_information("dot", "jsd", 1.0, units=8)
    matching = terms.prior_matching("uniform", 5, "gan", 1.0, 0.1)
    model = DeepInfoMax(small_backbone_encoder(), [objective, matching])
    model.compile(1e-3, jit_compile=False)
    model.build()
    images = splits.train.images / np.float32(127.5) - 1
    for _ in range(3):
        model.train_on_batch(images)

    settings = Experiment.of(
        name="a",
        run_dir=str(tmp_path),
        measures="all",
        probe_epochs=1,
        probe_seeds=1,
        fine_tuning_epochs=1,
        gamma=0.1,
        latent_dim=5,
        max_features=100,
    )
    of_encoder = partial(representation.from_encoder, max_features=100)
    random_encoder = small_backbone_encoder(1)
    references = {
        "random_weights": partial(of_encoder, random_encoder),
        "start_weights": partial(of_encoder, small_backbone_encoder()),
        "pixels": partial(representation.from_pixels, max_features=100),
    }
    encoders = TrainableEncoders(model.encoder, random_encoder)
    encode = partial(of_encoder, model.encoder)
    evaluate._evaluate(settings, splits, encode, references, encoders, {"step": 3})

    content = json.loads((tmp_path / "evaluation.json").read_text())
    assert set(MEASURES) <= set(content["cost"])  # none was left out
    endpoints = {"conv", "fc", "global", content["feature"]["name"]}
    for measure in OF_ENDPOINTS:
        assert set(content[measure]) == endpoints, measure
    for measure in OF_GLOBAL:
        assert set(content[measure]) == {"global"}, measure
    for measure in ("fine_tuned", "fully_supervised"):
        assert set(content[measure]) == {"conv"}
    figures = [figure for measure in content["measures"] for figure in content[measure].values()]
    assert np.isfinite(figures).all()
    assert content["knn"]["global"] > 0.9
    assert set(content["references"]["start_weights"]["linear_probe"]) == endpoints
    assert "conv: 4x4x8 pooled to 3x3x8" in content["protocol"]["pooled"]
    page = (tmp_path / "report.html").read_text(encoding="utf-8")
    assert "start weights" in page
    assert "conv: 4x4x8 pooled to 3x3x8" in page
    assert "start weights" in card_metrics.render(content)
