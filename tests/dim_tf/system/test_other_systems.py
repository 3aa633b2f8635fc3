"""On macOS and Windows every module can be imported, as no import needs what only Linux has."""

import subprocess
import sys

import pytest

# Our modules, and only they, see a system without these while they are imported.
PROGRAM = """
import builtins, importlib, os, pkgutil, sys, types

OURS = ("dim_tf", "keras_models")
MODULES = {"fcntl", "resource", "pwd", "grp", "termios", "syslog", "posix", "readline"}
NAMES = {"fork", "sysconf", "sched_getaffinity", "getuid", "geteuid", "getloadavg", "mkfifo",
         "uname", "nice", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "killpg"}
FILES = ("/proc", "/sys", "/dev")
EXTRAS = {"apache_beam", "faiss"}

other_os = types.ModuleType("os")
other_os.__dict__.update({name: x for name, x in vars(os).items() if name not in NAMES})
import_anything = builtins.__import__

def top(name):
    return (name or "").partition(".")[0]

def top_of(frame):
    return top(frame.f_globals.get("__name__"))

def import_without(name, globals=None, locals=None, fromlist=(), level=0):
    if top((globals or {}).get("__name__")) in OURS and level == 0:
        if name in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name == "os":
            return other_os
    return import_anything(name, globals, locals, fromlist, level)

def refuse_files(event, arguments):
    if event != "open" or not str(arguments[0]).startswith(FILES):
        return
    frame = sys._getframe(1)
    while frame and top_of(frame) in sys.stdlib_module_names:  # it opens files for others
        frame = frame.f_back
    if frame and top_of(frame) in OURS:
        raise PermissionError(f"{arguments[0]} is opened at import")

builtins.__import__ = import_without
sys.addaudithook(refuse_files)
count = 0
for package in map(importlib.import_module, PACKAGES):
    for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
        try:
            importlib.import_module(info.name)
            count += 1
        except ModuleNotFoundError as error:
            if (error.name or "").split(".")[0] not in EXTRAS:
                raise
print(count)
"""


def run(packages, folder="."):
    program = PROGRAM.replace("PACKAGES", repr(packages))
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{program}"]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_module_is_imported_without_what_only_linux_has():
    done = run(["dim_tf", "keras_models"])
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 250


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import fcntl", "No module named 'fcntl'"),
        ("from resource import getrusage", "No module named 'resource'"),
        ("import os; os.fork", "no attribute 'fork'"),
        ("from os import sysconf", "cannot import name 'sysconf'"),
        ("open('/proc/cpuinfo')", "/proc/cpuinfo is opened at import"),
        ("import pathlib; pathlib.Path('/proc/cpuinfo').read_text()", "is opened at import"),
    ],
)
def test_what_only_linux_has_is_found(line, message, tmp_path):
    package = tmp_path / "keras_models"
    package.mkdir()
    (package / "__init__.py").touch()
    (package / "module.py").write_text(line, encoding="utf-8")
    done = run(["keras_models"], tmp_path)
    assert done.returncode != 0
    assert message in done.stderr


def test_what_every_system_has_is_allowed(tmp_path):
    package = tmp_path / "keras_models"
    package.mkdir()
    (package / "__init__.py").touch()
    lines = "import os, asyncio, tempfile, shutil\nhasattr(os, 'fork')\nos.path.join('a', 'b')\n"
    (package / "module.py").write_text(lines, encoding="utf-8")
    done = run(["keras_models"], tmp_path)
    assert (done.returncode, done.stdout) == (0, "1\n"), done.stderr
