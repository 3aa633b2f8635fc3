"""Compares runs on one page."""

from dim_tf.evaluation import (
    compare,
)
from dim_tf.experiment import Experiment
from dim_tf.system.console import say
from dim_tf.system.io_errors import translate_write_errors


def compare_runs(experiment: Experiment) -> None:
    """Writes one page that compares the runs of --runs."""
    folders = compare.run_folders(experiment.evaluation.runs)
    path = compare.page_path(folders, experiment.run_dir)
    with translate_write_errors(
        str(path), path.parent, "the runs are intact; make room and compare again"
    ):
        compare.write_comparison(path, folders)
    say(f"comparison: {path}")
