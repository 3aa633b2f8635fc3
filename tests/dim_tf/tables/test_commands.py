"""A row's settings as the flags of its processes."""

from dim_tf.experiment import Experiment
from dim_tf.tables.commands import experiment_flags, job_command
from dim_tf.tables.plan import make_plan


def test_flags_are_the_settings_that_differ_from_the_defaults(tmp_path):
    settings = {"table": "1", "rows": "dim_l_jsd", "dataset": "cifar10", "run_dir": str(tmp_path)}
    settings |= {"download": False, "data_dir": "/secret"}
    job = make_plan(Experiment.of(name="t", **settings), settings).jobs[0]
    flags = experiment_flags(job.experiment, ["svm"])
    assert {"--download=false", "--dataset=cifar10", "--measures=svm"} <= set(flags)
    assert not any(flag.startswith(("--table", "--batch_size")) for flag in flags)
    assert "/secret" not in job_command(job)
    assert str(tmp_path) not in job_command(job)
