"""The folder of a run, which holds nobody else's files."""

import pytest

from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError
from dim_tf.training import run_folder


def test_a_folder_that_is_no_run_is_not_emptied(tmp_path):
    """--run_dir may be a slip, or a flagfile's from elsewhere."""
    kept = tmp_path / "checkpoints" / "theirs"
    kept.parent.mkdir()
    kept.write_text("")
    experiment = Experiment.of(name="a", run_dir=str(tmp_path), resume=False)
    with pytest.raises(InputError, match=r"is no run folder: it has no experiment.json"):
        run_folder.prepare(experiment)
    assert kept.exists()
    (tmp_path / "experiment.json").write_text("{}")
    run_folder.prepare(experiment)
    assert not kept.exists()
