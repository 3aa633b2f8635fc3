"""The run folder: its files at the start of training."""

import shutil
from pathlib import Path

from dim_tf.data.folder import report
from dim_tf.data.splits import Splits
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text
from dim_tf.training import data_fingerprint, encoder_config, nan_restores, start_weights

FIT_FILE = "fit.json"  # how a model without steps was fitted
_FOLDERS = ("checkpoints", "tensorboard", "finetune")
_FILES = (
    "experiment.json",
    "metrics.jsonl",
    "evaluation.json",
    "evaluation.previous.json",
    "report.html",
    report.SUMMARY_FILE,
    report.BAD_IMAGES_FILE,
    report.TRAINED_IMAGES_FILE,
    data_fingerprint.FILE,
    nan_restores.FILE,
    encoder_config.FILE,
    start_weights.FILE,
    start_weights.SOURCE_FILE,
    "trackers.json",
    FIT_FILE,
)


def prepare(experiment: Experiment, splits: Splits | None = None) -> None:
    """Creates the run folder and its first files; without --resume, empties it first.

    Args:
        experiment: Content of experiment.json.
        splits: The data, for their fingerprint and for their report, if there is one; None: neither
            is written.

    Raises:
        InputError: It cannot be written; or it is to be emptied and is not a run folder.
    """
    folder = experiment.run_path
    try:
        folder.mkdir(parents=True, exist_ok=True)
        if not experiment.training.resume:
            _empty(folder)
        atomic_write_text(folder / "experiment.json", experiment.to_json())
        if splits:
            data_fingerprint.record(folder, splits)
            if splits.report:
                splits.report.write(folder)
                splits.report.record_training_images(folder)
    except OSError as error:
        raise InputError(
            f"the run folder {folder} cannot be written ({error.strerror}); give another --run_dir"
        ) from error


def _empty(folder: Path) -> None:
    """Removes the files of a run, but not somebody's own `checkpoints`, whatever --run_dir says."""
    folders = [folder / name for name in _FOLDERS if (folder / name).exists()]
    if folders and not (folder / "experiment.json").is_file():
        raise InputError(
            f"--noresume would remove {folders[0]}, but {folder} is no run folder: it has "
            "no experiment.json; give another --run_dir"
        )
    for path in folders:
        shutil.rmtree(path)
    for name in _FILES:
        (folder / name).unlink(missing_ok=True)
