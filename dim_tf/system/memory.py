"""How much memory the process may still use, of the machine's and of its container's."""

import os
import re
from collections.abc import Iterator
from pathlib import Path

from dim_tf.system.errors import InputError


def available_bytes(root: Path = Path("/")) -> int:
    """Memory that this process can use before the system swaps or kills it.

    On Linux it is what is free on the machine, or in a control group that allows less (a container,
    a batch job, https://docs.kernel.org/admin-guide/cgroup-v2.html); pages of files that the system
    can drop count as free. On other systems it is half of the machine's memory.

    Args:
        root: Root of the file system, for tests.

    Raises:
        InputError: The system does not report it.
    """
    try:
        text = (root / "proc/meminfo").read_text()
    except OSError:
        return _half_of_the_machine()
    available = re.search(r"^MemAvailable: *(\d+) kB", text, re.MULTILINE)
    if available is None:  # Linux before 3.14, some sandboxes
        return _half_of_the_machine()
    return min([1024 * int(available.group(1)), *_of_control_groups(root)])


def of_the_machine() -> int | None:
    """The bytes of this machine's memory; None if the system does not report it, as on Windows."""
    if not hasattr(os, "sysconf"):
        return None
    return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")


def _half_of_the_machine() -> int:
    memory = of_the_machine()
    if memory is None:
        raise InputError("this system does not report its free memory; give --memory in GiB")
    return memory // 2


def _of_control_groups(root: Path) -> Iterator[int]:
    """What each of the process's control groups of version 2 and 1 leaves."""
    try:
        lines = (root / "proc/self/cgroup").read_text().splitlines()
    except OSError:
        return
    for line in lines:
        if line.count(":") < 2:
            continue
        _, controllers, path = line.split(":", 2)
        if not controllers:
            mount, names = "sys/fs/cgroup", ("memory.max", "memory.current", "inactive_file")
        elif "memory" in controllers.split(","):
            mount = "sys/fs/cgroup/memory"
            names = ("memory.limit_in_bytes", "memory.usage_in_bytes", "total_inactive_file")
        else:
            continue
        group = Path(path.lstrip("/"))
        # A parent's limit applies as well. Inside a container the path may be the host's, which is
        # not visible there: the container's own group is then at the mount.
        for folder in (group, *group.parents):
            yield from _left_in(root / mount / folder, *names)


def _left_in(folder: Path, limit: str, usage: str, droppable: str) -> Iterator[int]:
    try:
        most = (folder / limit).read_text().strip()
        used = int((folder / usage).read_text())
        statistics = (folder / "memory.stat").read_text().splitlines()
    except OSError:
        return
    if most == "max":
        return
    files = sum(int(line.split()[1]) for line in statistics if line.split()[:1] == [droppable])
    yield max(int(most) - used + files, 0)
