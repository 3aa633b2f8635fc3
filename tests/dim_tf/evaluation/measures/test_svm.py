"""Linear SVMs: their runs, and what did not converge."""

import numpy as np
from sample_representations import NUM_CLASSES, evaluation_data, representation

from dim_tf.evaluation.measures.svm import SupportVectorMachine
from dim_tf.evaluation.representation import Representation


def test_svm_runs_differ_in_the_images_drawn(monkeypatch):
    """Where all images are taken there is one solution, so one run."""
    monkeypatch.setattr("dim_tf.evaluation.measures.svm.MAX_CONV_IMAGES", 100)
    data = evaluation_data()
    ideal = representation("ideal", data)
    noise = np.random.default_rng(2).normal(0, 0.7, (2, 256, NUM_CLASSES)).astype(np.float32)

    def noisy(one_hot, noise):
        features = one_hot["global"] + noise[: len(one_hot["global"])]
        return {"conv": features, "global": features}

    r = Representation(noisy(ideal.train, noise[0]), noisy(ideal.test, noise[1]), data)
    svm = SupportVectorMachine(r, runs=3)
    results = {result.endpoint: result for result in svm.run()}
    assert results["conv"].uncertainty.n == 3
    assert results["conv"].uncertainty.std > 0
    assert results["global"].uncertainty.n == 1
    assert ", mean of 3 drawings; global: " in svm.protocol["svm"]
    assert f"global: {len(data.train)} images, all converged" in svm.protocol["svm"]


def test_the_svm_tells_what_did_not_converge(monkeypatch):
    monkeypatch.setattr("dim_tf.evaluation.measures.svm.MAX_CONV_IMAGES", 100)
    noise = representation("random", evaluation_data())
    r = Representation({"conv": noise.train["global"]}, {"conv": noise.test["global"]}, noise.data)
    cut_short, whole = SupportVectorMachine(r, 3, 1), SupportVectorMachine(r, 3)
    (result,) = cut_short.run()
    assert result.uncertainty.n == 3
    assert result.uncertainty.std > 0  # each seed draws other images
    protocol = cut_short.protocol["svm"]
    assert "conv: 100 images, 3 of 3 not converged, 1 iterations at most" in protocol
    list(whole.run())
    assert "conv: 100 images, all converged, in " in whole.protocol["svm"]
    list(cut_short.run())
    assert "3 of 3 not converged" in cut_short.protocol["svm"]
