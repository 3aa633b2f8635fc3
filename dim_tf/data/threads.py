"""Threads that look at files or decode them: Pillow and hashlib let them work beside each other."""

import os
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager


@contextmanager
def pool() -> Iterator[ThreadPoolExecutor]:
    """A thread for each processor. At an error or an interrupt, work that waits is dropped."""
    workers = ThreadPoolExecutor(os.cpu_count())
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)
