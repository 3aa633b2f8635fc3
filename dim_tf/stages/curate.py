"""Curates a folder of images."""

from pathlib import Path

from dim_tf.collection import embedded_folder
from dim_tf.collection.curate_folder import curate_folder
from dim_tf.collection.curation.clean_folder import write_clean_folder
from dim_tf.collection.curation.csv_files import PAGE_FILE, describe_curation, write_curation
from dim_tf.collection.curation.curation import Curation
from dim_tf.collection.curation.curation_page import render_page
from dim_tf.experiment import Experiment
from dim_tf.export import exported_encoder
from dim_tf.stages.encoder_path import encoder_path
from dim_tf.system.console import say
from dim_tf.system.files import make_folder


def curate(experiment: Experiment) -> Curation:
    """Finds copies, outliers, doubtful labels, leaks and a subset in the images of --data_dir.

    Writes CSV files, curation.json and curate.html into RUN_DIR/curate, and with --apply a clean
    folder. The user's files do not change.

    Raises:
        InputError: The images or the encoder do not exist, or faiss-cpu is not installed.
        RunError: A file cannot be read or written.
    """
    encoder = exported_encoder.load(encoder_path(experiment))
    images = embedded_folder.embed_folder(experiment, encoder.path)
    index = embedded_folder.open_index(images, experiment.run_path / "index")
    say(f"curate: neighbours by an index: {index.description}")
    if experiment.curation.duplicate_pixels:
        say("curate: compares pixels of likely copies, and of other pairs for the error rates")
    curation = curate_folder(images, index, encoder, experiment.curation)
    folder = experiment.run_path / "curate"
    make_folder(folder, "--run_dir")
    page = render_page(curation, experiment.name)
    write_curation(curation, folder, page)
    for line in describe_curation(curation.summary()):
        say(f"curate: {line}")
    say(f"curate: {folder / PAGE_FILE}")
    settings = experiment.curation
    if settings.apply:
        clean = write_clean_folder(
            curation,
            Path(experiment.data.data_dir).expanduser(),
            Path(settings.apply_dir),
            settings.apply,
            without_outliers=settings.apply_without_outliers,
        )
        say(
            f"curate: {clean.path}: {clean.images:,} images, without {clean.duplicates:,} copies "
            f"and {clean.outliers:,} outliers"
        )
    return curation
