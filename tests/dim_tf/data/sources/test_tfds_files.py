"""Missing files of TFDS: a quick error that says what to do."""

import http.server
import json
import threading
import time

import numpy as np
import pytest
import requests
import tensorflow as tf

from dim_tf import data
from dim_tf.data.sources import in_memory, tfds_files
from dim_tf.system.errors import InputError


@pytest.fixture
def server():
    """A web server that answers 503 at /busy and 404 elsewhere."""

    class Handler(http.server.BaseHTTPRequestHandler):
        def do_HEAD(self):
            self.send_response(503 if self.path == "/busy" else 404)
            self.end_headers()

        def log_message(self, *arguments):
            pass

    http_server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=http_server.serve_forever, args=(0.02,), daemon=True).start()
    yield f"http://127.0.0.1:{http_server.server_port}"
    http_server.shutdown()
    http_server.server_close()


def test_a_server_that_answers_is_reachable(server):
    assert tfds_files.why_unreachable(f"{server}/file") == ""
    assert tfds_files.why_unreachable(f"{server}/busy") == "HTTP status 503"
    assert tfds_files.why_unreachable("ftp://host/file") == ""


def test_a_closed_port_is_not():
    assert tfds_files.why_unreachable("http://127.0.0.1:9/file") == "ConnectionError"


def no_network(*arguments, **settings):
    raise requests.ConnectTimeout


@pytest.mark.parametrize(
    ("name", "host"),
    [
        ("cifar10", "www.cs.toronto.edu"),
        ("cifar100", "www.cs.toronto.edu"),
        ("stl10", "ai.stanford.edu"),
        ("tiny_imagenet", "cs231n.stanford.edu"),
        ("celeb_a", "drive.google.com"),
        ("fashion_mnist", "fashion-mnist.s3-website.eu-central-1.amazonaws.com"),
        ("tfds:svhn_cropped", "ufldl.stanford.edu"),
    ],
)
def test_without_a_network_the_error_comes_at_once(name, host, tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "head", no_network)
    before = time.monotonic()
    with pytest.raises(
        InputError, match=rf"{host} cannot be reached \(ConnectTimeout\). .*[Bb]y hand"
    ):
        data.load(name, data.DataRequest(str(tmp_path)))
    assert time.monotonic() - before < 10


def test_files_that_are_there_need_no_network(tmp_path, monkeypatch):
    monkeypatch.setattr(requests, "head", no_network)
    request = data.DataRequest(str(tmp_path))
    builder = tfds_files.find_builder("cifar10", request)
    tried = []
    monkeypatch.setattr(builder, "download_and_prepare", lambda: tried.append(1))
    manual = tmp_path / "downloads" / "manual" / "cifar-10-binary.tar.gz"
    manual.parent.mkdir(parents=True)
    manual.touch()
    tfds_files.prepare(builder, request)
    manual.unlink()
    with pytest.raises(InputError, match="cannot be reached"):
        tfds_files.prepare(builder, request)
    (cached,) = builder.url_infos
    info = tmp_path / "downloads" / "cifar10.INFO"
    for damaged in ("{", "[]", '{"urls": 3}', "\udcff"):
        info.write_text(damaged, errors="surrogateescape")
        with pytest.raises(InputError, match="cannot be reached"):
            tfds_files.prepare(builder, request)
    info.write_text(json.dumps({"urls": [cached]}))
    tfds_files.prepare(builder, request)
    assert len(tried) == 2


def test_a_failed_download_says_why(tmp_path, monkeypatch):
    monkeypatch.setattr(tfds_files, "why_unreachable", lambda url: "")
    request = data.DataRequest(str(tmp_path))
    builder = tfds_files.find_builder("cifar10", request)

    def fail():
        raise ValueError("checksum\nis wrong")

    monkeypatch.setattr(builder, "download_and_prepare", fail)
    with pytest.raises(InputError, match=r"failed \(ValueError: checksum is wrong\). By hand"):
        tfds_files.prepare(builder, request)


def test_images_that_cannot_fit_into_memory_are_refused():
    one = tf.data.Dataset.from_tensors((tf.zeros([64, 64, 3], tf.uint8),))
    with pytest.raises(InputError, match="GiB of memory; give a smaller --image_size"):
        in_memory.collect(one, 10**10)


@pytest.mark.parametrize(
    ("count", "says"), [(2, "1 images, and not the 2"), (0, "more than the 0")]
)
def test_the_count_must_be_right(count, says):
    one = tf.data.Dataset.from_tensors((tf.zeros([2, 2, 3], tf.uint8), np.int64(3)))
    with pytest.raises(InputError, match=says):
        in_memory.collect(one, count)


def test_batches_are_put_one_after_the_other(monkeypatch):
    monkeypatch.setattr(in_memory, "_BATCH", 2)
    images = np.arange(5, dtype=np.uint8).reshape(5, 1, 1, 1)
    split = in_memory.collect(tf.data.Dataset.from_tensor_slices((images, np.arange(5))), 5)
    np.testing.assert_array_equal(split.images, images)
    np.testing.assert_array_equal(split.labels, np.arange(5))
