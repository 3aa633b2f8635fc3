"""The stages beside training. They meet in the run folder."""

import dataclasses
from contextlib import AbstractContextManager
from functools import partial
from pathlib import Path
from typing import Any

import keras
import numpy as np
import tensorflow as tf

from dim_tf.collection import detect_folder, embed, embedded_folder, embeddings, image_collection
from dim_tf.collection.curate_folder import curate_folder
from dim_tf.collection.curation.clean_folder import write_clean_folder
from dim_tf.collection.curation.csv_files import PAGE_FILE, describe_curation, write_curation
from dim_tf.collection.curation.curation import Curation
from dim_tf.collection.curation.page import render_page
from dim_tf.collection.detect_folder import Anomalies
from dim_tf.collection.patch_search import features_in_box, without_zeros
from dim_tf.collection.patches.covered_part import box_in_part, covered_pixels
from dim_tf.collection.patches.detection import check_image_count
from dim_tf.collection.patches.detector_export import DetectorInfo, publish_detector
from dim_tf.collection.patches.stored_maps import StoredMaps
from dim_tf.collection.search import (
    QueryImage,
    QueryMatches,
    search_images,
    search_patches,
    write_results,
)
from dim_tf.collection.search_page import write_search_page
from dim_tf.collection.search_server import SearchServer, SearchService
from dim_tf.data import image_ops
from dim_tf.data.folder import decoding
from dim_tf.data.folder.image_folders import ImageFolders, open_folders
from dim_tf.data.image_frame import ImageSize
from dim_tf.data.splits import Splits
from dim_tf.evaluation import (
    card_metrics,
    compare,
    evaluation_file,
    feature_choice,
    generated_samples,
    label_free_verdict,
    projector,
    representation,
    saved_encoder,
    verdict,
)
from dim_tf.evaluation.evaluate import run_measures
from dim_tf.evaluation.measure_spec import TrainableEncoders
from dim_tf.evaluation.references import load_named, references
from dim_tf.evaluation.report import results
from dim_tf.evaluation.report.run_report import write_run_report
from dim_tf.experiment import Experiment
from dim_tf.export import exported_encoder, publish, saved_model
from dim_tf.export.card import ModelCardInfo
from dim_tf.export.classifier import ClassifierInfo, publish_classifier
from dim_tf.export.feature import Feature
from dim_tf.export.local_maps import LOCAL, LocalMaps
from dim_tf.export.version_folders import published_versions
from dim_tf.finetuning import result_files, source_encoder
from dim_tf.finetuning.comparison import FeaturePair
from dim_tf.finetuning.train_classifier import (
    check_labels,
    features_of,
    labelled_splits,
    train_classifier,
)
from dim_tf.settings.search import parse_address
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, MeasureError
from dim_tf.system.files import atomic_write_text, make_folder
from dim_tf.system.io_errors import translate_write_errors
from dim_tf.system.json_files import read_json
from dim_tf.system.versions import versions
from dim_tf.training import data_fingerprint, metrics_file, start_weights
from dim_tf.training.model import encoder_name, load_trained, random_encoder
from dim_tf.training.schedule import last_step
from keras_models.views import KINDS

NOTHING_TO_MEASURE = (
    "evaluate: there is nothing to measure, as no image is for the test (--test_fraction=0); "
    "--validation_fraction holds some of the training images out"
)
CHECKED_IMAGES = 32
CALIBRATION_IMAGES = 256


def evaluate(experiment: Experiment, splits: Splits) -> None:
    """Measures the trained encoder; writes evaluation.json and report.html.

    Raises:
        InputError: an encoder of --reference cannot be measured.
        MeasureError: a measure failed; all others are written before.
        RunError: there is no good checkpoint, or the files cannot be written.
    """
    named = load_named(experiment, splits)
    model, step = load_trained(experiment, splits)
    untrained = random_encoder(experiment, splits.train.images)
    start_encoder = None
    if experiment.evaluation.references and start_weights.exists(experiment.run_path):
        start_encoder = random_encoder(experiment, splits.train.images)
        start_weights.restore(start_encoder, experiment.run_path)
    elif experiment.evaluation.references and start_weights.begins_pretrained(experiment):
        say(
            "evaluate: the weights that training began with are not measured: "
            f"{start_weights.FILE} is missing in {experiment.run_path}; put a copy back"
        )
    protocol: dict[str, Any] = {
        "step": step,
        "budget_steps": last_step(experiment, splits),
        "seed": experiment.training.seed,
    }
    if start_encoder is not None:
        protocol["start_weights"] = start_weights.describe(experiment)
    before = data_fingerprint.read(experiment.run_path)
    changed = before.differences(data_fingerprint.DataFingerprint.of(splits))
    if changed:
        changes = " and ".join(f"{one}, fingerprint {getattr(before, one)}" for one in changed)
        protocol["trained_on"] = f"other data than those measured here: {changes}"
        say(f"evaluate: trained on other data than these: {changes}")
    _evaluate(
        experiment,
        splits,
        partial(
            representation.from_encoder,
            model.encoder,
            max_features=experiment.evaluation.max_features,
        ),
        references(experiment.evaluation.max_features, untrained, start_encoder, named)
        if experiment.evaluation.references
        else {},
        TrainableEncoders(model.encoder, untrained),
        protocol,
    )


def evaluate_saved(experiment: Experiment, splits: Splits) -> None:
    """Measures the encoder of --encoder_path; writes evaluation.json and report.html.

    Raises:
        InputError: it or an encoder of --reference cannot be loaded, or the run folder holds a run.
        MeasureError: a measure failed; all others are written before.
        RunError: the files cannot be written.
    """
    folder = experiment.run_path
    if (folder / "checkpoints").exists():
        raise InputError(
            f"{folder} holds a run, whose evaluation would be lost; give another --name or "
            "--run_dir for --encoder_path"
        )
    named = load_named(experiment, splits)
    encoder = saved_encoder.load(experiment.evaluation.encoder_path)
    with _writing("experiment.json", folder):
        atomic_write_text(folder / "experiment.json", experiment.to_json())
    _evaluate(
        experiment,
        splits,
        partial(
            representation.from_saved_encoder,
            encoder,
            max_features=experiment.evaluation.max_features,
        ),
        references(experiment.evaluation.max_features, named=named)
        if experiment.evaluation.references
        else {},
        None,
        {"encoder": encoder.description},
    )


def _evaluate(experiment, splits, encode, references, encoders, protocol):
    if splits.report:
        with _writing("the report of the data", experiment.run_path):
            splits.report.write(experiment.run_path)
    say("evaluate: whose features, measure, endpoint, value")
    evaluation = run_measures(encode, references, splits, experiment, encoders)
    decision = verdict.decide(
        evaluation.results,
        evaluation.reference_results,
        evaluation.content.get("feature", {}).get("name", "global"),
        was_trained=not experiment.evaluation.encoder_path,
    )
    if decision and decision["metric"] == label_free_verdict.METRIC:
        kind = KINDS.get(experiment.augmentation)
        decision = label_free_verdict.qualify(
            decision,
            trained_on_rotations=kind is not None and (kind.is_turned or kind.rotation >= 90),
        )
    elif decision and splits.label_names and not splits.multi_label:
        assert splits.test.labels is not None
        decision = verdict.with_most_frequent_class(
            decision, splits.test.labels, splits.label_names
        )
    evaluation.content["verdict"] = decision
    evaluation.content["protocol"] |= protocol | {
        "test_images": len(splits.test.images),
        "verdict": verdict.protocol(
            evaluation.content["verdict"],
            has_labels=bool(splits.label_names),
            has_references=bool(references),
        ),
    }
    folder = experiment.run_path
    with _writing("evaluation.json", folder):
        lost = evaluation_file.keep_previous(folder, evaluation.content)
        evaluation_file.write(folder, evaluation.content)
    if lost:
        say(
            f"evaluate: {', '.join(lost)} were not measured again; they are in "
            f"{folder / evaluation_file.PREVIOUS_FILE}"
        )
    if evaluation.projected is not None:
        with _writing("TensorBoard's projection", folder):
            projector.write(folder / "tensorboard", evaluation.projected)
    _write_report(experiment, protocol.get("step", 0), evaluation.content, evaluation.figures)
    for line in verdict.lines(evaluation.content):
        say(line)
    if evaluation.failed:
        reasons = "; ".join(f"{name}: {why}" for name, why in evaluation.failed.items())
        raise MeasureError(f"all was written but the values of what failed: {reasons}")


def show_samples(experiment: Experiment, splits: Splits) -> None:
    """Draws images from the trained generator; writes evaluation.json and report.html."""
    generator, step = load_trained(experiment, splits)
    evaluation = {"protocol": {"data": splits.note, "step": step, "seed": experiment.training.seed}}
    with _writing("evaluation.json", experiment.run_path):
        evaluation_file.write(experiment.run_path, evaluation)
    generated = generator.samples(generated_samples.COUNT, experiment.training.seed)
    figures = generated_samples.sample_grids(generated, splits)
    _write_report(experiment, step, evaluation, figures)


def _write_report(experiment, step, evaluation, figures):
    path = experiment.run_path / "report.html"
    with _writing("report.html", experiment.run_path):
        write_run_report(
            path,
            experiment=experiment.to_dict() | _chosen(experiment),
            evaluation=evaluation,
            metrics=metrics_file.read(experiment.run_path / "metrics.jsonl", step),
            figures=figures,
            versions=versions(),
        )
    say(f"report: {path}")


def _chosen(experiment: Experiment) -> dict[str, Any]:
    """What training was asked to choose, beside the values that it chose."""
    chosen = {"minutes": experiment.training.minutes, "automatic": ", ".join(experiment.automatic)}
    return {name: value for name, value in chosen.items() if value}


def _writing(name: str, folder: Path) -> AbstractContextManager[None]:
    return translate_write_errors(
        name, folder, "the file before, if there was one, is intact; make room and evaluate again"
    )


def export(experiment: Experiment, splits: Splits) -> Path:
    """Publishes the trained encoder as SavedModel and TFLite; returns the version's folder."""
    model, step = load_trained(experiment, splits)
    checked = splits.test if len(splits.test) else splits.train
    pixels = _pixels(checked.images[:CHECKED_IMAGES], splits)
    evaluation = _evaluation_of(experiment, step)
    choice = _exported_feature(experiment, evaluation)
    feature = Feature(choice["name"], choice["max_features"])
    numbers = feature.dimension(model.encoder)
    feature.freeze_unused(model.encoder)
    say(f"export: feature: {feature.name}, {numbers:,} numbers an image: {choice['reason']}")
    info = ModelCardInfo(
        training_data=splits.note,
        method=experiment.model.LEARNED,
        objective=experiment.model.summary,
        encoder=encoder_name(experiment, splits.image_shape),
        initial_weights=_initial_weights(experiment, step),
        steps=step,
        batch_size=experiment.training.batch_size,
        license=experiment.export.license,
        note=experiment.export.card_note,
        experiment=experiment.hyperparameters | _chosen(experiment),
        evaluation=evaluation,
        metrics=card_metrics.render(evaluation),
        feature_choice=choice,
    )
    options = publish.ExportOptions(
        feature=feature,
        label_names=splits.label_names,
        calibration=_pixels(splits.train.images[:CALIBRATION_IMAGES], splits),
        max_pixels=experiment.data.max_pixels,
        pixel_range=splits.pixel_range,
        fit=experiment.data.fit,
        channels=splits.input_channels,
        scaling=splits.scaling,
        quantized=experiment.export.quantized,
        neighbours=_neighbours_index(experiment, model.encoder, feature, splits),
        tflite=experiment.export.tflite_names,
        tflite_endpoints=experiment.export.tflite_endpoints,
        keep_versions=experiment.export.keep_versions,
    )
    folder = Path(experiment.export.export_dir) / experiment.name
    target, difference = publish.publish(model.encoder, folder, pixels, info, options)
    say(f"exported: {target} (largest difference from the Keras model {difference:.1e})")
    return target


def _initial_weights(experiment: Experiment, step: int) -> str:
    """A line of the card: the weights before training; empty where they were random."""
    weights = start_weights.describe(experiment)
    return f"{weights}{start_weights.describe_freezing(experiment, step)}" if weights else ""


def _pixels(images: np.ndarray, splits: Splits) -> np.ndarray:
    """Images of the data set as its exported models take them, float32 [N, H, W, C]."""
    unit = image_ops.to_unit(tf.constant(images))
    pixels = image_ops.with_channels(unit, splits.input_channels).numpy()
    return splits.scaling.from_unit(pixels) if splits.scaling else pixels


def _evaluation_of(experiment: Experiment, step: int) -> dict[str, Any]:
    """evaluation.json of the same training step; empty where there is none.

    Raises:
        InputError: it is damaged.
    """
    path = experiment.run_path / "evaluation.json"
    if not path.exists():
        return {}
    evaluation = read_json(path, "run --mode=evaluate again")
    results.check(evaluation, path)
    return evaluation if evaluation.get("protocol", {}).get("step") == step else {}


def exported_feature(experiment: Experiment, step: int) -> Feature:
    """The feature that an export of the run gives at a training step."""
    choice = _exported_feature(experiment, _evaluation_of(experiment, step))
    return Feature(choice["name"], choice["max_features"])


def _exported_feature(experiment: Experiment, evaluation: dict[str, Any]) -> dict[str, Any]:
    return feature_choice.exported(
        experiment.export.feature, experiment.evaluation.max_features, evaluation
    )


def _neighbours_index(
    experiment: Experiment, encoder: keras.Model, feature: Feature, splits: Splits
) -> saved_model.NeighboursIndex | None:
    """The embeddings that the signature `neighbours` searches; None without the signature."""
    where = experiment.export.neighbours_index
    if not where:
        return None
    if where == "train":
        images = splits.train.images
        batches = [
            saved_model.keras_features(
                encoder,
                image_ops.to_unit(images[first : first + representation.BATCH_SIZE]),
                feature,
            )
            for first in range(0, len(images), representation.BATCH_SIZE)
        ]
        features = np.concatenate(batches)
        ids = [f"train:{number}" for number in range(len(images))]
    else:
        ids, features = embeddings.read(Path(where))
        embeddings.check_encoder(Path(where), encoder.variables, feature.name)
        dimension = feature.dimension(encoder)
        if features.shape[1] != dimension:
            raise InputError(
                f"the embeddings in {where} have {features.shape[1]} numbers, the encoder's "
                f"{dimension}; embed the images by an export of this run"
            )
    return saved_model.NeighboursIndex(
        tuple(ids), features, min(experiment.export.neighbours, len(ids))
    )


def exported_image_size(experiment: Experiment) -> ImageSize:
    """The size of the images that the encoder of --mode=finetune takes; 0: it does not say."""
    return source_encoder.image_size(_exported_encoder(experiment))


def finetune(experiment: Experiment, splits: Splits) -> Path:
    """Trains a classifier on an exported encoder and labels, measures and publishes it.

    Writes CSV files, finetune.json and finetune.html into RUN_DIR/finetune, beside the checkpoints.

    Returns:
        The version's folder.

    Raises:
        InputError: There are too few labels, the encoder does not take the images, or RUN_DIR holds
            another classifier.
        RunError: Training or the export failed, or a file cannot be written.
        Stopped: By SIGTERM or SIGINT, after a checkpoint.
    """
    keras.mixed_precision.set_global_policy("float32")
    tf.config.experimental.enable_tensor_float_32_execution(False)  # as in all training
    settings, seed = experiment.finetuning, experiment.training.seed
    check_labels(splits, settings, seed)
    train, test = labelled_splits(splits)
    if splits.report and source_encoder.is_of_run(experiment):
        splits.report.check(experiment.run_path)
    source = source_encoder.load(_exported_encoder(experiment), splits)
    counts = f"{len(train):,} labelled training images, {len(test) if test else 0:,} test images"
    say(f"finetune: {counts}, by {source.path}")
    references = {}
    if test is not None:
        encoders = source_encoder.reference_encoders(source, experiment, splits.train.images)
        references = {
            name: FeaturePair(
                *(features_of(encoder, source.exported_feature, x.images) for x in (train, test))
            )
            for name, encoder in encoders.items()
        }
    folder = experiment.run_path / "finetune"
    trained = train_classifier(
        source.encoder,
        source.feature,
        train,
        test,
        splits.label_names,
        settings,
        seed=seed,
        augmentation=experiment.augmentation,
        folder=folder,
        references=references,
    )
    for line in result_files.describe(trained.report):
        say(f"finetune: {line}")
    make_folder(folder, "--run_dir")
    data = f"{counts}. {splits.note}"
    result_files.write_results(trained.report, folder, experiment.name, data)
    say(f"finetune: {folder / result_files.PAGE_FILE}")
    checked = test or train
    own = settings.values() | {"seed": seed, "augmentation": experiment.augmentation}
    info = ClassifierInfo(
        source.card_info(experiment.export.license, experiment.export.card_note, own),
        data,
        trained.report,
    )
    options = publish.ExportOptions(
        feature=source.feature,
        calibration=_pixels(splits.train.images[:CALIBRATION_IMAGES], splits),
        max_pixels=experiment.data.max_pixels,
        pixel_range=splits.pixel_range,
        fit=experiment.data.fit,
        channels=splits.input_channels,
        scaling=splits.scaling,
        tflite=experiment.export.tflite_names,
        keep_versions=experiment.export.keep_versions,
    )
    target, difference = publish_classifier(
        source.encoder,
        trained.head,
        Path(experiment.export.export_dir) / f"{experiment.name}-classifier",
        _pixels(checked.images[:CHECKED_IMAGES], splits),
        info,
        options,
    )
    say(f"finetune: {target} (largest difference from the Keras model {difference:.1e})")
    return target


def compare_runs(experiment: Experiment) -> None:
    """Writes one page on the runs of --runs."""
    folders = compare.run_folders(experiment.evaluation.runs)
    path = compare.page_path(folders, experiment.run_dir)
    with translate_write_errors(
        str(path), path.parent, "the runs are intact; make room and compare again"
    ):
        compare.write_comparison(path, folders)
    say(f"comparison: {path}")


def embed_collection(experiment: Experiment) -> Path:
    """Writes the embeddings of --embed_input by an exported encoder; returns their folder."""
    images = image_collection.open_collection(
        experiment.collection.input,
        experiment.data.data_dir,
        experiment.data.download,
        experiment.data.max_pixels,
    )
    path = _exported_encoder(experiment)
    out = Path(experiment.collection.output or experiment.run_path / "embeddings")
    say(f"embed: {images.description}, by {path}")
    settings = experiment.collection
    summary = embed.embed(path, images, out, settings.format, settings.shard_size, settings.feature)
    say(f"embed: {summary['images']:,} images, {summary['refused']:,} refused: {out}")
    if settings.feature == LOCAL:
        height, width, size = StoredMaps(out).shape[1:]
        say(f"embed: local maps of {height} x {width} locations, {size:,} numbers each")
    return out


def _exported_encoder(experiment: Experiment) -> Path:
    """The version that --encoder_path names, or the newest of the run's exports."""
    folder = Path(experiment.export.export_dir) / experiment.name
    newest = folder / str(max(published_versions(folder), default=1))
    return Path(experiment.evaluation.encoder_path or newest)


def curate(experiment: Experiment) -> Curation:
    """Looks after the images of --data_dir: copies, outliers, doubtful labels, leaks, a subset.

    Writes CSV files, curation.json and curate.html into RUN_DIR/curate, and with --apply a clean
    folder. The user's files stay as they are.
    """
    encoder = exported_encoder.load(_exported_encoder(experiment))
    images = embedded_folder.embed_folder(experiment, encoder.path)
    index = embedded_folder.open_index(images, experiment.run_path / "index")
    say(f"curate: neighbours by an index: {index.description}")
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


def anomaly(experiment: Experiment) -> Anomalies:
    """Scores the images of --anomaly_input by how far they are from those of --data_dir.

    Writes anomalies.csv, anomalies.json and anomalies.html into RUN_DIR/anomaly, and publishes the
    detector in EXPORT_DIR/NAME-detector.
    """
    path = _exported_encoder(experiment)
    local_maps = LocalMaps(path)  # refused before images are read
    folder = experiment.run_path / "anomaly"
    make_folder(folder, "--run_dir")
    scored_folder = Path(experiment.anomaly.input).expanduser()
    folders = open_folders(experiment.data.data_dir)
    normal = embedded_folder.map_folder(
        experiment, folders, path, local_maps.frame, experiment.collection.output
    )
    check_image_count(len(normal.maps), experiment.anomaly)  # before others are embedded in vain
    scored = embedded_folder.map_folder(
        experiment, ImageFolders((scored_folder,), ("",)), path, local_maps.frame
    )
    anomalies = detect_folder.detect_folder(
        normal,
        scored,
        scored_folder,
        local_maps.frame,
        experiment.anomaly,
        experiment.data.max_pixels,
    )
    checked = [normal.path_of(image_id) for image_id in normal.maps.ids[:CHECKED_IMAGES]]
    target, difference = publish_detector(
        anomalies.detector,
        path,
        Path(experiment.export.export_dir) / f"{experiment.name}-detector",
        local_maps.pixels_of(checked),
        DetectorInfo(
            f"{len(normal.maps):,} images of {', '.join(folders.names)}",
            anomalies.measured(),
            experiment.export.license,
            experiment.export.card_note,
        ),
        experiment.export.keep_versions,
    )
    anomalies = dataclasses.replace(anomalies, path=target)
    page = detect_folder.write_anomalies(folder, anomalies, scored, experiment.name)
    for line in anomalies.lines():
        say(f"anomaly: {line}")
    say(f"exported: {target} (largest difference from the detector {difference:.1e})")
    say(f"anomaly: {page}")
    return anomalies


def search(experiment: Experiment) -> list[QueryMatches]:
    """Finds the images of --data_dir that are most similar to those of --query.

    With --search_by=patch those that most likely hold a detail of it, and where. Writes
    results.csv and search.html into RUN_DIR/search; with --serve, answers until it is stopped.

    Returns:
        The matches of each image of --query.
    """
    if experiment.search.by == "patch":
        return _search_details(experiment)
    encoder = exported_encoder.load(_exported_encoder(experiment))
    images = embedded_folder.embed_folder(experiment, encoder.path)
    folder = experiment.run_path / "search"
    index = embedded_folder.open_index(images, experiment.run_path / "index")
    say(f"search: {index.description}")
    matches = []
    if experiment.search.query:
        make_folder(folder, "--run_dir")
        paths = image_collection.query_images(Path(experiment.search.query))
        features = encoder(paths)  # before previews, as it says which image cannot be decoded
        queries = [QueryImage(str(path), decoding.decode_preview(path)) for path in paths]
        matches = search_images(index, queries, features, experiment.search.k)
        description = f"{len(index):,} images of {experiment.data.data_dir}, by {encoder.path}"
        _write_matches(folder, matches, images.read_image, description)
    if experiment.search.serve:
        service = SearchService(
            index,
            lambda content: encoder(content)[0],
            images.read_image,
            experiment.search.k,
            title=experiment.name,
        )
        server = SearchServer(parse_address(experiment.search.serve), service)
        say(f"search: {server.url} answers until Ctrl-C")
        try:
            server.serve_forever()
        finally:
            server.server_close()
    return matches


def _search_details(experiment: Experiment) -> list[QueryMatches]:
    """`search` by the local maps of all images, which it writes as --embed_feature=local does."""
    path = _exported_encoder(experiment)
    local_maps = LocalMaps(path)
    paths = image_collection.query_images(Path(experiment.search.query))
    details = [_detail(file, local_maps, experiment.search.box) for file in paths]
    images = embedded_folder.map_folder(
        experiment,
        open_folders(experiment.data.data_dir),
        path,
        local_maps.frame,
        experiment.collection.output,
    )
    maps = images.maps
    height, width = maps.shape[1:3]
    say(f"search: a detail among {len(maps):,} images of {height} x {width} locations")
    matches = search_patches(
        maps.by_location,
        (height, width),
        maps.ids,
        [query for query, _ in details],
        [patches for _, patches in details],
        experiment.search.k,
    )
    folder = experiment.run_path / "search"
    make_folder(folder, "--run_dir")
    description = f"{len(maps):,} images of {experiment.data.data_dir}, by {path}, by their details"
    _write_matches(folder, matches, images.read_image, description)
    return matches


def _detail(
    path: Path, local_maps: LocalMaps, box: tuple[int, ...]
) -> tuple[QueryImage, np.ndarray]:
    """A query as the page shows it, and the features of its patches, float16 [P, D].

    Raises:
        InputError: The image cannot be decoded, or the box is not in what the encoder sees of it.
    """
    local_map = local_maps.of_files([path])[0]
    if not box:
        seen = covered_pixels(decoding.decode_preview(path), local_maps.frame)
        patches = local_map.reshape(-1, local_map.shape[2])
        return QueryImage(str(path), seen), without_zeros(patches)
    top, left, rows, columns = box
    max_pixels = local_maps.options.max_pixels
    size = decoding.upright_size(path, max_pixels=max_pixels)
    inside, covered = box_in_part((top, left, rows, columns), local_maps.frame, *size)
    pixels = decoding.decode_preview(path, max_pixels=max_pixels, preview_pixels=max_pixels)
    shown = pixels[top : top + rows, left : left + columns]
    patches = features_in_box(local_map, inside, covered)
    return QueryImage(str(path), shown), without_zeros(patches)


def _write_matches(folder, matches, read_image, description):
    say(f"search: {write_results(folder, matches)}")
    say(f"search: {write_search_page(folder, matches, read_image, description)}")
