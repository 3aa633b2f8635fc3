"""On macOS and Windows every module can be imported, as no import needs what only Linux has."""

import subprocess
import sys

import pytest

# All modules are imported twice: first so that other packages' modules are there, which may need
# anything, then ours alone, without what other systems lack.
PROGRAM = """
import importlib, os, pathlib, pkgutil, sys

import dim_tf, keras_models

OURS = ("dim_tf", "keras_models")
MISSING = ("fcntl", "resource", "pwd", "grp", "termios", "syslog", "posix", "readline")
FUNCTIONS = ("fork", "sysconf", "sched_getaffinity", "getuid", "geteuid", "getloadavg", "mkfifo",
             "uname", "nice", "O_NOFOLLOW", "O_NONBLOCK", "O_CLOEXEC", "O_DIRECTORY", "killpg")
EXTRAS = {"apache_beam", "faiss"}

def import_all():
    names = []
    for package in (dim_tf, keras_models):
        for info in pkgutil.walk_packages(package.__path__, package.__name__ + "."):
            if info.name.endswith("__main__"):
                continue
            try:
                importlib.import_module(info.name)
                names.append(info.name)
            except ModuleNotFoundError as error:
                if (error.name or "").split(".")[0] not in EXTRAS:
                    raise
    return names

first = import_all()
for name in list(sys.modules):
    if name.split(".")[0] in OURS:
        del sys.modules[name]
for name in MISSING:
    sys.modules[name] = None
for name in FUNCTIONS:
    if hasattr(os, name):
        delattr(os, name)

def audit(event, arguments):
    if event == "open" and str(arguments[0]).startswith(("/proc", "/sys", "/dev/")):
        raise PermissionError(f"{arguments[0]} is opened at import")

sys.addaudithook(audit)
LINES
import dim_tf, keras_models
second = import_all()
assert first == second, set(first) ^ set(second)
print(len(second))
"""


def run(lines=""):
    command = [sys.executable, "-c", PROGRAM.replace("LINES", lines)]
    return subprocess.run(command, capture_output=True, text=True, check=False)


@pytest.mark.slow
def test_every_module_is_imported_without_what_only_linux_has():
    done = run()
    assert done.returncode == 0, done.stderr[-2000:]
    assert int(done.stdout.split()[-1]) > 250


@pytest.mark.slow
@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import fcntl", "fcntl"),
        ("os.fork()", "no attribute 'fork'"),
        ("open('/proc/cpuinfo')", "is opened at import"),
    ],
)
def test_what_only_linux_has_is_found(line, message):
    # At the place of our imports, but before them: quick, as it ends there.
    program = PROGRAM.replace("first = import_all()", "first = []").replace("LINES", line)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    assert done.returncode != 0
    assert message in done.stderr
