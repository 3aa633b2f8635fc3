"""What is written for TensorFlow Serving can be read by it."""

import shutil
from pathlib import Path

import pytest
import tensorflow as tf
from google.protobuf import text_format
from small_export import close, images
from tensorflow_serving.apis import prediction_log_pb2
from tensorflow_serving.config import model_server_config_pb2

from dim_tf.export import saved_model, serving


def test_warm_up_requests_are_answered(small_model, tmp_path):
    """As the server does: each names a signature and its inputs."""
    exported, encoder = small_model
    shutil.copytree(exported, tmp_path, dirs_exist_ok=True)
    serving.write_warmup(tmp_path, "small", images())
    signatures = tf.saved_model.load(str(tmp_path)).signatures
    path = tmp_path / "assets.extra/tf_serving_warmup_requests"
    logs = [
        prediction_log_pb2.PredictionLog.FromString(record)
        for record in tf.data.TFRecordDataset(str(path)).as_numpy_iterator()
    ]
    assert 0 < len(logs) <= 1000
    seen = set()
    wanted = saved_model.keras_features(encoder, images())
    for log in logs:
        request = log.predict_log.request
        assert request.model_spec.name == "small"
        signature = request.model_spec.signature_name
        inputs = {name: tf.constant(tf.make_ndarray(x)) for name, x in request.inputs.items()}
        features = signatures[signature](**inputs)["global"]
        close(features, wanted[: len(features)])
        seen.add((signature, len(features)))
    assert seen == {(name, count) for name in signatures for count in (1, 6)}


def test_config_names_every_encoder_that_has_a_version(tmp_path):
    for version in ("digits/1", "digits/2", "faces/10", "empty", "broken/.unpublished-x"):
        (tmp_path / version).mkdir(parents=True)
    (tmp_path / "README.md").write_text("")
    serving.write_config(tmp_path)
    config = model_server_config_pb2.ModelServerConfig()
    text_format.Parse((tmp_path / "serving/models.config").read_text(), config)
    paths = {model.name: model.base_path for model in config.model_config_list.config}
    assert paths == {"digits": "/models/digits", "faces": "/models/faces"}
    assert {model.model_platform for model in config.model_config_list.config} == {"tensorflow"}
    (tmp_path / "new/1").mkdir(parents=True)
    serving.write_config(tmp_path)
    assert '"new"' in (tmp_path / "serving/models.config").read_text()


def test_the_last_writer_of_the_config_knows_all_encoders(tmp_path, monkeypatch):
    """Another export ends, and writes its config, between this one's listing and its writing."""
    (tmp_path / "digits/1").mkdir(parents=True)
    write = serving.models_config

    def late(names):
        if not (tmp_path / "faces").exists():
            (tmp_path / "faces/1").mkdir(parents=True)
            serving.write_config(tmp_path)
        return write(names)

    monkeypatch.setattr(serving, "models_config", late)
    serving.write_config(tmp_path)
    config = (tmp_path / "serving/models.config").read_text()
    assert '"digits"' in config
    assert '"faces"' in config


def test_the_default_service_does_not_batch(tmp_path):
    """One image that cannot be decoded fails its own request."""
    yaml = pytest.importorskip("yaml")
    (tmp_path / "digits/1").mkdir(parents=True)
    serving.write_config(tmp_path)
    services = yaml.safe_load((tmp_path / "serving/compose.yaml").read_text())["services"]
    assert not any("batching" in flag for flag in services["encoder"]["command"])
    assert "profiles" not in services["encoder"]
    assert services["encoder-batched"]["profiles"] == ["batched"]
    for service in services.values():
        source, inside, how = service["volumes"][0].split(":")
        assert how == "ro"
        mounted = tmp_path / "serving" / source  # as compose does: from the folder of its file
        files = [flag.split("=")[1] for flag in service["command"] if "file=" in flag]
        assert len(files) >= 2
        for path in (*files, f"{inside}/digits/1"):  # as models.config says
            assert (mounted / Path(path).relative_to(inside)).exists()
