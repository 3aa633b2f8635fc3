"""Free memory, as files of Linux say it."""

import os

import pytest

from dim_tf.system import memory
from dim_tf.system.errors import InputError

KIB = 2**10


def write(folder, **contents):
    folder.mkdir(parents=True, exist_ok=True)
    for name, text in contents.items():
        (folder / name.replace("__", ".")).write_text(f"{text}\n")


@pytest.fixture
def root(tmp_path):
    write(tmp_path / "proc", meminfo="MemTotal: 900 kB\nMemFree: 1 kB\nMemAvailable: 500 kB")
    return tmp_path


def test_of_a_machine_without_groups(root):
    assert memory.available_bytes(root) == 500 * KIB


@pytest.mark.parametrize("group", ["", "a/b"])
def test_a_group_of_version_2_and_its_parents_limit_it(root, group):
    write(root / "proc/self", cgroup=f"0::/{group}")
    mount = root / "sys/fs/cgroup"
    stat = f"anon 5\ninactive_file {20 * KIB}\nactive_file 7"
    write(mount, memory__max=300 * KIB, memory__current=90 * KIB, memory__stat=stat)
    write(mount / "a", memory__max="max", memory__current=1, memory__stat=stat)
    assert memory.available_bytes(root) == 230 * KIB
    write(mount / "a", memory__max=60 * KIB, memory__current=90 * KIB, memory__stat=stat)
    assert memory.available_bytes(root) == (0 if group else 230 * KIB)


def test_a_group_of_version_1_limits_it(root):
    write(root / "proc/self", cgroup="4:cpu:/x\n3:memory,hugetlb:/x\n0::/")
    write(
        root / "sys/fs/cgroup/memory",
        memory__limit_in_bytes=100 * KIB,
        memory__usage_in_bytes=40 * KIB,
        memory__stat=f"inactive_file 1\ntotal_inactive_file {10 * KIB}",
    )
    assert memory.available_bytes(root) == 70 * KIB


def test_elsewhere_it_is_half_of_the_machine(tmp_path, monkeypatch):
    physical = os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    assert memory.available_bytes(tmp_path) == physical // 2
    monkeypatch.delattr(os, "sysconf")
    with pytest.raises(InputError, match="give --memory"):
        memory.available_bytes(tmp_path)


def test_on_this_machine_there_is_some():
    assert memory.available_bytes() > 0


@pytest.mark.parametrize("meminfo", ["MemTotal: 900 kB", ""])
def test_without_the_figure_half_of_the_machine_is_taken(root, meminfo):
    write(root / "proc", meminfo=meminfo)
    assert memory.available_bytes(root) == memory._half_of_the_machine()


def test_lines_that_are_none_of_a_group_are_passed_over(root):
    write(root / "proc/self", cgroup="?\n0::/")
    mount = root / "sys/fs/cgroup"
    write(mount, memory__max=300 * KIB, memory__current=90 * KIB, memory__stat="\nanon 5")
    assert memory.available_bytes(root) == 210 * KIB
