"""Threads that inspect or decode files: Pillow and hashlib release the interpreter's lock."""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager

from dim_tf.system import cpu


@contextmanager
def cpu_pool() -> Iterator[ThreadPoolExecutor]:
    """One thread per processor. An error or an interrupt drops the work that is still waiting."""
    workers = ThreadPoolExecutor(cpu.count())
    try:
        yield workers
    finally:
        workers.shutdown(cancel_futures=True)
