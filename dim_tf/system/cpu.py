"""What this processor can do, and what TensorFlow must know about it before it is imported."""

import ctypes
import os
import platform
from pathlib import Path

# glibc's mallopt: https://man7.org/linux/man-pages/man3/mallopt.3.html
_M_TRIM_THRESHOLD, _M_TOP_PAD, _M_MMAP_THRESHOLD = -1, -2, -3
_KEPT = 2**29  # bytes of free memory that a process keeps
# A block with at least this many bytes gets its own mapping: more than any block of a step, or as
# much as older versions of glibc allow.
_MMAP_THRESHOLDS = (2**30, 2**25)

CPUINFO = Path("/proc/cpuinfo")

# Name for a row of a benchmark: the first of these whose flags the processor has.
_GENERATIONS = {
    "AMX-BF16": {"amx_bf16"},
    "AVX512-BF16": {"avx512_bf16"},
    "AVX512-VNNI": {"avx512_vnni"},
    "AVX512": {"avx512f"},
    "AVX2": {"avx2", "fma"},
}


def flags() -> frozenset[str]:
    """The processor's instruction sets, by Linux' names; empty on other systems."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return frozenset()
    for line in text.splitlines():
        if line.startswith(("flags", "Features")):
            return frozenset(line.partition(":")[2].split())
    return frozenset()


def model() -> str:
    """The name of the processor, such as "AMD EPYC 7763 64-Core Processor"; "" if unknown."""
    try:
        text = CPUINFO.read_text(encoding="utf-8", errors="replace")
    except OSError:
        return platform.processor()
    names = (line.partition(":")[2] for line in text.splitlines() if line.startswith("model name"))
    return next(names, platform.processor()).strip()


def count() -> int:
    """Number of processors that this process may use."""
    if hasattr(os, "sched_getaffinity"):
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


def instruction_set() -> str:
    """The name stated with speeds, such as "AVX512-BF16"; the architecture's if unknown."""
    available = flags()
    names = (name for name, needed in _GENERATIONS.items() if needed <= available)
    return next(names, platform.machine())


def prepare() -> None:
    """Chooses TensorFlow's kernels and keeps freed memory; call it before TensorFlow is imported.

    By default TensorFlow uses oneDNN's kernels only on processors with AVX512-VNNI, although they
    are faster with AVX2, too. If TF_ENABLE_ONEDNN_OPTS is set, it is kept.

    glibc returns large blocks to the system when they are freed, and each step would get them anew,
    page by page. MALLOC_TOP_PAD_ and similar variables are kept if set. docs/PERFORMANCE.md has
    measurements of both.
    """
    if _GENERATIONS["AVX2"] <= flags():
        os.environ.setdefault("TF_ENABLE_ONEDNN_OPTS", "1")
    if any(name.startswith("MALLOC_") for name in os.environ):
        return
    if platform.libc_ver()[0] == "glibc":
        mallopt = ctypes.CDLL(None).mallopt
        # First, because each of them ends glibc's own adaptation of this threshold.
        if any(mallopt(_M_MMAP_THRESHOLD, size) for size in _MMAP_THRESHOLDS):
            mallopt(_M_TRIM_THRESHOLD, _KEPT)
            mallopt(_M_TOP_PAD, _KEPT // 2)
