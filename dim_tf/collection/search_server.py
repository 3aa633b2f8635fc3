"""The page of --serve: drop an image there to search for it in the collection.

The server is one program for one person, based on Python's own. It listens only on the given
address and reads no path from a request: a thumbnail is requested by its row. Web sites that the
person visits in the same browser must not reach it. A request must therefore have this server's
name in its header Host, whatever name a site gives the address (DNS rebinding), and is refused if
the browser says that another site sent it (Origin, Sec-Fetch-Site).
"""

import ipaddress
import json
import re
import socket
import socketserver
import sys
import threading
from collections.abc import Callable
from dataclasses import dataclass, field
from functools import cached_property, lru_cache
from http import HTTPStatus
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import numpy as np
from markupsafe import Markup

from dim_tf.collection.index import Index
from dim_tf.collection.search import QueryImage, search_images
from dim_tf.collection.thumbnails import jpeg, shrink
from dim_tf.evaluation.report.page import STYLE, asset, script_hash
from dim_tf.evaluation.report.rendering import render
from dim_tf.settings.search import Address
from dim_tf.system.console import say
from dim_tf.system.errors import InputError, one_line

MAX_BYTES = 2**25  # of an image that is sent
MAX_REQUESTS = 8  # answered at a time
SECONDS = 30  # that a client may stay silent
_MAX_DRAINED = 2**20  # bytes of a refused body that are read, so that the client gets the answer
_THUMBNAIL = re.compile(r"/thumbnails/([0-9]{1,12})")
_SCRIPT = asset("search_form.js")
_POLICY = (
    "default-src 'none'; img-src 'self' data: blob:; connect-src 'self'; "
    f"style-src 'unsafe-inline'; script-src '{script_hash(_SCRIPT)}'; frame-ancestors 'none'; "
    "base-uri 'none'; form-action 'none'"
)


@dataclass(frozen=True)
class SearchService:
    """What the server answers from.

    Attributes:
        index: Index of the collection.
        embed: Returns the feature of an image, float32 [D], given the bytes of its file; raises
            InputError if they are not an image. It is called by one thread at a time.
        read_image: Returns the pixels of an image, given its row; uint8 [H, W, 3], upright.
        k: Number of matches per query.
        title: Title of the page.
        max_bytes: Largest size of an image that is sent.
    """

    index: Index
    embed: Callable[[bytes], np.ndarray]
    read_image: Callable[[int], np.ndarray]
    k: int
    title: str
    max_bytes: int = MAX_BYTES
    _lock: threading.Lock = field(default_factory=threading.Lock, init=False, repr=False)

    @cached_property
    def page(self) -> bytes:
        """The HTML page."""
        return render(
            "search_form.html",
            title=self.title,
            kicker=self.index.description,
            max_bytes=self.max_bytes,
            style=Markup(STYLE),
            script=Markup(_SCRIPT),
            script_hash="",  # the policy is in the answer's header
        ).encode()

    @cached_property
    def thumbnail(self) -> Callable[[int], bytes]:
        """The JPEG of a row; the last thousand are kept."""
        return lru_cache(1000)(lambda row: jpeg(shrink(self.read_image(row))))

    def search(self, content: bytes) -> list[dict[str, Any]]:
        """The images most similar to the one with these bytes: row, id and similarity.

        Raises:
            InputError: The bytes are not an image, or its feature cannot be searched for.
        """
        with self._lock:
            feature = np.asarray(self.embed(content))
            (result,) = search_images(
                self.index, [QueryImage("query")], feature[np.newaxis], self.k
            )
        return [
            {"row": match.row, "id": match.id, "similarity": round(match.similarity, 4)}
            for match in result.matches
        ]


class SearchServer(ThreadingHTTPServer):
    """Serves a `SearchService`; call `serve_forever`.

    Args:
        address: IP address and port; port 0: any free one.
        service: What the server answers from.

    Raises:
        InputError: The address does not belong to this machine, or is in use.
    """

    daemon_threads = True

    def __init__(self, address: Address, service: SearchService):
        self.service = service
        self.slots = threading.BoundedSemaphore(MAX_REQUESTS)
        is_ipv6 = ipaddress.ip_address(address.host).version == 6
        self.address_family = socket.AF_INET6 if is_ipv6 else socket.AF_INET
        try:
            super().__init__((address.host, address.port), _Handler)
        except OSError as error:
            raise InputError(
                f"--serve={address.host}:{address.port}: {error.strerror}; give another port, or "
                "an address of this machine"
            ) from error
        port = self.server_address[1]
        hosts = [f"[{address.host}]" if is_ipv6 else address.host]
        if ipaddress.ip_address(address.host).is_loopback:
            hosts.append("localhost")
        self.url = f"http://{hosts[0]}:{port}/"
        self.hosts = {f"{host}:{port}" for host in hosts}
        if port == 80:
            self.hosts |= set(hosts)

    def server_bind(self) -> None:
        """Binds without `HTTPServer`'s look-up of this machine's name, which may take long."""
        socketserver.TCPServer.server_bind(self)

    def handle_error(self, request, client_address) -> None:
        """Prints what failed; a client that goes away is not an error."""
        error = sys.exception()
        if not isinstance(error, OSError):
            say(f"search: a request failed: {type(error).__name__}: {error}")


class _Refusal(Exception):
    """A request that is not answered."""

    def __init__(self, status: HTTPStatus, message: str):
        super().__init__(message)
        self.status = status


class _Handler(BaseHTTPRequestHandler):
    """One request of one connection (HTTP/1.0)."""

    timeout = SECONDS
    server: SearchServer

    def do_GET(self):
        self._answer(self._get)

    def do_POST(self):
        self._answer(self._post)

    def _answer(self, respond):
        slots = self.server.slots
        if not slots.acquire(blocking=False):
            self._send_error(HTTPStatus.SERVICE_UNAVAILABLE, "too many requests at a time")
            return
        try:
            self._check_sender()
            self._send(HTTPStatus.OK, *respond())
        except _Refusal as refusal:
            self._send_error(refusal.status, str(refusal))
        except ConnectionError:
            raise
        except TimeoutError:
            self._send_error(HTTPStatus.REQUEST_TIMEOUT, f"nothing came for {SECONDS} s")
        except InputError as error:
            self._send_error(HTTPStatus.BAD_REQUEST, one_line(error))
        except Exception as error:  # one image must not end the program
            say(f"search: a request failed: {type(error).__name__}: {error}")
            self._send_error(
                HTTPStatus.INTERNAL_SERVER_ERROR, f"the search failed ({type(error).__name__})"
            )
        finally:
            slots.release()

    def _check_sender(self):
        hosts = self.headers.get_all("Host", [])
        if len(hosts) != 1 or hosts[0].lower() not in self.server.hosts:
            raise _Refusal(HTTPStatus.FORBIDDEN, f"this page is at {self.server.url}")
        origin = self.headers.get("Origin")
        if origin is not None and origin.removeprefix("http://") not in self.server.hosts:
            raise _Refusal(HTTPStatus.FORBIDDEN, "another site sent this request")
        site = self.headers.get("Sec-Fetch-Site", "none")
        if site not in ("same-origin", "none") and (self.command, self.path) != ("GET", "/"):
            raise _Refusal(HTTPStatus.FORBIDDEN, "another site sent this request")

    def _get(self) -> tuple[str, bytes]:
        if self.path == "/":
            return "text/html; charset=utf-8", self.server.service.page
        number = _THUMBNAIL.fullmatch(self.path)
        if number is None or int(number[1]) >= len(self.server.service.index):
            raise _Refusal(HTTPStatus.NOT_FOUND, "there is no such page")
        return "image/jpeg", self.server.service.thumbnail(int(number[1]))

    def _post(self) -> tuple[str, bytes]:
        if self.path != "/search":
            raise _Refusal(HTTPStatus.NOT_FOUND, "there is no such page")
        matches = self.server.service.search(self._body())
        return "application/json", json.dumps({"matches": matches}, allow_nan=False).encode()

    def _body(self) -> bytes:
        lengths = self.headers.get_all("Content-Length", [])
        is_number = len(lengths) == 1 and re.fullmatch("[0-9]{1,18}", lengths[0])
        if not is_number or "Transfer-Encoding" in self.headers:
            raise _Refusal(HTTPStatus.LENGTH_REQUIRED, "give the image's size as Content-Length")
        size, most = int(lengths[0]), self.server.service.max_bytes
        if not 1 <= size <= most:
            self.rfile.read(min(size, _MAX_DRAINED))
            raise _Refusal(
                HTTPStatus.REQUEST_ENTITY_TOO_LARGE,
                f"the image has {size:,} bytes; expected 1 to {most:,}",
            )
        content = self.rfile.read(size)
        if len(content) < size:
            raise _Refusal(HTTPStatus.BAD_REQUEST, "the image ended early")
        return content

    def _send_error(self, status, message):
        self._send(status, "application/json", json.dumps({"error": message}).encode())

    def send_error(self, code, message=None, explain=None):
        """Answers what http.server itself refuses, such as an unknown method; quotes nothing."""
        self._send_error(HTTPStatus(code), HTTPStatus(code).phrase)

    def _send(self, status, kind, content):
        self.send_response(status)
        for name, value in (
            ("Content-Type", kind),
            ("Content-Length", str(len(content))),
            ("Content-Security-Policy", _POLICY),
            ("Cross-Origin-Resource-Policy", "same-origin"),
            ("X-Content-Type-Options", "nosniff"),
            ("Referrer-Policy", "no-referrer"),
            ("Cache-Control", "no-store"),
            ("Connection", "close"),
        ):
            self.send_header(name, value)
        self.end_headers()
        self.wfile.write(content)

    def version_string(self) -> str:
        """The header Server, without version numbers."""
        return "dim_tf"

    def log_message(self, format, *args) -> None:
        """Requests are not logged; `_answer` prints those that fail."""
