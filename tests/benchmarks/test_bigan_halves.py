"""The correlations of BiGAN's halves."""

import bigan_halves
import numpy as np
import pytest
import tensorflow as tf

from dim_tf.experiment import Experiment
from keras_models.priors import GaussianPrior

IMAGES = np.random.default_rng(0).uniform(-1, 1, (64, 2, 2, 1)).astype(np.float32)


class Halves:
    """Encoder and generator between [2, 2, 1] images and 4 numbers, and their discriminator."""

    prior = GaussianPrior(4)

    def __init__(self, inverse: bool):
        self.inverse = inverse

    def encoder(self, images, training):
        codes = tf.reshape(images, [-1, 4])
        return {"global": codes if self.inverse else tf.roll(codes, 2, axis=0)}

    def generator(self, codes, training):
        return tf.reshape(tf.convert_to_tensor(codes), [-1, 2, 2, 1])

    def discriminator(self, pair):
        images, codes = pair
        return 1.0 - tf.reduce_sum((tf.reshape(images, [-1, 4]) - codes) ** 2, axis=1)


def measured(inverse):
    return bigan_halves.measures(Halves(inverse), IMAGES, np.zeros((2, 2, 1)))


def test_halves_that_invert_each_other():
    values = measured(inverse=True)
    np.testing.assert_allclose([values["E(G(z))"], values["G(E(x))"]], 1, atol=1e-5)
    assert values["ratio"] < 1e-6
    assert values["accuracy"] == 0.5  # logit 1 of both kinds of pairs
    assert values["pairing x"] > 1
    assert values["pairing z"] < -1
    assert 3.5 < values["dimensions"] <= 4
    np.testing.assert_allclose(values["std"], np.std(IMAGES), rtol=1e-5)


def test_halves_of_other_images():
    values = measured(inverse=False)
    assert abs(values["E(G(z))"]) < 0.2
    assert abs(values["G(E(x))"]) < 0.2
    assert 0.8 < values["ratio"] < 1.25


def test_flags_are_those_of_the_command_line():
    experiment = bigan_halves.experiment_of(["--model=ali", "--ali.code_units=", "--seed=3"])
    assert (experiment.model.NAME, experiment.model.code_units) == ("ali", ())
    assert experiment.training.seed == 3


def test_a_run_has_its_own_settings(tmp_path, monkeypatch):
    trained = Experiment.of(name="t", model="bigan", seed=5)
    (tmp_path / "experiment.json").write_text(trained.to_json())
    experiment = bigan_halves.experiment_of_run(str(tmp_path))
    assert experiment.run_path == tmp_path
    assert experiment.training.seed == 5
    monkeypatch.setattr("sys.argv", ["x", f"--run={tmp_path}", "--seed=3"])
    with pytest.raises(SystemExit, match="leave --seed=3 out"):
        bigan_halves.run()


def test_small_networks_are_trained_and_measured(monkeypatch, capsys):
    flags = ["--model=bigan", "--bigan.prior=gaussian", "--batch_size=8"]
    steps = ["--train_steps=3", "--measure_every=2", "--images=16"]
    monkeypatch.setattr("sys.argv", ["bigan_halves", "--small", *steps, *flags])
    bigan_halves.run()
    heading, rule, *rows = capsys.readouterr().out.splitlines()
    assert heading.split(" | ")[1:-1] == list(bigan_halves.COLUMNS)
    assert rule.count("---") == len(bigan_halves.COLUMNS) + 2
    cells = [[float(cell) for cell in row.strip("|").split("|")] for row in rows]
    assert [row[0] for row in cells] == [2, 3]
    assert np.isfinite(cells).all()
    names = ("step", *bigan_halves.COLUMNS, "seconds")
    first, last = (dict(zip(names, row, strict=True)) for row in cells)
    assert 1 <= first["dimensions"] <= 16
    assert first != {**last, "step": 2, "seconds": first["seconds"]}  # the third step changed it
