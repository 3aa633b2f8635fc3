"""`dim_tf.train`, `finetune`, `embed`, `curate`, `anomaly` and `search`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import keras

from dim_tf import data
from dim_tf.data.folder.image_folders import join_folders
from dim_tf.experiment import Experiment
from dim_tf.registry import SOURCES
from dim_tf.run import Run, flag_values
from dim_tf.settings.finetuning import check_classifier_export
from dim_tf.system import console
from dim_tf.system.console import say
from dim_tf.system.errors import InputError

if TYPE_CHECKING:
    from dim_tf.collection.curation.curation import Curation
    from dim_tf.collection.detect_folder import Anomalies
    from dim_tf.collection.search import QueryMatches


def train(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    *,
    encoder: str | os.PathLike = "",
    out: str | os.PathLike = "",
    callbacks: Sequence[keras.callbacks.Callback] = (),
    verbose: int = 1,
    **settings: Any,
) -> Run:
    """Trains an encoder.

    A second call with the same settings continues the run. With schedule="constant" (not the
    default for a folder), a call with more epochs also continues it.

    Args:
        images: A folder of images, a list of folders, or the name of a data set, such as "digits"
            or "tfds:NAME". A path that exists or contains a separator is a folder.
        encoder: As for the flag --encoder: a name, keras:NAME, keras_hub:PRESET, or a .keras file.
            Empty: chosen by the size of the images.
        out: The run folder. Empty: runs/NAME.
        callbacks: Keras callbacks.
        verbose: 1 prints lines and Keras' progress bar; 0 prints nothing.
        **settings: By flag name, such as epochs=5 or **{"simclr.temperature": 0.2}.

    Returns:
        The run.

    Raises:
        InputError: Settings are wrong, data are missing, or another process uses the run folder.
        RunError: Training failed.
        Stopped: SIGTERM or SIGINT (Ctrl-C) arrived; a checkpoint was saved.
    """
    from_arguments = {"encoder": encoder, "run_dir": out}
    repeated = [name for name in (*from_arguments, "dataset") if name in settings]
    if repeated:
        raise InputError(f"{repeated[0]} is given by images, encoder and out; leave it out")
    with console.quiet(not verbose):
        flags = {**_data_flags(images, settings), **from_arguments, **settings}
    flags = flag_values({name: value for name, value in flags.items() if not _is_empty(value)})
    name = data.folder_name(flags["dataset"], flags.get("data_dir", ""))
    run = Run(Experiment.of(**{"name": name, **flags}), verbose)
    run.train(callbacks)
    return run


def _data_flags(
    images: str | os.PathLike | Sequence[str | os.PathLike], settings: dict[str, Any]
) -> dict[str, Any]:
    """The settings that say which images: of a folder, of several folders, or of a data set."""
    if not images or not isinstance(images, str | os.PathLike | list | tuple):
        raise InputError(
            f"images={images!r}; expected a folder of images, a list of several, or the name of a "
            "data set"
        )
    if not isinstance(images, str | os.PathLike):
        return _flags_of_folders([os.fspath(path) for path in images], settings)
    name = os.fspath(images)
    is_path = isinstance(images, os.PathLike) or os.path.basename(name) != name
    is_folder = os.path.isdir(name) or is_path
    if name.startswith("tfds:") or not is_folder:  # an unknown name, too, which is refused
        return {"dataset": name}
    _check_one_place(name, settings)
    if name in SOURCES:
        say(f"{name} is the folder here, not the data set of that name")
    return {"dataset": "folder", "data_dir": name}


def _flags_of_folders(paths: list[str], settings: dict[str, Any]) -> dict[str, Any]:
    data_dir = join_folders("images", paths)
    _check_one_place(data_dir, settings)
    return {"dataset": "folder", "data_dir": data_dir}


def _check_one_place(images: str, settings: dict[str, Any]) -> None:
    if "data_dir" in settings:
        raise InputError(
            f"data_dir={settings['data_dir']}, and images={images}; give the folders by images"
        )


def embed(
    source: str | os.PathLike,
    output: str | os.PathLike,
    encoder: str | os.PathLike,
    *,
    verbose: int = 1,
    **settings: Any,
) -> Path:
    """Writes the embeddings of a collection of images, computed by an exported encoder.

    A second call continues where the first one stopped.

    Args:
        source: A folder, a pattern of TFRecord files, or tfds:NAME:SPLIT.
        output: Folder of the embeddings.
        encoder: One version of an exported encoder, such as exported/photos/1.
        verbose: 1 prints lines; 0 prints nothing.
        **settings: By flag name: embed_format, embed_shard, data_dir, max_pixels; or
            embed_feature="local" for local maps, float16 [H, W, D] per image (docs/PATCHES.md).

    Returns:
        The folder of the embeddings.

    Raises:
        InputError: The collection or encoder does not exist, or `output` holds other embeddings.
        RunError: A file cannot be read or written.
    """
    flags = {"embed_input": source, "embed_output": output, "encoder_path": encoder, **settings}
    return Run(Experiment.of(**{"name": "embed", **flag_values(flags)}), verbose).embed()


def finetune(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    encoder: str | os.PathLike,
    *,
    out: str | os.PathLike = "",
    verbose: int = 1,
    **settings: Any,
) -> Path:
    """Trains a classifier on an exported encoder and labelled images; measures and exports it.

    A second call continues where the first one stopped. If that one had finished, it exports again.

        path = dim_tf.finetune("photos/", "exported/photos/1", labels="labels.csv")
        probabilities = tf.saved_model.load(str(path))(images)  # float32 [N, labels]

    Args:
        images: A folder of images, a list of folders, or the name of a data set, such as "digits"
            or "tfds:NAME". The labels are the names of the class folders, or come from the setting
            `labels`.
        encoder: One version of an exported encoder, such as exported/photos/1.
        out: The run folder, for checkpoints and results. Empty: runs/NAME.
        verbose: 1 prints lines; 0 prints nothing.
        **settings: By flag name, such as labels="labels.csv" or finetune_layers="head".

    Returns:
        The folder of the new version, exported/NAME-classifier/VERSION.

    Raises:
        InputError: The images or the encoder do not exist, there are too few labels, or a setting
            is for exported encoders only, such as quantized.
        RunError: Training or the export failed.
        Stopped: SIGTERM or SIGINT (Ctrl-C) arrived; a checkpoint was saved.
    """
    check_classifier_export(settings)
    return _run_on_images(images, encoder, out, verbose, settings).finetune()


def curate(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    encoder: str | os.PathLike,
    *,
    out: str | os.PathLike = "",
    verbose: int = 1,
    **settings: Any,
) -> "Curation":
    """Finds copies, outliers, doubtful labels, leaks and a subset in a folder of images.

    It changes no file of the folder.

    Args:
        images: A folder of images, or a list of folders.
        encoder: One version of an exported encoder, such as exported/photos/1.
        out: The run folder, for embeddings and results. Empty: runs/NAME.
        verbose: 1 prints lines; 0 prints nothing.
        **settings: By flag name, such as subset_size=200.

    Returns:
        All results; `summary()` has the counts, thresholds and rates.

    Raises:
        InputError: The images or the encoder do not exist, or faiss-cpu is not installed.
        RunError: A file cannot be read or written.
    """
    return _run_on_images(images, encoder, out, verbose, settings).curate()


def anomaly(
    normal: str | os.PathLike | Sequence[str | os.PathLike],
    images: str | os.PathLike | Sequence[str | os.PathLike],
    encoder: str | os.PathLike,
    *,
    out: str | os.PathLike = "",
    verbose: int = 1,
    **settings: Any,
) -> "Anomalies":
    """Scores images by how far their local features are from those of normal images (PatchCore).

    The detector is written to exported/NAME-detector, or below the folder `export_dir`.

        anomalies = dim_tf.anomaly("boards/good", "boards/new", "exported/boards/1")
        anomalies.ids[anomalies.alarms.scores.argmax()]  # the most anomalous image

    Args:
        normal: A folder of normal images, or a list of folders.
        images: A folder of images to score, or a list of folders.
        encoder: One version of an exported encoder, such as exported/boards/1.
        out: The run folder, for local maps and results. Empty: runs/NAME.
        verbose: 1 prints lines; 0 prints nothing.
        **settings: By flag name, such as anomaly_false_alarms=0.01.

    Returns:
        Scores [N], alarms and heat maps of the images, and the detector.

    Raises:
        InputError: The images or the encoder do not exist, the encoder has no local map, or there
            are too few normal images for the rate of false alarms.
        RunError: A file cannot be read or written.
    """
    return _run_on_images(normal, encoder, out, verbose, settings).anomaly(images)


def search(
    images: str | os.PathLike | Sequence[str | os.PathLike],
    query: str | os.PathLike,
    encoder: str | os.PathLike,
    *,
    out: str | os.PathLike = "",
    verbose: int = 1,
    **settings: Any,
) -> "list[QueryMatches]":
    """Finds the images of a folder that are most similar to the query images.

    An exported encoder embeds the folder; a second call does not embed it again. With
    search_by="patch" it finds the images that show a detail of the query, and where they show it:

        results = dim_tf.search(
            "photos", "a.jpg", "exported/photos/1", search_by="patch", query_box=(40, 60, 32, 32)
        )
        match = results[0].matches[0]
        match.id, match.location  # row and column of the local map

    Args:
        images: A folder of images, or a list of folders.
        query: An image, or a folder of images.
        encoder: One version of an exported encoder, such as exported/photos/1.
        out: The run folder, for embeddings and results. Empty: runs/NAME.
        verbose: 1 prints lines; 0 prints nothing.
        **settings: By flag name, such as k=20. query_box is (top, left, height, width) in pixels of
            the query.

    Returns:
        The matches of each query image, the most similar first.

    Raises:
        InputError: The images or the encoder do not exist; or faiss-cpu is not installed (not
            needed with search_by="patch"); or with search_by="patch", the encoder has no local map.
        RunError: A file cannot be read or written.
    """
    return _run_on_images(images, encoder, out, verbose, settings).search(query)


def _is_empty(value: Any) -> bool:
    return isinstance(value, str) and not value


def _run_on_images(images, encoder, out, verbose, settings) -> Run:
    """A run on these images; its stages start from an exported encoder."""
    with console.quiet(not verbose):
        flags = {**_data_flags(images, settings), "encoder_path": encoder, "run_dir": out}
    flags = flag_values(
        {name: value for name, value in {**flags, **settings}.items() if not _is_empty(value)}
    )
    name = data.folder_name(flags["dataset"], flags.get("data_dir", ""))
    return Run(Experiment.of(**{"name": name, **flags}), verbose)
