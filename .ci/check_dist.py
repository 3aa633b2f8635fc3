"""Checks a wheel and a source distribution against the repository.

    python .ci/check_dist.py dist

The source distribution must have every tracked file, the wheel every tracked module, flagfile and
data file of its packages; the metadata must state the version of CITATION.cff, and no URL of an
example. Needs the standard library and git.
"""

import email
import re
import subprocess
import sys
import tarfile
import zipfile
from pathlib import Path

ROOT = Path(__file__).parents[1]
PACKAGES = ("dim_tf/", "keras_models/")
NOT_INSTALLED = {"BUILD"}  # names of files that only Bazel reads
PLACEHOLDER = re.compile(r"example\.(com|org)|OWNER", re.IGNORECASE)


def tracked() -> set[str]:
    """The repository's files."""
    command = ["git", "-C", str(ROOT), "ls-files", "-z"]
    listed = subprocess.run(command, capture_output=True, check=True).stdout.decode()
    return {name for name in listed.split("\0") if name and (ROOT / name).is_file()}


def expected_in_wheel(files: set[str]) -> set[str]:
    """What the wheel must have of them."""
    modules = {name for name in files if name.startswith(PACKAGES)}
    flagfiles = {f"dim_tf/flagfiles/{Path(x).name}" for x in files if x.startswith("flags/")}
    installed = modules | {name for name in flagfiles if name.endswith(".cfg")}
    return {name for name in installed if Path(name).name not in NOT_INSTALLED}


def problems(dist: Path) -> list[str]:
    """A line for each thing that is wrong."""
    (wheel,), (sdist,) = dist.glob("*.whl"), dist.glob("*.tar.gz")
    files = tracked()
    with tarfile.open(sdist) as tar:
        packed = {name.partition("/")[2] for name in tar.getnames()}
    with zipfile.ZipFile(wheel) as archive:
        installed = set(archive.namelist())
        (name,) = (name for name in installed if name.endswith(".dist-info/METADATA"))
        metadata = email.message_from_bytes(archive.read(name))
    lines = [f"{sdist.name} lacks {name}" for name in sorted(files - packed)]
    lines += [f"{wheel.name} lacks {x}" for x in sorted(expected_in_wheel(files) - installed)]
    ours = (*PACKAGES, "dim_tf-")  # the last: of the metadata's folder
    lines += [f"{wheel.name} has {x}" for x in sorted(installed) if not x.startswith(ours)]
    citation = (ROOT / "CITATION.cff").read_text(encoding="utf-8")
    cited = re.search(r"^version: (.+)$", citation, re.MULTILINE)
    if cited is None or cited[1] != metadata["Version"]:
        lines.append(f"CITATION.cff does not state version {metadata['Version']}")
    values = " ".join(value for key, value in metadata.items() if key != "Description")
    if placeholder := PLACEHOLDER.search(values):
        lines.append(f"the metadata has {placeholder[0]!r}")
    return lines


if __name__ == "__main__":
    lines = problems(Path(sys.argv[1]))
    print("\n".join(lines) or "wheel and source distribution are complete")
    sys.exit(bool(lines))
