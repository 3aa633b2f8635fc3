"""Files for TensorFlow Serving beside a SavedModel: warm-up requests and configuration."""

import json
from pathlib import Path

import numpy as np
import tensorflow as tf
from google.protobuf.message import DecodeError

from dim_tf.export import encoded_input
from dim_tf.export.version_folders import published_versions
from dim_tf.system.errors import InputError
from dim_tf.system.files import atomic_write_text
from dim_tf.system.io_errors import reason

WARMUP_FILE = "assets.extra/tf_serving_warmup_requests"
CONFIG_FOLDER = "serving"

MAX_REQUEST_IMAGES = 4096  # a server that batches refuses larger requests
MAX_EXECUTED_IMAGES = 64  # at once
# BatchingParameters of TensorFlow Serving's session_bundle_config.proto. With splitting,
# max_batch_size is the largest request; without, it is the largest batch that is executed.
BATCHING_CONFIG = f"""\
# For --batching_parameters_file: waits up to 2 ms to merge requests of one signature.
# Larger requests than {MAX_EXECUTED_IMAGES} images are split, than {MAX_REQUEST_IMAGES} refused.
max_batch_size {{ value: {MAX_REQUEST_IMAGES} }}
enable_large_batch_splitting {{ value: true }}
max_execution_batch_size {{ value: {MAX_EXECUTED_IMAGES} }}
batch_timeout_micros {{ value: 2000 }}
max_enqueued_batches {{ value: 256 }}
num_batch_threads {{ value: 4 }}
"""
MODELS_CONFIG_HEADER = """\
# For --model_config_file: the newest version of each encoder is served. To serve an older one, or
# several, keep a copy of this file under another name and write into its config { ... }:
#   model_version_policy { specific { versions: 2 } }    version 2 alone (a rollback)
#   model_version_policy { latest { num_versions: 2 } }  the newest two
#   model_version_policy { all {} }                      every version that is there
"""
MONITORING_CONFIG = """\
# For --monitoring_config_file: metrics for Prometheus.
prometheus_config { enable: true path: "/monitoring/prometheus/metrics" }
"""
COMPOSE_FILE = """\
# Serves every encoder of the folder above: docker compose up
#
# "encoder" serves every signature and batches none: an image that cannot be decoded fails only its
# own request. "encoder-batched" (docker compose --profile batched up) merges the requests of
# several clients, which suits arrays (serving_default) and serving_bytes_valid; do not send
# serving_bytes there, where one broken image fails every request that it is merged with.
services:
  encoder:
    image: ${TF_SERVING_IMAGE:-tensorflow/serving:latest}
    command:
      - --model_config_file=/models/serving/models.config
      - --model_config_file_poll_wait_seconds=60
      - --monitoring_config_file=/models/serving/monitoring.config
    ports: ["8500:8500", "8501:8501"]
    volumes: ["..:/models:ro"]
    restart: unless-stopped
  encoder-batched:
    profiles: [batched]
    image: ${TF_SERVING_IMAGE:-tensorflow/serving:latest}
    command:
      - --model_config_file=/models/serving/models.config
      - --model_config_file_poll_wait_seconds=60
      - --monitoring_config_file=/models/serving/monitoring.config
      - --enable_batching=true
      - --batching_parameters_file=/models/serving/batching.config
    ports: ["8510:8500", "8511:8501"]
    volumes: ["..:/models:ro"]
    restart: unless-stopped
"""


def write_warmup(path: Path, name: str, pixels: np.ndarray, are_arrays: bool = False) -> None:
    """Writes a SavedModel's warm-up requests, which a server answers before it serves others.

    Each signature gets two requests of real images: one with a single image, one with all of them.

    Args:
        path: Path of the SavedModel.
        name: Name under which the model is served.
        pixels: float32 [N, H, W, C], in the form that the SavedModel takes.
        are_arrays: Whether it takes arrays, and .npy files as bytes. If not, it takes pictures in
            [0, 1].
    """
    from tensorflow_serving.apis import predict_pb2, prediction_log_pb2

    (path / WARMUP_FILE).parent.mkdir(exist_ok=True)
    encoded = encoded_input.files_of(pixels, are_arrays)
    signatures = tf.saved_model.load(str(path)).signatures
    with tf.io.TFRecordWriter(str(path / WARMUP_FILE)) as writer:
        for signature, function in signatures.items():
            inputs = function.structured_input_signature[1]
            for count in (1, len(pixels)):
                request = predict_pb2.PredictRequest()
                request.model_spec.name = name
                request.model_spec.signature_name = signature
                if "image_bytes" in inputs:
                    proto = tf.make_tensor_proto(encoded[:count])
                    request.inputs["image_bytes"].CopyFrom(proto)
                else:
                    request.inputs["images"].CopyFrom(tf.make_tensor_proto(pixels[:count]))
                log = prediction_log_pb2.PredictionLog()
                log.predict_log.request.CopyFrom(request)
                writer.write(log.SerializeToString())


def warmup_images(path: Path, signature: str) -> np.ndarray:
    """The real images of a SavedModel's warm-up requests, float32 [N, H, W, C].

    Args:
        path: Path of the SavedModel.
        signature: A signature that takes images.

    Raises:
        InputError: There are none, or the file is damaged.
    """
    from tensorflow_serving.apis import prediction_log_pb2

    file = path / WARMUP_FILE
    try:
        for record in tf.data.TFRecordDataset(str(file)).as_numpy_iterator():
            request = prediction_log_pb2.PredictionLog.FromString(record).predict_log.request
            if request.model_spec.signature_name == signature and "images" in request.inputs:
                images = tf.make_ndarray(request.inputs["images"])
                if len(images) > 1:  # the first request has one image
                    return images
    except (tf.errors.OpError, DecodeError, TypeError, ValueError) as error:
        raise InputError(
            f"{file} cannot be read ({reason(error)}); export again, with --mode=export"
        ) from error
    raise InputError(
        f"{file} has no images for the signature {signature}; export again, with --mode=export"
    )


def models_config(names: list[str]) -> str:
    """The ModelServerConfig, as text, for models in /models."""
    entries = [
        f"  config {{ name: {json.dumps(name)} base_path: {json.dumps('/models/' + name)} "
        'model_platform: "tensorflow" }\n'
        for name in names
    ]
    return MODELS_CONFIG_HEADER + "model_config_list {\n" + "".join(entries) + "}\n"


def write_config(export_dir: Path) -> None:
    """Writes the configuration of a server for all encoders in a folder of exports.

    Args:
        export_dir: Folder of exports; models.config, batching.config, monitoring.config and
            compose.yaml in its folder `serving` are replaced.
    """
    folder = export_dir / CONFIG_FOLDER
    folder.mkdir(exist_ok=True)
    atomic_write_text(folder / "batching.config", BATCHING_CONFIG)
    atomic_write_text(folder / "monitoring.config", MONITORING_CONFIG)
    atomic_write_text(folder / "compose.yaml", COMPOSE_FILE)
    written = None
    while written != (names := _encoder_names(export_dir)):  # another export may end meanwhile
        atomic_write_text(folder / "models.config", models_config(names))
        written = names


def _encoder_names(export_dir: Path) -> list[str]:
    """The encoders that have a version."""
    return sorted(
        folder.name
        for folder in export_dir.iterdir()
        if folder.is_dir() and published_versions(folder)
    )
