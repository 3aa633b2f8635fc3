"""The server of --serve: what it answers, and what it refuses."""

import http.client
import io
import json
import socket
import threading

import numpy as np
import pytest
from PIL import Image

from dim_tf.collection import search_server
from dim_tf.collection.index import Index
from dim_tf.collection.search_server import SearchServer, SearchService
from dim_tf.settings.search import Address
from dim_tf.system.errors import InputError

FEATURES = np.eye(5, dtype=np.float32)
IDS = ["a/<b>.jpg", "b.jpg", "c.jpg", "d.jpg", "e.jpg"]
MAX_BYTES = 1000


def embed(content):
    """The feature of the row that the bytes name."""
    if content == b"crash":
        raise RuntimeError("a path of the user's")
    if not content.isdigit():
        raise InputError("the file is no image; send a JPEG or a PNG")
    return FEATURES[int(content)] + 0.1 * FEATURES[0]


def read_image(row):
    if row == 4:
        raise OSError("gone")
    return np.full((8, 8, 3), 50 * row, np.uint8)


@pytest.fixture(scope="module")
def server():
    index = Index.build(FEATURES, IDS)
    service = SearchService(index, embed, read_image, 3, "photos", MAX_BYTES)
    server = SearchServer(Address("127.0.0.1", 0), service)
    thread = threading.Thread(target=server.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    yield server
    server.shutdown()
    thread.join()
    server.server_close()


def request(server, method, path, body=None, **headers):
    """Status, headers and content of an answer; a header's name may have _ for -."""
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    headers = {name.replace("_", "-"): value for name, value in headers.items()}
    connection.request(method, path, body, headers)
    answer = connection.getresponse()
    content = answer.read()
    connection.close()
    return answer.status, answer.headers, content


def test_an_image_is_answered_by_the_most_similar_ones(server):
    status, headers, content = request(server, "POST", "/search", b"2")
    assert status == 200
    assert headers["Content-Type"] == "application/json"
    assert json.loads(content) == {
        "matches": [
            {"row": 2, "id": "c.jpg", "similarity": 0.995},
            {"row": 0, "id": "a/<b>.jpg", "similarity": 0.0995},
            {"row": 1, "id": "b.jpg", "similarity": 0.0},
        ]
    }


def test_the_page_allows_its_own_script_alone(server):
    status, headers, content = request(server, "GET", "/")
    assert status == 200
    policy = headers["Content-Security-Policy"]
    assert "default-src 'none'" in policy
    script = content.decode().split("<script>")[1].split("</script>")[0]
    assert f"script-src '{search_server.script_hash(script)}'" in policy
    assert "exact, 5 rows of 5 numbers" in content.decode()
    assert headers["X-Content-Type-Options"] == "nosniff"
    assert headers["Server"] == "dim_tf"


def test_a_thumbnail_is_asked_for_by_its_row(server):
    status, headers, content = request(server, "GET", "/thumbnails/3")
    assert (status, headers["Content-Type"]) == (200, "image/jpeg")
    assert np.asarray(Image.open(io.BytesIO(content))).mean() == pytest.approx(150, abs=2)
    status, _, content = request(server, "GET", "/thumbnails/4")
    assert status == 500
    assert json.loads(content) == {"error": "the search failed (OSError)"}


@pytest.mark.parametrize(
    "path",
    [
        "/thumbnails/5",
        "/thumbnails/-1",
        "/thumbnails/9999999999999",
        "/thumbnails/1/../../etc/passwd",
        "/thumbnails/\u0663".encode().decode("latin-1"),
        "/../../../../etc/passwd",
        "/etc/passwd",
        "//etc/passwd",
        "/results.csv",
        "/search",
        "/?a",
    ],
)
def test_no_other_path_is_served(server, path):
    connection = http.client.HTTPConnection(*server.server_address, timeout=10)
    connection.putrequest("GET", "/", skip_host=True)
    connection._buffer[0] = f"GET {path} HTTP/1.0".encode("latin-1")  # as a client may write it
    connection.putheader("Host", "{}:{}".format(*server.server_address))
    connection.endheaders()
    answer = connection.getresponse()
    assert answer.status == 404
    assert json.loads(answer.read()) == {"error": "there is no such page"}


@pytest.mark.parametrize("method", ["PUT", "DELETE", "HEAD", "OPTIONS", "TRACE"])
def test_other_methods_are_refused(server, method):
    assert request(server, method, "/search")[0] == 501


@pytest.mark.parametrize("path", ["/", "/thumbnails/1", "/search"])
@pytest.mark.parametrize("host", ["evil.example", "127.0.0.1", "127.0.0.1:1", "localhost.evil:{}"])
def test_another_name_of_the_address_is_refused(server, path, host):
    """A page of another site can give its own name this address (DNS rebinding)."""
    method = "POST" if path == "/search" else "GET"
    host = host.format(server.server_address[1])
    status, _, content = request(server, method, path, b"1", Host=host)
    assert status == 403
    assert json.loads(content) == {"error": f"this page is at {server.url}"}


def test_a_request_without_a_host_is_refused(server):
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(b"GET / HTTP/1.0\r\n\r\n")
        assert connection.makefile("rb").readline().split()[1] == b"403"


def test_the_names_of_this_machine_are_accepted(server):
    port = server.server_address[1]
    for host in (f"127.0.0.1:{port}", f"localhost:{port}", f"LOCALHOST:{port}"):
        assert request(server, "GET", "/", Host=host)[0] == 200


@pytest.mark.parametrize(
    ("method", "path", "headers", "status"),
    [
        ("POST", "/search", {"Origin": "http://evil.example"}, 403),
        ("POST", "/search", {"Origin": "null"}, 403),
        ("POST", "/search", {"Origin": "own"}, 200),
        ("POST", "/search", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("POST", "/search", {"Sec_Fetch_Site": "same-site"}, 403),
        ("POST", "/search", {"Sec_Fetch_Site": "same-origin"}, 200),
        ("GET", "/thumbnails/1", {"Sec_Fetch_Site": "cross-site"}, 403),
        ("GET", "/", {"Sec_Fetch_Site": "cross-site"}, 200),  # a link to the page
    ],
)
def test_another_site_cannot_ask(server, method, path, headers, status):
    if headers.get("Origin") == "own":
        headers = {"Origin": server.url.removesuffix("/")}
    assert request(server, method, path, b"1", **headers)[0] == status


@pytest.mark.parametrize(
    ("body", "headers", "status", "message"),
    [
        (b"1" * (MAX_BYTES + 1), {}, 413, "the image has 1,001 bytes; expected 1 to 1,000"),
        (b"", {"Content_Length": str(10**12)}, 413, "the image has 1,000,000,000,000 bytes"),
        (b"", {}, 413, "the image has 0 bytes"),
        (b"1", {"Content_Length": "-1"}, 411, "give the image's size"),
        (b"1", {"Content_Length": "1e3"}, 411, "give the image's size"),
        (b"1", {"Transfer_Encoding": "chunked", "Content_Length": "1"}, 411, "give the image's"),
        (b"text", {}, 400, "the file is no image; send a JPEG or a PNG"),
        (b"crash", {}, 500, "the search failed (RuntimeError)"),
    ],
)
def test_a_body_that_is_no_image_of_the_allowed_size_is_refused(
    server, body, headers, status, message, monkeypatch
):
    monkeypatch.setattr(search_server, "_MAX_DRAINED", 2000 if body else 0)
    answer, _, content = request(server, "POST", "/search", body, **headers)
    assert answer == status
    assert message in json.loads(content)["error"]
    assert b"path of the user" not in content
    assert request(server, "POST", "/search", b"1")[0] == 200  # it goes on


def test_a_client_that_stops_in_the_middle_is_not_waited_for(server, monkeypatch):
    monkeypatch.setattr(search_server._Handler, "timeout", 0.1)
    head = f"POST /search HTTP/1.0\r\nHost: {server.url[7:-1]}\r\nContent-Length: 9\r\n\r\n1"
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(head.encode())
        assert connection.makefile("rb").readline().split()[1] == b"408"
    with socket.create_connection(server.server_address, timeout=10) as connection:
        connection.sendall(head.encode())
        connection.shutdown(socket.SHUT_WR)
        assert connection.makefile("rb").readline().split()[1] == b"400"


def test_no_more_requests_are_answered_at_a_time_than_there_are_slots(server, monkeypatch):
    monkeypatch.setattr(server, "slots", threading.BoundedSemaphore(1))
    assert request(server, "POST", "/search", b"1")[0] == 200
    with server.slots:
        status, _, content = request(server, "POST", "/search", b"1")
    assert (status, json.loads(content)) == (503, {"error": "too many requests at a time"})
    assert request(server, "POST", "/search", b"1")[0] == 200


def test_an_address_in_use_is_one_line(server):
    with pytest.raises(InputError, match=r"--serve=127\.0\.0\.1:\d+: Address already in use"):
        SearchServer(Address(*server.server_address), server.service)
    with pytest.raises(InputError, match="give another port, or an address of this machine"):
        SearchServer(Address("192.0.2.1", 0), server.service)


def test_the_server_listens_on_the_given_address_alone(server):
    assert server.server_address[0] == "127.0.0.1"
    with pytest.raises(ConnectionRefusedError):
        socket.create_connection(("127.0.0.2", server.server_address[1]), timeout=1)


def has_ipv6():
    try:
        with socket.socket(socket.AF_INET6) as candidate:
            candidate.bind(("::1", 0))
    except OSError:
        return False
    return True


@pytest.mark.skipif(not has_ipv6(), reason="this machine has no IPv6")
def test_an_ipv6_address_has_its_name_in_brackets(server):
    other = SearchServer(Address("::1", 0), server.service)
    thread = threading.Thread(target=other.serve_forever, args=(0.01,), daemon=True)
    thread.start()
    assert other.url == f"http://[::1]:{other.server_address[1]}/"
    connection = http.client.HTTPConnection("::1", other.server_address[1], timeout=10)
    for host, status in ((other.url[7:-1], 200), ("[::2]:80", 403)):
        connection.request("GET", "/", headers={"Host": host})
        answer = connection.getresponse()
        answer.read()
        assert answer.status == status
    connection.close()
    other.shutdown()
    thread.join()
    other.server_close()
