"""Runs the steps of a Dockerfile that need neither Docker nor another user.

    VENV/bin/python .ci/dockerfile_steps.py Dockerfile

COPY copies to a new folder, where RUN of pip is run with the environment's programs; then
ENTRYPOINT with CMD is run. Each step that is left out is printed.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path


def steps(text: str) -> list[tuple[str, str]]:
    """(instruction, arguments) of each step, its lines joined."""
    lines = [line for line in text.splitlines() if not line.lstrip().startswith("#")]
    joined = re.sub(r"\\\n", " ", "\n".join(lines))
    return [
        (line.split(maxsplit=1)[0].upper(), line.split(maxsplit=1)[1].strip())
        for line in joined.splitlines()
        if line.strip()
    ]


def copy(context: Path, target: Path, arguments: str) -> None:
    """COPY: files into a folder, or the content of a folder."""
    *sources, destination = arguments.split()
    for source in sources:
        path, to = context / source, target / destination
        if path.is_dir():
            ignored = shutil.ignore_patterns("__pycache__")
            shutil.copytree(path, to, dirs_exist_ok=True, ignore=ignored)
        else:
            to.mkdir(parents=True, exist_ok=True)
            shutil.copy(path, to)


def run(dockerfile: Path) -> None:
    """Runs the steps.

    Raises:
        subprocess.CalledProcessError: a step failed.
    """
    programs = Path(sys.executable).parent
    environment = dict(os.environ, PATH=f"{programs}{os.pathsep}{os.environ['PATH']}")
    entry: list[str] = []
    with tempfile.TemporaryDirectory() as folder:
        for instruction, arguments in steps(dockerfile.read_text(encoding="utf-8")):
            if instruction == "ARG" and "=" in arguments:
                name, _, value = arguments.partition("=")
                environment[name] = value.strip("\"'")
            elif instruction == "COPY":
                copy(dockerfile.resolve().parent, Path(folder), arguments)
            elif instruction == "RUN" and arguments.startswith("pip "):
                command = ["bash", "-euc", arguments]
                subprocess.run(command, cwd=folder, env=environment, check=True)
            elif instruction in ("ENTRYPOINT", "CMD"):
                entry += json.loads(arguments)
                continue
            else:
                print(f"not run: {instruction} {arguments}")
                continue
            print(f"run: {instruction} {arguments}")
        # Not where the sources are, whose packages would be imported instead.
        empty = Path(folder, "work")
        empty.mkdir()
        command = [str(programs / entry[0]), *entry[1:]]
        subprocess.run(command, cwd=empty, env=environment, check=True, stdout=subprocess.DEVNULL)
        print(f"run: {' '.join(entry)}")


if __name__ == "__main__":
    run(Path(sys.argv[1]))
