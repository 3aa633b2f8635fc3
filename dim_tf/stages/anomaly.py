"""Scores images by how far they are from normal ones."""

import dataclasses
from pathlib import Path

from dim_tf.collection import detect_folder, embedded_folder
from dim_tf.collection.detect_folder import Anomalies
from dim_tf.collection.patches.detection import draw_calibration
from dim_tf.collection.patches.detector_export import DetectorInfo, publish_detector
from dim_tf.data.folder.file_groups import group_files
from dim_tf.data.folder.image_folders import open_folders
from dim_tf.experiment import Experiment
from dim_tf.export.local_maps import LocalMaps
from dim_tf.stages.encoder_path import encoder_path
from dim_tf.stages.export_options import CHECKED_IMAGES
from dim_tf.system.console import say
from dim_tf.system.files import make_folder


def anomaly(experiment: Experiment) -> Anomalies:
    """Scores the images of --anomaly_input by how far they are from those of --data_dir.

    Writes anomalies.csv, anomalies.json and anomalies.html into RUN_DIR/anomaly, and also
    defect_types.csv if folders name defects. Writes the detector to EXPORT_DIR/NAME-detector.

    Raises:
        InputError: The encoder has no local map, or there are too few normal images.
        RunError: A file cannot be read or written.
    """
    path = encoder_path(experiment)
    local_maps = LocalMaps(path)  # refused before images are read
    folder = experiment.run_path / "anomaly"
    make_folder(folder, "--run_dir")
    scored_folders = open_folders(experiment.anomaly.input, "--anomaly_input")
    folders = open_folders(experiment.data.data_dir)
    normal = embedded_folder.map_folder(
        experiment, folders, path, local_maps.frame, experiment.collection.output
    )
    groups = group_files(normal.maps.ids, folders, experiment.data.request)
    draw_calibration(groups, experiment.anomaly)  # raises before images are embedded in vain
    scored = embedded_folder.map_folder(experiment, scored_folders, path, local_maps.frame)
    anomalies = detect_folder.detect_folder(
        normal,
        scored,
        scored_folders,
        local_maps.frame,
        experiment.anomaly,
        experiment.data.max_pixels,
        groups,
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
