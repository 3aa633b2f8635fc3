"""Sends image files to a served encoder or classifier, over REST.

    python examples/serving/rest_client.py --model=cifar10 cat.png dog.jpg

The server is TensorFlow Serving or kserve_server.py. For each file a line is printed: an encoder's
first features, or a classifier's likeliest label and its probability.

The signatures that take encoded images need nothing but Python: serving_bytes fails as a whole if
one image cannot be decoded; serving_bytes_valid answers for the others. serving_default takes
arrays, which this script makes with TensorFlow and dim_tf.
"""

import argparse
import base64
import http.client
import json
import sys
import urllib.error
import urllib.parse
import urllib.request
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

ENCODED = ("serving_bytes", "serving_bytes_valid")  # their input: image_bytes
ARRAYS = "serving_default"  # its input: images


class RequestError(Exception):
    """A request has no answer; the message says why."""


def read_images(
    paths: Sequence[Path], signature: str, size: Sequence[int], fit: str = "crop"
) -> list[Any]:
    """Reads image files as the input of a signature.

    Args:
        paths: of the files.
        signature: that is called with them.
        size: height and width of the encoder's images; only for arrays.
        fit: how images of another shape are fitted, "crop", "pad" or "stretch"; likewise.

    Returns:
        The files' bytes, or float32 arrays [H, W, 3] in [0, 1], equal to those that the other
        signatures compute on the server.

    Raises:
        RequestError: a file cannot be read, or not be decoded to an array.
    """
    try:
        encoded = [path.read_bytes() for path in paths]
    except OSError as error:
        raise RequestError(f"{error.filename} cannot be read: {error.strerror}") from error
    if signature in ENCODED:
        return encoded
    import tensorflow as tf

    from dim_tf.data import encoded_images, image_ops
    from dim_tf.data.image_frame import ImageFrame

    frame = ImageFrame(*size, fit=fit)
    arrays = []
    for path, image in zip(paths, encoded, strict=True):
        try:
            pixels = encoded_images.decode_to_size(tf.constant(image), frame)
        except tf.errors.InvalidArgumentError as error:
            raise RequestError(f"{path} cannot be decoded: {error.message}") from error
        arrays.append(image_ops.to_unit(pixels).numpy())
    return arrays


def prepare(
    url: str,
    model: str,
    images: list[Any],
    signature: str = "serving_bytes",
    version: int | None = None,
    timeout: float = 60,
) -> Callable[[], list[dict[str, Any]]]:
    """Prepares a request, which can be sent many times, from any thread.

    Args:
        url: of the server, such as http://localhost:8501.
        model: its name there.
        images: encoded images or arrays, as of `read_images`.
        signature: to call.
        version: of the model; None: the newest that the server has.
        timeout: for an answer, in seconds.

    Returns:
        A function that sends the request and returns {output's name: value} for each image. It
        raises RequestError.
    """
    path = urllib.parse.quote(model, safe="")
    if version is not None:
        path += f"/versions/{version}"
    address = f"{url.rstrip('/')}/v1/models/{path}:predict"
    if signature in ENCODED:
        instances = [{"b64": base64.b64encode(image).decode()} for image in images]
    else:
        instances = [image.tolist() for image in images]
    body = json.dumps({"signature_name": signature, "instances": instances}).encode()

    def send():
        try:
            request = urllib.request.Request(address, body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=timeout) as answer:
                predictions = json.load(answer)["predictions"]
        except urllib.error.HTTPError as error:
            raise RequestError(f"{error.code}: {_message(error)}") from error
        except urllib.error.URLError as error:
            raise RequestError(f"{address}: {error.reason}") from error
        except (OSError, http.client.HTTPException, ValueError, KeyError) as error:
            raise RequestError(f"{address}: {type(error).__name__}: {error}") from error
        # The server leaves out the name of an output that is the only one.
        return [row if isinstance(row, dict) else {"feature": row} for row in predictions]

    return send


def _message(error):
    text = error.read().decode(errors="replace")
    try:
        return json.loads(text)["error"]
    except (ValueError, KeyError, TypeError):  # a proxy's page, not TensorFlow Serving's JSON
        return text[:500] or error.reason


def command_line(doc: str, url: str) -> argparse.ArgumentParser:
    """The flags that both clients and the load script have."""
    parser = argparse.ArgumentParser(description=doc.splitlines()[0])
    parser.add_argument("images", nargs="+", type=Path, metavar="IMAGE", help="JPEG or PNG file")
    parser.add_argument("--url", default=url, help=f"of the server ({url})")
    parser.add_argument("--model", required=True, help="its name on the server")
    parser.add_argument("--version", type=int, help="of the model (the newest)")
    parser.add_argument("--signature", default="serving_bytes", choices=[*ENCODED, ARRAYS])
    parser.add_argument(
        "--size",
        type=lambda text: [int(part) for part in text.split(",")],
        default=[],
        help=f"pixels a side, or HEIGHT,WIDTH, which {ARRAYS} needs",
    )
    parser.add_argument(
        "--fit",
        choices=("crop", "pad", "stretch"),
        default="crop",
        help="as the encoder's card says",
    )
    parser.add_argument("--timeout", type=float, default=60, help="seconds for one answer")
    return parser


def parse(parser: argparse.ArgumentParser, arguments: list[str] | None) -> argparse.Namespace:
    """Reads and checks the command line."""
    flags = parser.parse_args(arguments)
    flags.size *= 2 if len(flags.size) == 1 else 1
    if flags.signature == ARRAYS and (len(flags.size) != 2 or min(flags.size) < 1):
        parser.error(f"--signature={ARRAYS} takes arrays: give --size, the encoder's image size")
    return flags


def features_of(row: dict[str, Any]) -> list[float]:
    """The features of an image, under the name of their endpoint; a classifier's probabilities."""
    return next(value for name, value in row.items() if name not in ("valid", "classes"))


def line(path: Path, row: dict[str, Any]) -> str:
    """The printed line for an image."""
    if not row.get("valid", True):
        return f"{path} cannot be decoded"
    if "classes" in row:  # of a classifier
        return f"{path} {row['classes']} {max(row['probabilities']):.3f}"
    features = features_of(row)
    first = " ".join(f"{x:.4f}" for x in features[:5])
    return f"{path} [{len(features)}] {first}{' ...' if len(features) > 5 else ''}"


def run(doc: str, url: str, prepare: Callable, arguments: list[str] | None) -> int:
    """The command line of a client; returns its exit status."""
    parser = command_line(doc, url)
    parser.add_argument(
        "--out", type=Path, help=".npy file for features or probabilities, float32 [N, D]"
    )
    flags = parse(parser, arguments)
    try:
        images = read_images(flags.images, flags.signature, flags.size, flags.fit)
        rows = prepare(
            flags.url, flags.model, images, flags.signature, flags.version, flags.timeout
        )()
    except RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    for path, row in zip(flags.images, rows, strict=True):
        print(line(path, row))
    if flags.out:
        import numpy as np

        with flags.out.open("wb") as file:
            np.save(file, np.array([features_of(row) for row in rows], np.float32))
    return 0


def main(arguments: list[str] | None = None) -> int:
    """The command line."""
    return run(__doc__ or "", "http://localhost:8501", prepare, arguments)


if __name__ == "__main__":
    sys.exit(main())
