"""KServe's server with an export answers the REST client as the SavedModel does."""

import json
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from pathlib import Path

import numpy as np
import pytest
import small_export
import tensorflow as tf
from small_export import close

from dim_tf.export import classifier_saved_model, saved_model

pytest.importorskip("kserve")
FOLDER = Path(__file__).parents[2] / "examples/serving"
DEADLINE = 120  # seconds until the server answers, on a busy machine


def free_port() -> int:
    with socket.socket() as listener:
        listener.bind(("localhost", 0))
        return listener.getsockname()[1]


@pytest.fixture(scope="module")
def url(small_model):
    port = free_port()
    command = [sys.executable, str(FOLDER / "kserve_server.py"), "--model_name=small"]
    command += [f"--model_dir={small_model[0]}", f"--http_port={port}"]
    url = f"http://localhost:{port}"
    with subprocess.Popen(command) as server:
        try:
            until = time.monotonic() + DEADLINE
            while time.monotonic() < until and server.poll() is None:
                try:
                    urllib.request.urlopen(f"{url}/v1/models/small", timeout=5)
                    break
                except OSError:
                    time.sleep(0.5)
            yield url
        finally:
            server.terminate()


def ask(url, images, out, *flags):
    command = [sys.executable, str(FOLDER / "rest_client.py"), f"--url={url}", "--model=small"]
    command += [f"--out={out}", *flags, *map(str, images)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


@pytest.fixture(scope="module")
def images(tmp_path_factory):
    folder = tmp_path_factory.mktemp("images")
    pixels = np.random.default_rng(0).integers(0, 256, (2, 20, 31, 3), np.uint8)
    tf.io.write_file(str(folder / "a.png"), tf.io.encode_png(pixels[0]))
    tf.io.write_file(str(folder / "b.jpg"), tf.io.encode_jpeg(pixels[1]))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xffno image")
    return folder


def test_the_client_gets_the_features_of_the_saved_model(url, images, small_model, tmp_path):
    paths = [images / "a.png", images / "b.jpg"]
    done = ask(url, paths, tmp_path / "features.npy")
    assert done.returncode == 0, done.stderr
    signature = tf.saved_model.load(str(small_model[0])).signatures["serving_bytes"]
    right = signature(image_bytes=tf.constant([path.read_bytes() for path in paths]))["global"]
    close(np.load(tmp_path / "features.npy"), right.numpy())


def test_a_broken_image_is_a_bad_request(url, images, tmp_path):
    done = ask(url, [images / "broken.jpg"], tmp_path / "features.npy")
    assert done.returncode == 1
    (line,) = done.stderr.splitlines()
    assert line.startswith("error: 400: an image has height and width 0 0")


@pytest.mark.parametrize(
    ("request_body", "content_type", "message"),
    [
        ('{"signature_name": "nothing", "instances": []}', "application/json", "expected one of"),
        ('{"inputs": []}', "application/json", "expected {"),
        ('{"instances": []}', "text/plain", "application/json"),
        ('{"signature_name": ["serving_bytes"], "instances": []}', "application/json", "one of"),
        (
            '{"signature_name": "serving_bytes", "instances": [{"image_bytes": {"b64": ""}}]}',
            "application/json",
            "keys ['image_bytes']; expected",
        ),
        ('{"instances": [[1, 2]]}', "application/json", "shape (1, 2); expected (None, 8, 8, 3)"),
        ('{"instances": []}', "application/json", "shape (0,); expected (None, 8, 8, 3)"),
        ('{"instances": ["text"]}', "application/json", "text"),
        (
            '{"signature_name": "serving_bytes", "instances": [{"b64": "no base64"}]}',
            "application/json",
            "base64",
        ),
    ],
)
def test_a_wrong_request_is_refused_with_what_is_expected(url, request_body, content_type, message):
    request = urllib.request.Request(
        f"{url}/v1/models/small:predict", request_body.encode(), {"Content-Type": content_type}
    )
    with pytest.raises(urllib.error.HTTPError) as refused:
        urllib.request.urlopen(request, timeout=60)
    assert refused.value.code == 400
    assert message in json.load(refused.value)["error"]


def test_a_classifier_gives_the_names_of_its_classes_and_probabilities(tmp_path, monkeypatch):
    monkeypatch.syspath_prepend(str(FOLDER))
    import kserve_server

    encoder, head = small_export.small_encoder(), small_export.head()
    classifier_saved_model.save(
        encoder, head, tmp_path, saved_model.SavedModelOptions({}, label_names=head.label_names)
    )
    model = kserve_server.SavedModel("small", str(tmp_path))
    model.load()
    images = small_export.images(40)
    predictions = model.predict({"instances": images.tolist()})["predictions"]
    expected = head.probabilities(saved_model.keras_features(encoder, images))
    close([row["probabilities"] for row in predictions], expected)
    classes = [head.label_names[best] for best in expected.argmax(axis=1)]
    assert [row["classes"] for row in predictions] == classes
    names = head.label_names
    assert "Käuzchen" in names  # whatever random weights answer, such a name is text
    assert kserve_server._json(tf.constant(names)) == list(names)
