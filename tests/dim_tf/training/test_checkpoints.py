"""Checkpoints hold every variable, and only good ones."""

import errno
import re
import shutil
from pathlib import Path

import keras
import numpy as np
import pytest
import tensorflow as tf

from dim_tf.system.errors import NonFiniteError, RunError
from dim_tf.training import checkpoint_files
from dim_tf.training.checkpoints import Checkpoints, all_variables, restore_weights
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
    Checkpoints(model, tmp_path, 2).save(2)
    other = small_model(seed=1)
    assert Checkpoints(other, tmp_path, 2).restore() == 2
    before, after = (all_variables(m) for m in (model, other))
    counted = [*model.variables, *model.optimizer.variables, *model.adversary_optimizer.variables]
    assert len(before) == len(after) == len(counted)
    for mine, theirs in zip(before.values(), after.values(), strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())


def test_weights_alone_come_back_without_the_optimizers(tmp_path):
    model = trained_model()
    Checkpoints(model, tmp_path, 2).save(2)
    other = small_model(seed=1)
    assert restore_weights(other, tmp_path) == 2
    for mine, theirs in zip(model.variables, other.variables, strict=True):
        np.testing.assert_array_equal(mine.numpy(), theirs.numpy())
    assert restore_weights(other, tmp_path / "empty") is None


def test_a_weight_that_is_not_finite_is_not_saved(tmp_path):
    model = trained_model()
    checkpoints = Checkpoints(model, tmp_path, 2)
    assert Checkpoints(model, tmp_path, 2, writes=False).save(1) is None
    good = checkpoints.save(1)
    model.encoder.stages[-1].dense.bias.assign(np.full(4, np.nan, np.float32))
    with pytest.raises(NonFiniteError, match=r"step 2: .*global.dense.bias is not finite"):
        checkpoints.save(2)
    assert checkpoints.latest == good


def test_a_checkpoint_of_another_model_is_refused(tmp_path):
    Checkpoints(trained_model(), tmp_path, 2).save(1)
    with pytest.raises(RunError, match="cannot be restored"):
        Checkpoints(small_model(latent_dim=5), tmp_path, 2).restore()


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """A folder with the checkpoints 1 and 2."""
    folder = tmp_path_factory.mktemp("saved")
    checkpoints = Checkpoints(trained_model(), folder, 2)
    for step in (1, 2):
        checkpoints.save(step)
    return folder


@pytest.fixture
def copied(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def flip(path, place=-1):
    content = bytearray(path.read_bytes())
    content[place] ^= 1
    path.write_bytes(content)


ENDINGS = ["json", "index", "data-00000-of-00001"]


def test_a_checkpoint_is_its_files_and_their_record(saved):
    names = {f"ckpt-{step}.{ending}" for step in (1, 2) for ending in ENDINGS}
    assert {path.name for path in saved.iterdir()} == names


@pytest.mark.parametrize("ending", ENDINGS)
@pytest.mark.parametrize("damage", ["flipped", "cut off", "removed"])
def test_a_damaged_one_is_passed_over_and_named(copied, capsys, ending, damage):
    path = copied / f"ckpt-2.{ending}"
    if damage == "removed":
        path.unlink()
    elif damage == "flipped":
        flip(path, len(path.read_bytes()) // 2)
    else:
        path.write_bytes(path.read_bytes()[:-3])
    checkpoint = checkpoint_files.newest_intact(copied)
    printed = capsys.readouterr().out
    if (ending, damage) == ("json", "removed"):  # killed just before: it is whole all the same
        assert checkpoint == (2, [])
        assert printed == ""
    else:
        assert checkpoint == (1, [2])
        assert re.search(rf"ckpt-2\S* is damaged.*{copied}/ckpt-1 is used instead\n$", printed)
        assert str(path) in printed or ending == "json"


@pytest.mark.parametrize("ending", ["index", "data-00000-of-00001"])
def test_without_a_record_it_is_checked_by_reading(copied, ending):
    for step in (1, 2):
        (copied / f"ckpt-{step}.json").unlink()
    assert checkpoint_files.newest_intact(copied) == (2, [])
    flip(copied / f"ckpt-2.{ending}", 100)
    assert checkpoint_files.newest_intact(copied) == (1, [2])


def test_where_none_is_good_each_is_named(copied):
    flip(copied / "ckpt-1.index")
    flip(copied / "ckpt-2.data-00000-of-00001")
    with pytest.raises(RunError, match=r"(?s)ckpt-2\.data.*ckpt-1\.index.*--noresume") as error:
        restore_weights(small_model(), copied)
    assert "\n" not in str(error.value)


def test_it_goes_on_from_the_good_one_over_the_damaged_one(copied):
    flip(copied / "ckpt-2.index")
    checkpoints = Checkpoints(small_model(), copied, 2)
    assert checkpoints.restore() == 1
    assert checkpoints.latest == str(copied / "ckpt-1")
    checkpoints.save(2)
    assert checkpoint_files.newest_intact(copied) == (2, [])
    checkpoints.save(3)
    assert checkpoint_files.steps(copied) == [2, 3]


def test_a_damaged_one_goes_with_the_next_that_is_saved(copied):
    flip(copied / "ckpt-2.index")
    checkpoints = Checkpoints(small_model(), copied, 1)
    checkpoints.restore()
    checkpoints.save(4)
    assert checkpoint_files.steps(copied) == [4]
    assert len(list(copied.iterdir())) == 3


@pytest.mark.parametrize("place", ["write", "record"])
def test_a_write_that_fails_leaves_those_before(copied, monkeypatch, place):
    checkpoints = Checkpoints(trained_model(), copied, 2)
    before = {path.name: path.read_bytes() for path in copied.iterdir()}

    def fail(*_):
        raise OSError(errno.ENOSPC, "No space left on device")

    if place == "write":
        monkeypatch.setattr(tf.train.Checkpoint, "write", fail)
    else:
        monkeypatch.setattr(checkpoint_files, "_flush_to_disk", fail)
    with pytest.raises(RunError, match=r"of step 3 .*No space left.*MiB are free.*ckpt-2, is int"):
        checkpoints.save(3)
    assert {path.name: path.read_bytes() for path in copied.iterdir()} == before
