"""Checkpoints hold every variable, and only good ones."""

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf.errors import RunError
from dim_tf.training import checkpoint
from keras_models import DeepInfoMax, encoders, terms


def small_model(seed=0, latent_dim=4):
    keras.utils.set_random_seed(seed)
    encoder = encoders.ConvNet((8, 8, 1), ((4, 4, 2, 1),), (8,), 0, latent_dim, name="small")
    model = DeepInfoMax(
        encoder,
        [
            terms.local_mutual_information("dot", "jsd", units=8),
            terms.prior_matching("uniform", latent_dim, weight=0.1),
        ],
        name="model",
    )
    model.compile(1e-2)
    model.build()
    return model


def trained_model():
    model = small_model()
    x = tf.random.stateless_uniform([4, 8, 8, 1], [0, 0], -1, 1)
    for _ in range(2):
        model.train_step(x)
    return model


def test_every_variable_comes_back(tmp_path):
    model = trained_model()
    checkpoint.Checkpoints(model, tmp_path, 2).save(2)
    other = small_model(seed=1)
    assert checkpoint.Checkpoints(other, tmp_path, 2).restore() == 2
    before, after = (checkpoint.all_variables(m) for m in (model, other))
    counted = [*model.variables, *model.optimizer.variables, *model.adversary_optimizer.variables]
    assert len(before) == len(after) == len(counted)
    for mine, theirs in zip(before.values(), after.values(), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_weights_alone_come_back_without_the_optimizers(tmp_path):
    model = trained_model()
    checkpoint.Checkpoints(model, tmp_path, 2).save(2)
    other = small_model(seed=1)
    assert checkpoint.restore_weights(other, tmp_path) == 2
    for mine, theirs in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    assert checkpoint.restore_weights(other, tmp_path / "empty") is None


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path):
    model = trained_model()
    checkpoints = checkpoint.Checkpoints(model, tmp_path, 2)
    good = checkpoints.save(1)
    model.encoder.stages[-1].dense.bias.assign(np.full(4, np.nan, np.float32))
    with pytest.raises(RunError, match=rf"global.dense.bias is not finite.*{good}"):
        checkpoints.save(2)
    assert checkpoints.latest == good


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    checkpoint.Checkpoints(trained_model(), tmp_path, 2).save(1)
    with pytest.raises(RunError, match="cannot be restored"):
        checkpoint.Checkpoints(small_model(latent_dim=5), tmp_path, 2).restore()


def test_a_damaged_checkpoint_is_an_error_of_the_run(tmp_path):
    model = trained_model()
    path = checkpoint.Checkpoints(model, tmp_path, 2).save(1)
    with open(f"{path}.index", "wb") as file:
        file.write(b"damaged")
    with pytest.raises(RunError, match="cannot be restored"):
        checkpoint.Checkpoints(model, tmp_path, 2).restore()
