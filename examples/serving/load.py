"""Measures how many requests a served encoder answers, and how fast.

    python examples/serving/load.py --model=cifar10 --protocol=grpc --concurrency=8 cat.png

--concurrency threads send one request after another for --seconds. All requests are alike: the
files, repeated until there are --images_per_request. A first request, which may have to wait for
the model, is not counted. A latency is the time from sending to the decoded answer; over REST each
request opens a connection, over gRPC all share one. All threads belong to one Python process: if it
is busy all the time, the script measures itself.
"""

import argparse
import itertools
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field

import numpy as np
import rest_client

URLS = {"rest": "http://localhost:8501", "grpc": "localhost:8500"}


@dataclass
class Result:
    """The answers to some seconds of requests.

    Attributes:
        seconds: until the last request was answered.
        latencies: of the answered requests, in seconds.
        errors: the count of each error message.
    """

    seconds: float = 0.0
    latencies: list[float] = field(default_factory=list)
    errors: Counter[str] = field(default_factory=Counter)


def load(send: Callable[[], object], concurrency: int, seconds: float) -> Result:
    """Calls `send` from `concurrency` threads, which start no new call after `seconds`.

    Raises:
        RequestError: of the first call, which is not counted.
    """
    send()
    result = Result()
    start = time.perf_counter()

    def work():
        while (sent := time.perf_counter()) - start < seconds:
            try:
                send()
            except rest_client.RequestError as error:
                with lock:
                    result.errors[str(error)] += 1
            else:
                result.latencies.append(time.perf_counter() - sent)

    lock = threading.Lock()
    threads = [threading.Thread(target=work, daemon=True) for _ in range(concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    result.seconds = time.perf_counter() - start
    return result


def report(result: Result, images_per_request: int) -> str:
    """The printed text: rates and latencies of the answered requests, and the errors."""
    rate = len(result.latencies) / result.seconds
    lines = [
        f"requests {len(result.latencies)} in {result.seconds:.1f} s",
        f"requests/s {rate:.1f}",
        f"images/s {rate * images_per_request:.1f}",
    ]
    if result.latencies:
        milliseconds = np.percentile(result.latencies, [50, 95, 99]) * 1000
        p50, p95, p99 = (f"{x:.1f}" for x in milliseconds)
        lines.append(f"latency ms p50 {p50} p95 {p95} p99 {p99}")
    lines.append(f"errors {result.errors.total()}")
    lines += [f"  {count} x {message}" for message, count in result.errors.most_common()]
    return "\n".join(lines)


def _positive(number):
    def parse(text):
        if not number(text) > 0:
            raise argparse.ArgumentTypeError(f"{text} is not more than 0")
        return number(text)

    return parse


def main(arguments: list[str] | None = None) -> int:
    """The command line; the exit status is 1 if a request failed."""
    parser = rest_client.command_line(__doc__ or "", " or ".join(URLS.values()))
    parser.set_defaults(url=None)
    parser.add_argument("--protocol", choices=list(URLS), default="rest")
    parser.add_argument("--concurrency", type=_positive(int), default=4, help="threads")
    parser.add_argument("--seconds", type=_positive(float), default=10.0)
    parser.add_argument("--images_per_request", type=_positive(int), default=1)
    flags = rest_client.parse(parser, arguments)
    prepare = rest_client.prepare
    if flags.protocol == "grpc":
        import grpc_client

        prepare = grpc_client.prepare
    try:
        images = rest_client.read_images(flags.images, flags.signature, flags.size)
        repeated = list(itertools.islice(itertools.cycle(images), flags.images_per_request))
        url = flags.url or URLS[flags.protocol]
        send = prepare(url, flags.model, repeated, flags.signature, flags.version, flags.timeout)
        result = load(send, flags.concurrency, flags.seconds)
    except rest_client.RequestError as error:
        print(f"error: {error}", file=sys.stderr)
        return 1
    print(report(result, flags.images_per_request))
    return 1 if result.errors else 0


if __name__ == "__main__":
    sys.exit(main())
