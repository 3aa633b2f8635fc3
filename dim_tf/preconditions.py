"""What must exist before a stage starts. Imports no TensorFlow, which takes seconds."""

import contextlib
import importlib.util
import os
from itertools import islice, product
from pathlib import Path

from dim_tf.data import LABEL_MODES
from dim_tf.data.folder.image_folders import open_folders, split_data_dir
from dim_tf.data.sources import TFDS_PREFIX
from dim_tf.experiment import Experiment
from dim_tf.export.version_folders import published_versions
from dim_tf.models.base import ModelSettings
from dim_tf.registry import SOURCES
from dim_tf.settings.anomaly import NORMAL_NAMES
from dim_tf.settings.data import DataSettings
from dim_tf.stages.encoder_path import encoder_path
from dim_tf.system.errors import InputError
from dim_tf.system.json_files import read_json
from dim_tf.training import cluster

_ON_DATA = {"train", "evaluate", "export", "finetune"}
_BY_EXPORT = {"finetune", "embed", "curate", "anomaly", "search"}
_ON_FOLDER = ("curate", "anomaly", "search")
_MASKS_FOLDER = "ground_truth"
_LOOKED_AT = 100  # folders, and files in each
_ALONE = {
    "compare": "run the other stages first",
    "table": "it trains and measures its rows",
}


def check(experiment: Experiment, modes: list[str]) -> None:
    """Checks what the command line alone can get wrong: stages, folders and files that it names.

    Args:
        experiment: The settings.
        modes: The stages, in order.

    Raises:
        InputError: Stages do not go together, a folder or file does not exist, or a file of labels
            cannot be used.
    """
    for mode, why in _ALONE.items():
        if mode in modes and modes != [mode]:
            raise InputError(f"--mode={mode} stands alone; {why}")
    if "table" in modes:
        return
    if "compare" in modes:
        from dim_tf.evaluation import compare

        compare.page_path(compare.run_folders(experiment.evaluation.runs), experiment.run_dir)
        return
    _check_stages(experiment, modes)
    if _ON_DATA & set(modes):
        _check_data_dir(experiment.data)
    if experiment.evaluation.encoder_path and modes == ["evaluate"]:
        _check_encoder(experiment.evaluation.encoder_path, "--encoder_path")
    elif modes[0] in ("evaluate", "export") and not (experiment.run_path / "checkpoints").is_dir():
        raise InputError(f"{experiment.run_path} has no checkpoint; run --mode=train first")
    if "evaluate" in modes:
        for path in experiment.evaluation.reference_paths.values():
            _check_encoder(path, "--reference")
    if "train" in modes:
        _check_beginning(experiment)
        _check_trackers(experiment)
        _check_package(experiment.model)
    if "finetune" in modes and experiment.data.labels == "none":
        raise InputError(
            "--labels=none, and a classifier is learned from labels; leave --labels out, or give "
            "folders or a CSV file"
        )
    if "embed" in modes:
        _check_collection(experiment)
    for mode in modes:
        if mode in _ON_FOLDER:
            _check_folder(experiment, mode)
    if "anomaly" in modes:
        _check_anomaly(experiment)
    if "search" in modes:
        _check_search(experiment)
    if experiment.curation.apply and len(split_data_dir(experiment.data.data_dir)) > 1:
        raise InputError("--apply cleans one folder only; give a single folder as --data_dir")
    if _BY_EXPORT & set(modes) and "export" not in modes:
        encoder = _check_exported(experiment)
        for flag in _flags_of_local_maps(experiment, modes):
            _check_local(encoder, flag)
    if set(_ON_FOLDER) & set(modes):
        for folder in open_folders(experiment.data.data_dir).paths:
            _check_not_empty(folder, "--data_dir")
    if "anomaly" in modes:
        for folder in open_folders(experiment.anomaly.input, "--anomaly_input").paths:
            _check_not_empty(folder, "--anomaly_input")
    if "export" in modes and experiment.export.neighbours_index not in ("", "train"):
        _check_embeddings(experiment.export.neighbours_index)


def _check_labels_file(data: DataSettings) -> None:
    """Refuses a file of labels that is missing or cannot be used, before TensorFlow is imported."""
    path = data.request.labels_path
    if not path.is_file():
        raise InputError(
            f"--labels={data.labels} is no file; expected {', '.join(LABEL_MODES)}, or the path of "
            "a CSV file"
        )
    from dim_tf.data.folder.labels_file import read_labels_file  # imports NumPy

    read_labels_file(path, data.label_column)


def _check_data_dir(data: DataSettings) -> None:
    """Refuses a folder of images with another data set, which would then be trained on."""
    if data.dataset == "folder":
        open_folders(data.data_dir)
        if data.request.has_labels_file:
            _check_labels_file(data)
        return
    source = SOURCES.get(data.dataset)
    dataset_folder = data.dataset.removeprefix(TFDS_PREFIX).partition("/")[0].partition(":")[0]
    has_dataset_folder = (Path(data.data_dir) / dataset_folder).is_dir()
    if not data.data_dir or has_dataset_folder or (source and source.reads_image_files):
        return
    from dim_tf.data.folder.file_bytes import has_image_suffix  # imports NumPy

    given = [Path(path) for path in split_data_dir(data.data_dir) if path]
    folders = [*given, *islice((sub for path in given for sub in path.glob("*/")), _LOOKED_AT)]
    for folder in folders:
        for path in islice(folder.glob("*"), _LOOKED_AT):
            if has_image_suffix(path):
                raise InputError(
                    f"--data_dir={data.data_dir} holds images ({path.name}), and "
                    f"--dataset={data.dataset} does not read them; leave --dataset out to train on "
                    "them, or --data_dir"
                )


def _check_stages(experiment: Experiment, modes: list[str]) -> None:
    if not experiment.model.HAS_ENCODER and "export" in modes:
        raise InputError(
            f"--model={experiment.model.NAME} has no encoder to export; give --mode=train,evaluate"
        )
    if (
        experiment.evaluation.encoder_path
        and not set(modes) <= _BY_EXPORT
        and modes != ["evaluate"]
    ):
        raise InputError(
            "--encoder_path is for --mode=evaluate, finetune, embed, curate, anomaly and search; "
            "give one of these"
        )
    if experiment.training.strategy == "multi_worker" and modes != ["embed"]:
        if modes != ["train"]:
            raise InputError(
                "--strategy=multi_worker is for --mode=train alone; give that, and afterwards one "
                "process --mode=evaluate,export without --strategy"
            )
        if experiment.training.cluster == "tf_config":
            cluster.from_environment()


def _check_beginning(experiment: Experiment) -> None:
    """What training starts from must exist, unless it continues from a checkpoint."""
    if experiment.training.resume and (experiment.run_path / "encoder.json").exists():
        return  # whether there is a checkpoint is checked later
    for name, path in experiment.encoder.files.items():
        if not path.is_file():
            raise InputError(f"--{name}={path} is no file; give one that is there")
    start = Path(experiment.encoder.init_from)
    files = ("saved_model.pb", "experiment.json")
    goes_on = experiment.training.resume and (experiment.run_path / "checkpoints").is_dir()
    if (
        experiment.encoder.init_from
        and not goes_on
        and not any((start / f).is_file() for f in files)
    ):
        raise InputError(
            f"--init_from={start} is no run folder (no experiment.json) and no exported encoder "
            "(no saved_model.pb); give one, such as exported/dim_cifar10/1"
        )


def _check_trackers(experiment: Experiment) -> None:
    for name in experiment.training.tracker_names:
        spec = importlib.util.find_spec(name)
        if spec is None or spec.origin is None:  # a mere folder of that name has no origin
            raise InputError(
                f"--track={name} needs the package {name}: pip install 'dim_tf[{name}]'"
            )


def _check_package(model: ModelSettings) -> None:
    if model.PACKAGE and importlib.util.find_spec(model.PACKAGE) is None:
        raise InputError(
            f"--model={model.NAME} needs the package {model.PACKAGE}: "
            f"pip install 'dim_tf[{model.EXTRA}]'"
        )


def _check_encoder(path: str, flag: str) -> None:
    is_keras = path.endswith(".keras") and Path(path).is_file()
    if not is_keras and not Path(path, "saved_model.pb").is_file():
        raise InputError(
            f"{flag}={path} is no SavedModel (no saved_model.pb) and no .keras file; give "
            "one, such as exported/cifar10/1"
        )


def _check_collection(experiment: Experiment) -> None:
    where = experiment.collection.input
    if not where:
        raise InputError(
            "--mode=embed needs --embed_input: a folder of images, a pattern of TFRecord files "
            "(images-*.tfrecord), or tfds:NAME:SPLIT"
        )
    is_pattern = where.startswith("tfds:") or "://" in where or any(c in where for c in "*?[{")
    if not is_pattern and not Path(where).exists():
        raise InputError(
            f"--embed_input={where} is not there; give a folder of images, a pattern of TFRecord "
            "files (images-*.tfrecord), or tfds:NAME:SPLIT"
        )


def _check_folder(experiment: Experiment, mode: str) -> None:
    data = experiment.data
    if data.dataset != "folder":
        raise InputError(
            f"--mode={mode} takes the images of a folder, and --dataset={data.dataset} is none; "
            "give --data_dir=FOLDER"
        )
    open_folders(data.data_dir)
    by_index = mode == "curate" or (mode == "search" and experiment.search.by == "image")
    if by_index and data.request.has_labels_file:
        _check_labels_file(data)
    if by_index and importlib.util.find_spec("faiss") is None:
        raise InputError(f"--mode={mode} needs faiss-cpu; pip install 'dim_tf[search]'")


def _check_anomaly(experiment: Experiment) -> None:
    """Normal and scored images must be in separate folders, without what does not belong there."""
    given = experiment.anomaly.input
    if not given:
        raise InputError("--mode=anomaly needs --anomaly_input, the folder of images to score")
    scored = open_folders(given, "--anomaly_input").paths
    normal = open_folders(experiment.data.data_dir).paths
    for path, scored_path in product(normal, scored):
        one, other = path.resolve(), scored_path.resolve()
        if one.is_relative_to(other) or other.is_relative_to(one):
            raise InputError(
                f"--anomaly_input={scored_path} and --data_dir={path} have images in common, which "
                "would be scored by a bank of themselves; give folders apart from each other"
            )
    for flag, path in (
        *(("--data_dir", path) for path in normal),
        *(("--anomaly_input", path) for path in scored),
    ):
        if (path / _MASKS_FOLDER).is_dir():
            raise InputError(
                f"{flag}={path} holds {_MASKS_FOLDER}, whose masks would be taken for images; give "
                f"{'train/good' if flag == '--data_dir' else 'test'} in it"
            )
    for path in normal:
        names = sorted(p.name for p in path.iterdir() if p.is_dir() and p.name[:1] != ".")
        others = [name for name in names if name.lower() not in NORMAL_NAMES]
        if others and len(others) < len(names):
            good = next(name for name in names if name not in others)
            raise InputError(
                f"--data_dir={path} holds {good}, and {others[0]} beside it; all images of "
                f"--data_dir are taken as normal: give {path / good}"
            )


def _check_search(experiment: Experiment) -> None:
    search = experiment.search
    if search.by == "patch" and not search.query:
        raise InputError("--search_by=patch needs --query, an image or a folder of images")
    if not (search.query or search.serve):
        raise InputError(
            "--mode=search needs --query, an image or a folder of images, or --serve=127.0.0.1:8000"
        )
    if search.query and not Path(search.query).exists():
        raise InputError(f"--query={search.query} is not there; give an image, or a folder of some")
    if search.box and Path(search.query).is_dir():
        raise InputError(
            f"--query_box is a detail of one image, and --query={search.query} is a folder; give "
            "an image"
        )


def _flags_of_local_maps(experiment: Experiment, modes: list[str]) -> list[str]:
    """The flags that need local maps."""
    asked = {
        "--mode=anomaly": "anomaly" in modes,
        "--search_by=patch": "search" in modes and experiment.search.by == "patch",
        "--embed_feature=local": "embed" in modes and experiment.collection.feature == "local",
    }
    return [flag for flag, is_asked in asked.items() if is_asked]


def _check_local(encoder: Path, flag: str) -> None:
    """If an export lists its endpoints, one of them must be the local map."""
    metadata = encoder / "assets" / "metadata.json"
    if not metadata.is_file():  # an export of another program; checked when it is loaded
        return
    signatures = read_json(metadata, "export again").get("signatures", {})
    outputs = signatures.get("endpoints", {}).get("outputs") if signatures else {"local": ""}
    if "local" not in (outputs or {}):
        has = f"the endpoints {', '.join(outputs)}" if outputs else "no endpoints"
        raise InputError(
            f"{flag} needs local maps, and the model in {encoder} has {has}; give an export of an "
            "encoder that has them, as --mode=train,export --encoder=basic makes it"
        )


def _check_not_empty(folder: Path, flag: str) -> None:
    from dim_tf.data.folder.file_bytes import is_image_file  # imports NumPy

    files = (Path(root, name) for root, _, names in os.walk(folder) for name in names)
    with contextlib.suppress(OSError):  # a file that cannot be read is reported when it is listed
        if not any(is_image_file(path) for path in files):
            raise InputError(f"{flag}={folder} holds no image; give a folder with some")


def _check_exported(experiment: Experiment) -> Path:
    """The folder of the encoder."""
    if experiment.evaluation.encoder_path:
        path = encoder_path(experiment)
        if not (path / "saved_model.pb").is_file():
            raise InputError(
                f"--encoder_path={path} is no exported encoder (it has no saved_model.pb); give a "
                "version's folder, such as exported/cifar10/1"
            )
        return path
    folder = Path(experiment.export.export_dir) / experiment.name
    versions = published_versions(folder)
    if not any((folder / str(n) / "saved_model.pb").is_file() for n in versions):
        raise InputError(
            f"{folder} holds no exported encoder; run --mode=train,export first, or give "
            "--encoder_path"
        )
    return encoder_path(experiment)


def _check_embeddings(where: str) -> None:
    if not (Path(where) / "embeddings.json").is_file():
        raise InputError(
            f"--neighbours_index={where} holds no embeddings (it has no embeddings.json); give "
            "train, or a folder that --mode=embed wrote"
        )
