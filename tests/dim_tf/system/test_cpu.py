"""What is chosen for a processor, and that freed memory is kept."""

import platform
import subprocess
import sys

import pytest

from dim_tf.system import cpu

AVX2 = "flags\t\t: fpu sse avx avx2 fma\n"
# Bytes that are freed and allocated again: more than glibc keeps of itself.
FAULTS = """
import resource
import numpy as np
from dim_tf.system import cpu
if {prepared}:
    cpu.prepare()
def faults():
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    blocks = [np.ones(5 * 2**20, np.float32) for _ in range(10)]
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before
faults()
print(faults())
"""


def test_the_processor_has_a_name(cpuinfo):
    cpuinfo("model name\t: AMD EPYC 7763 64-Core Processor\nflags: avx2")
    assert cpu.model() == "AMD EPYC 7763 64-Core Processor"


@pytest.fixture
def cpuinfo(tmp_path, monkeypatch):
    """Writes what Linux says of the processor."""
    monkeypatch.setattr(cpu, "CPUINFO", tmp_path / "cpuinfo")
    return lambda text: (tmp_path / "cpuinfo").write_text(f"processor\t: 0\n{text}\n")


@pytest.mark.parametrize(
    ("text", "name"),
    [
        (AVX2, "AVX2"),
        ("flags : avx2 fma avx512f avx512_vnni", "AVX512-VNNI"),
        ("flags : avx2 fma avx512f avx512_vnni avx512_bf16", "AVX512-BF16"),
        ("Features : fp asimd", platform.machine()),
    ],
)
def test_a_processor_is_named_by_its_newest_instruction_set(cpuinfo, text, name):
    cpuinfo(text)
    assert cpu.instruction_set() == name


def test_without_the_file_nothing_is_known(cpuinfo):
    assert cpu.flags() == frozenset()
    assert cpu.instruction_set() == platform.machine()


@pytest.mark.parametrize(
    ("text", "before", "after"),
    [(AVX2, None, "1"), (AVX2, "0", "0"), ("flags : sse avx", None, None)],
)
def test_onednn_is_used_with_avx2_unless_the_user_says_otherwise(
    cpuinfo, monkeypatch, text, before, after
):
    cpuinfo(text)
    monkeypatch.setenv("MALLOC_ARENA_MAX", "2")  # this process' allocator stays as it is
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", before or "")
    if before is None:
        monkeypatch.delenv("TF_ENABLE_ONEDNN_OPTS")
    cpu.prepare()
    assert cpu.os.environ.get("TF_ENABLE_ONEDNN_OPTS") == after


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="mallopt is glibc's")
def test_freed_memory_is_kept_for_the_next_step(monkeypatch):
    for name in [name for name in cpu.os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)

    def faults(prepared, **environment):
        done = subprocess.run(
            [sys.executable, "-c", FAULTS.format(prepared=prepared)],
            env={**cpu.os.environ, **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        return int(done.stdout)

    unprepared = faults(prepared=False)
    assert unprepared > 100
    assert faults(prepared=True) < 0.1 * unprepared
    assert faults(prepared=True, MALLOC_ARENA_MAX="1") > 0.5 * unprepared


def test_an_older_glibc_gets_the_threshold_that_it_allows(monkeypatch):
    for name in [name for name in cpu.os.environ if name.startswith("MALLOC_")]:
        monkeypatch.delenv(name)
    monkeypatch.setenv("TF_ENABLE_ONEDNN_OPTS", "1")
    calls = []

    class Library:
        def mallopt(self, option, value):
            calls.append((option, value))
            return int(value <= 2**25 or option != cpu._M_MMAP_THRESHOLD)

    monkeypatch.setattr(cpu.ctypes, "CDLL", lambda _: Library())
    monkeypatch.setattr(cpu.platform, "libc_ver", lambda: ("glibc", "2.31"))
    cpu.prepare()
    assert calls[:2] == [(cpu._M_MMAP_THRESHOLD, 2**30), (cpu._M_MMAP_THRESHOLD, 2**25)]
    assert {option for option, _ in calls[2:]} == {cpu._M_TRIM_THRESHOLD, cpu._M_TOP_PAD}
