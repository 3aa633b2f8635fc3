"""The clients of examples/serving against servers of an exported encoder.

TensorFlow Serving is no Python package; where its binary is missing, `serving_substitute` stands in
for it.
"""

import importlib
import re
import shutil
import socket
import subprocess
import sys
import threading
import time
import urllib.request
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path

import numpy as np
import pytest
import tensorflow as tf
from small_export import SIZE, close

pytest.importorskip("grpc")
pytest.importorskip("tensorflow_serving.apis.prediction_service_pb2_grpc")
import serving_substitute

FOLDER = Path(__file__).parents[2] / "examples/serving"
MODEL, VERSION = "small", 3
BINARY = shutil.which("tensorflow_model_server")


@pytest.fixture(scope="module")
def exported(small_model, tmp_path_factory):
    path = tmp_path_factory.mktemp("exported") / MODEL / str(VERSION)
    return shutil.copytree(small_model[0], path)


@pytest.fixture(scope="module")
def signatures(exported):
    model = tf.saved_model.load(str(exported))
    yield model.signatures
    del model  # its variables live until here


@pytest.fixture(scope="module")
def stand_in(exported):
    """{protocol: url} of servers of the exported encoder."""
    with serving_substitute.serve(exported, MODEL, VERSION) as urls:
        yield urls


@pytest.fixture(scope="module")
def clients():
    """{protocol: client} and the load script, which import each other as scripts do."""
    sys.path.insert(0, str(FOLDER))
    names = ["rest_client", "grpc_client", "load"]
    rest, grpc_, load = (importlib.import_module(name) for name in names)
    yield {"rest": rest, "grpc": grpc_, "load": load}
    sys.path.remove(str(FOLDER))
    for name in names:
        del sys.modules[name]


@pytest.fixture(scope="module")
def image_folder(tmp_path_factory):
    """Files of several formats and sizes, and one that is no image."""
    folder = tmp_path_factory.mktemp("images")
    random = np.random.default_rng(0)

    def pixels(height, width):
        return random.integers(0, 256, (height, width, 3), np.uint8)

    tf.io.write_file(str(folder / "a.png"), tf.io.encode_png(pixels(SIZE, SIZE)))
    tf.io.write_file(str(folder / "b.jpg"), tf.io.encode_jpeg(pixels(20, 31)))
    tf.io.write_file(str(folder / "c.png"), tf.io.encode_png(pixels(40, 9)))
    (folder / "broken.jpg").write_bytes(b"\xff\xd8\xffno image")
    return folder


def paths(image_folder, *names):
    return [str(image_folder / name) for name in names]


GOOD = ("a.png", "b.jpg", "c.png")
protocols = pytest.mark.parametrize("protocol", ["rest", "grpc"])


def wanted(signatures, image_folder):
    encoded = tf.constant([(image_folder / name).read_bytes() for name in GOOD])
    return signatures["serving_bytes"](image_bytes=encoded)["global"].numpy()


def close_to_lines(printed, image_folder, right):
    for line, name, features in zip(printed.splitlines(), GOOD, right, strict=True):
        start = f"{image_folder / name} [5] "
        assert line.startswith(start)
        values = [float(x) for x in line.removeprefix(start).split()]
        np.testing.assert_allclose(values, features, atol=2e-4)


@protocols
@pytest.mark.parametrize("signature", ["serving_bytes", "serving_bytes_valid", "serving_default"])
def test_a_client_answers_as_the_saved_model(
    protocol, signature, clients, stand_in, signatures, image_folder, tmp_path, capsys
):
    if signature not in signatures:
        pytest.skip(f"the export has no {signature}")
    flags = [f"--url={stand_in[protocol]}", f"--model={MODEL}", f"--signature={signature}"]
    flags += [f"--out={tmp_path}/features.npy", f"--size={SIZE}"]
    assert clients[protocol].main([*flags, *paths(image_folder, *GOOD)]) == 0
    right = wanted(signatures, image_folder)
    features = np.load(tmp_path / "features.npy")
    assert features.dtype == np.float32
    close(features, right)
    close_to_lines(capsys.readouterr().out, image_folder, right)


@protocols
def test_a_version_is_asked_for(protocol, clients, stand_in, image_folder, capsys):
    flags = [f"--url={stand_in[protocol]}", f"--model={MODEL}", *paths(image_folder, "a.png")]
    assert clients[protocol].main([*flags, f"--version={VERSION}"]) == 0
    assert clients[protocol].main([*flags, "--version=7"]) == 1
    assert "Specific(small, 7)" in capsys.readouterr().err


@protocols
@pytest.mark.parametrize("signature", ["serving_bytes", "serving_default"])
def test_a_broken_image_fails(
    protocol, signature, clients, stand_in, image_folder, tmp_path, capsys
):
    flags = [f"--url={stand_in[protocol]}", f"--model={MODEL}", f"--signature={signature}"]
    flags += [f"--out={tmp_path}/features.npy", f"--size={SIZE}"]
    assert clients[protocol].main([*flags, *paths(image_folder, "a.png", "broken.jpg")]) == 1
    printed = capsys.readouterr()
    assert printed.out == ""
    codes = {"rest": "400", "grpc": "INVALID_ARGUMENT"}
    local = f"{image_folder / 'broken.jpg'} cannot be decoded"
    start = codes[protocol] if signature == "serving_bytes" else local
    assert re.match(rf"error: {re.escape(start)}: .*\w", printed.err)
    assert "Traceback" not in printed.err
    assert not (tmp_path / "features.npy").exists()


@protocols
def test_a_broken_image_is_reported(protocol, clients, stand_in, signatures, image_folder, capsys):
    if "serving_bytes_valid" not in signatures:
        pytest.skip("the export has no serving_bytes_valid")
    flags = [f"--url={stand_in[protocol]}", f"--model={MODEL}", "--signature=serving_bytes_valid"]
    assert (
        clients[protocol].main([*flags, *paths(image_folder, "a.png", "broken.jpg", "c.png")]) == 0
    )
    first, second, third = capsys.readouterr().out.splitlines()
    assert second == f"{image_folder / 'broken.jpg'} cannot be decoded"
    assert "a.png [5] " in first
    assert "c.png [5] " in third


@protocols
def test_errors_have_messages(protocol, clients, stand_in, image_folder, capsys):
    image = paths(image_folder, "a.png")
    main = clients[protocol].main
    assert main([f"--url={stand_in[protocol]}", "--model=half", *image]) == 1
    assert "Servable not found for request: Latest(half)" in capsys.readouterr().err
    nobody = free_port()
    url = f"http://localhost:{nobody}" if protocol == "rest" else f"localhost:{nobody}"
    assert main([f"--url={url}", f"--model={MODEL}", *image]) == 1
    assert str(nobody) in capsys.readouterr().err
    assert main([f"--url={url}", f"--model={MODEL}", str(image_folder / "none.png")]) == 1
    assert "none.png cannot be read: No such file" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        main([f"--url={url}", f"--model={MODEL}", "--signature=serving_default", *image])
    assert "give --size" in capsys.readouterr().err


def test_a_classifier_answers_with_a_class_and_its_probability(clients):
    row = {"classes": "cat", "probabilities": [0.25, 0.75]}
    assert clients["rest"].line(Path("a.png"), row) == "a.png cat 0.750"
    assert clients["rest"].features_of(row) == [0.25, 0.75]


def test_a_classifiers_answer_over_grpc_has_texts(clients):
    answer = serving_substitute.predict_pb2.PredictResponse()
    probabilities = np.float32([[0.25, 0.75], [0.5, 0.5]])
    for name, values in (("classes", ["Käuzchen", "dog"]), ("probabilities", probabilities)):
        answer.outputs[name].CopyFrom(tf.make_tensor_proto(values))
    rows = clients["grpc"].rows_of(answer)
    lines = [clients["grpc"].rest_client.line(Path("a.png"), row) for row in rows]
    assert lines == ["a.png Käuzchen 0.750", "a.png dog 0.500"]


def test_an_error_page_that_is_no_json(clients, image_folder, capsys):
    class Proxy(BaseHTTPRequestHandler):
        def do_POST(self):
            self.rfile.read(int(self.headers["Content-Length"]))
            self.send_response(502)
            self.end_headers()
            self.wfile.write(b"<h1>Bad Gateway</h1>")

        def log_message(self, *_):
            pass

    with ThreadingHTTPServer(("localhost", 0), Proxy) as http:
        threading.Thread(target=http.serve_forever, daemon=True).start()
        url = f"--url=http://localhost:{http.server_port}"
        assert clients["rest"].main([url, "--model=x", *paths(image_folder, "a.png")]) == 1
        http.shutdown()
    assert capsys.readouterr().err == "error: 502: <h1>Bad Gateway</h1>\n"


def test_rest_with_encoded_images_needs_only_python(stand_in, signatures, image_folder):
    """-S hides what is installed."""
    command = [sys.executable, "-I", "-S", str(FOLDER / "rest_client.py")]
    command += [f"--url={stand_in['rest']}", f"--model={MODEL}", *paths(image_folder, *GOOD)]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr
    close_to_lines(done.stdout, image_folder, wanted(signatures, image_folder))


def numbers(printed):
    match = re.search(
        r"requests (\d+) in ([\d.]+) s\nrequests/s ([\d.]+)\nimages/s ([\d.]+)\n"
        r"latency ms p50 ([\d.]+) p95 ([\d.]+) p99 ([\d.]+)\nerrors (\d+)\n",
        printed,
    )
    assert match, printed
    return [float(x) for x in match.groups()]


@protocols
def test_load_counts_answers(protocol, clients, stand_in, image_folder, capsys):
    flags = [f"--url={stand_in[protocol]}", f"--model={MODEL}", f"--protocol={protocol}"]
    flags += ["--seconds=0.6", "--concurrency=2", "--images_per_request=4"]
    assert clients["load"].main([*flags, *paths(image_folder, *GOOD)]) == 0
    count, seconds, requests, images, p50, p95, p99, errors = numbers(capsys.readouterr().out)
    assert count > 0
    assert errors == 0
    assert seconds >= 0.6
    assert requests == pytest.approx(count / seconds, rel=0.1)
    assert images == pytest.approx(4 * requests, rel=0.1)
    assert 0 < p50 <= p95 <= p99 <= 1000 * seconds


def test_load_counts_errors_by_message(clients):
    load, failed = clients["load"], clients["rest"].RequestError
    calls = iter(range(1000))

    def send():
        call = next(calls)
        time.sleep(0.01)
        if call % 3 == 1:
            raise failed("full" if call < 10 else "late")

    result = load.load(send, concurrency=1, seconds=0.3)
    sent = next(calls) - 1  # without the first, which is not counted
    assert len(result.latencies) + result.errors.total() == sent
    assert result.errors["full"] == 3
    assert min(result.latencies) >= 0.01
    assert "\n  3 x full" in load.report(result, 1)
    nothing = load.Result(1.0, [], result.errors)
    assert "latency" not in load.report(nothing, 1)


def test_load_ends_where_the_first_request_fails(clients, stand_in, image_folder, capsys):
    flags = [f"--url={stand_in['rest']}", "--model=half", "--seconds=60"]
    assert clients["load"].main([*flags, *paths(image_folder, "a.png")]) == 1
    assert "Latest(half)" in capsys.readouterr().err
    with pytest.raises(SystemExit):
        clients["load"].main([*flags, "--seconds=0", *paths(image_folder, "a.png")])


def free_port():
    with socket.socket() as taken:
        taken.bind(("localhost", 0))
        return taken.getsockname()[1]


@pytest.fixture
def model_server(exported, tmp_path):
    """{protocol: url} of a real TensorFlow Serving."""
    ports = {"rest": free_port(), "grpc": free_port()}
    command = [str(BINARY), f"--port={ports['grpc']}", f"--rest_api_port={ports['rest']}"]
    command += [f"--model_name={MODEL}", f"--model_base_path={exported.parent}"]
    log = tmp_path / "log"
    with log.open("w") as file:
        server = subprocess.Popen(command, stdout=file, stderr=subprocess.STDOUT)
        status = f"http://localhost:{ports['rest']}/v1/models/{MODEL}"
        try:
            for _ in range(300):
                try:
                    with urllib.request.urlopen(status, timeout=5) as answer:
                        if b"AVAILABLE" in answer.read():
                            break
                except OSError:  # it does not listen yet
                    pass
                assert server.poll() is None, log.read_text()
                time.sleep(0.2)
            else:
                pytest.fail(log.read_text())
            yield {
                "rest": f"http://localhost:{ports['rest']}",
                "grpc": f"localhost:{ports['grpc']}",
            }
        finally:
            server.terminate()
            server.wait(30)


@pytest.mark.slow
@pytest.mark.skipif(BINARY is None, reason="no tensorflow_model_server on PATH")
def test_tensorflow_serving(model_server, clients, signatures, image_folder, tmp_path, capsys):
    right = wanted(signatures, image_folder)
    out = tmp_path / "features.npy"
    for protocol, url in model_server.items():
        main, flags = clients[protocol].main, [f"--url={url}", f"--model={MODEL}"]
        for name in ("serving_bytes", "serving_bytes_valid", "serving_default"):
            if name not in signatures:
                continue
            more = [f"--signature={name}", f"--size={SIZE}", f"--out={out}"]
            assert main([*flags, *more, *paths(image_folder, *GOOD)]) == 0, capsys.readouterr().err
            close(np.load(out), right)
        assert main([*flags, f"--version={VERSION}", *paths(image_folder, "a.png")]) == 0
        capsys.readouterr()
        assert main([*flags, *paths(image_folder, "a.png", "broken.jpg")]) == 1
        assert capsys.readouterr().err.startswith("error: ")
        load = ["--seconds=1", f"--protocol={protocol}", *paths(image_folder, *GOOD)]
        assert clients["load"].main([*flags, *load]) == 0, capsys.readouterr()
