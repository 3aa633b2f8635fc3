"""The results of a row of the training benchmark, and PyTorch's step compared with ours."""

import pytest
import train_speed

CELL = {
    "encoder": "basic32x32",
    "estimator": "jsd",
    "units": 512,
    "precision": "float32",
    "batch": 64,
    "locations": 0,
    "layer_norm": True,
    "jit_compile": False,
    "two_views": False,
    "prepared": True,
}
PEAK = train_speed.product_flops(train_speed.PEAK_SHAPE)
OWN_SHAPE = (4096, 512, 512)
OWN = train_speed.product_flops(OWN_SHAPE)


def row(step, peak_speed, own_speed, **more):
    seconds = {
        "step": step,
        "peak": [PEAK / s for s in peak_speed],
        "own": [OWN / s for s in own_speed],
        **more,
    }
    facts = {"memory": 2**30, "flops": 10e9, "own_shape": OWN_SHAPE}
    torch_facts = {"memory": 2**29, "version": "2"} if "torch" in more else None
    return train_speed.row(CELL, facts, seconds, [0.1] * len(step), torch_facts)


def test_a_turn_is_compared_with_its_own_peak():
    # The machine is twice as slow in the second turn: the fraction is the same in all.
    results = row([0.1, 0.2, 0.1], [200e9, 100e9, 200e9], [150e9, 75e9, 150e9])
    assert results["fraction_of_peak"] == pytest.approx(0.5)
    assert results["images_per_second"] == pytest.approx(640)
    assert results["flops_per_second"] == pytest.approx(100e9)


def test_the_peak_is_the_fastest_product():
    assert row([0.1], [100e9], [200e9])["fraction_of_peak"] == pytest.approx(0.5)
    assert row([0.1], [200e9], [100e9])["fraction_of_peak"] == pytest.approx(0.5)
    by_numpy = row([0.1], [100e9], [200e9], numpy=[PEAK / 400e9])
    assert by_numpy["fraction_of_peak"] == pytest.approx(0.25)
    by_torch = row([0.1], [100e9], [200e9], torch=[0.1], torch_peak=[PEAK / 1e12])
    assert by_torch["fraction_of_peak"] == pytest.approx(0.1)
    assert "TensorFlow 100, PyTorch 1000" in train_speed.table([by_torch])


@pytest.mark.parametrize(("seconds", "verdict"), [(64 / 360, "counts"), (64 / 350, "does not")])
def test_a_slow_baseline_does_not_count(seconds, verdict):
    results = row([0.1], [1e11], [1e11], torch=[seconds])
    assert results["of_torch"] == pytest.approx(seconds / 0.1)
    (line,) = train_speed.check_baseline([results])
    assert f": {verdict}" in line


def test_the_table_has_a_cell_for_each_heading():
    with_torch = row([0.1], [1e11], [1e11], torch=[0.2], plain=[0.13])
    lines = train_speed.table([with_torch, row([0.1], [1e11], [1e11])]).splitlines()
    assert len({line.count("|") for line in lines}) == 1
    assert "| 640 |" in lines[2]
    assert "| 1.30 |" in lines[2]
    assert "not run" not in lines[2]
    assert "not run" in lines[3]


@pytest.mark.slow
@pytest.mark.parametrize("estimator", ["jsd", "infonce"])
def test_pytorch_computes_the_same_loss(estimator):
    torch = pytest.importorskip("torch")
    import numpy as np
    import tensorflow as tf
    import torch_step

    from dim_tf.experiment import Experiment
    from dim_tf.training.model import make_model
    from keras_models.distribute.randomness import StepRandom
    from keras_models.objective_model import Batch

    experiment = Experiment.of(
        name="x", gamma=0.0, encoder="basic32x32", estimator=estimator, critic_units=256
    )
    model = make_model(experiment, train_speed.no_images(32))
    baseline = torch_step.DeepInfoMax(estimator, 256)

    def copy(ours, theirs):
        """Copies kernels and biases of our layer into a PyTorch layer."""
        weights = [np.array(w) for w in ours.weights]
        with torch.no_grad():
            axes = (3, 2, 0, 1) if weights[0].ndim == 4 else (1, 0)
            theirs.weight.copy_(torch.tensor(weights[0].transpose(axes)))
            if len(weights) > 1:
                theirs.bias.copy_(torch.tensor(weights[1]))

    stages = model.encoder.stages
    for stage, theirs in zip(
        stages[:3], (*baseline.encoder.local, baseline.encoder.top[0]), strict=True
    ):
        copy(stage.conv, theirs[0])
    # Ours flattens height, width, channels; theirs channels, height, width.
    kernel = np.array(stages[3].dense.kernel).reshape(4, 4, 256, 1024)
    stages[3].dense.kernel.assign(kernel.transpose(2, 0, 1, 3).reshape(4096, 1024))
    copy(stages[3].dense, baseline.encoder.top[2])
    stages[3].dense.kernel.assign(kernel.reshape(4096, 1024))
    copy(stages[4].dense, baseline.encoder.top[5])
    critic = model.terms[0].critic
    for side in ("local", "global"):
        ours, theirs = getattr(critic, f"project_{side}"), getattr(baseline, f"project_{side}")
        for layer in ("hidden", "out", "shortcut"):
            copy(getattr(ours, layer), getattr(theirs, layer))

    images = np.random.default_rng(0).uniform(-1, 1, (8, 32, 32, 3)).astype("float32")
    expected = baseline(torch.tensor(images.transpose(0, 3, 1, 2))).item()
    loss = model.objective(Batch(tf.constant(images)), StepRandom(0, tf.constant(0))).loss
    assert float(loss) == pytest.approx(expected, rel=1e-5)
