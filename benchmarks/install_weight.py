r"""Seconds and MB of `pip install .` in a new virtual environment, by package.

    python benchmarks/install_weight.py
    python benchmarks/install_weight.py --extras=wandb,mlflow --at_least=5

Prints one table: each installed distribution with the MB of its files and the packages that
require it, the largest first; those below --at_least MB are summed in one row. Seconds depend on
the network and on pip's cache, which --no_cache leaves out; MB do not.
"""

import argparse
import json
import subprocess
import sys
import tempfile
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# Run by the new environment's interpreter: the files of each distribution, in bytes.
LIST_DISTRIBUTIONS = """
import importlib.metadata, json, pathlib, re
sizes, requirements = {}, {}
for distribution in importlib.metadata.distributions():
    name = re.sub("[-_.]+", "-", distribution.name).lower()
    paths = {pathlib.Path(file.locate()) for file in distribution.files or ()}
    sizes[name] = sum(path.stat().st_size for path in paths if path.is_file())
    requirements[name] = [
        re.sub("[-_.]+", "-", re.match("[A-Za-z0-9._-]+", text).group()).lower()
        for text in distribution.requires or ()
        if "extra ==" not in text
    ]
print(json.dumps([sizes, requirements]))
"""


def install(folder: Path, extras: str, use_cache: bool) -> tuple[float, dict, dict]:
    """Installs the package into a new environment.

    Args:
        folder: New folder for the environment.
        extras: Names of extras, with commas between; may be empty.
        use_cache: Whether pip may use its cache of downloads.

    Returns:
        Seconds of the installation; the bytes and the requirements of each distribution, by name.
    """
    subprocess.run([sys.executable, "-m", "venv", str(folder)], check=True)
    python = folder / "bin/python"
    source = f"{ROOT}[{extras}]" if extras else str(ROOT)
    options = [] if use_cache else ["--no-cache-dir"]
    began = time.perf_counter()
    subprocess.run([python, "-m", "pip", "install", "--quiet", *options, source], check=True)
    seconds = time.perf_counter() - began
    listing = subprocess.run(
        [python, "-c", LIST_DISTRIBUTIONS], check=True, capture_output=True, text=True
    )
    sizes, requirements = json.loads(listing.stdout)
    return seconds, sizes, requirements


def table(sizes: dict[str, int], requirements: dict[str, list[str]], at_least: float) -> str:
    """The distributions in Markdown, the largest first.

    Args:
        sizes: Bytes by name.
        requirements: Names of what each requires.
        at_least: MB (10^6 bytes) of a row of its own.
    """
    lines = ["| package | MB | required by |", "|---|---|---|"]
    by_size = sorted(sizes, key=lambda name: -sizes[name])
    large = [name for name in by_size if sizes[name] >= at_least * 1e6]
    for name in large:
        required_by = sorted(owner for owner in sizes if name in requirements[owner])
        lines.append(f"| {name} | {sizes[name] / 1e6:,.0f} | {', '.join(required_by)} |")
    small = [name for name in by_size if name not in large]
    if small:
        total = sum(sizes[name] for name in small) / 1e6
        lines.append(f"| {len(small)} smaller ones | {total:,.0f} | |")
    lines.append(f"| all {len(sizes)} | {sum(sizes.values()) / 1e6:,.0f} | |")
    return "\n".join(lines)


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--extras", default="", help="extras to install, with commas between")
    parser.add_argument("--at_least", type=float, default=10, help="MB of a row of its own")
    parser.add_argument("--no_cache", action="store_true", help="without pip's cache")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        seconds, sizes, requirements = install(
            Path(folder) / "venv", arguments.extras, not arguments.no_cache
        )
    print(table(sizes, requirements, arguments.at_least))
    print(f"\ninstalled in {seconds:.0f} s")


if __name__ == "__main__":
    main()
