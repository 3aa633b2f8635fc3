"""The files of a release, and the programs of .ci that check them."""

import importlib.util
import io
import json
import re
import subprocess
import tarfile
import zipfile
from pathlib import Path

import pytest
import yaml

import dim_tf

ROOT = Path(__file__).parents[2]


def program(name):
    spec = importlib.util.spec_from_file_location(name, ROOT / ".ci" / f"{name}.py")
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


check_dist, dockerfile_steps = program("check_dist"), program("dockerfile_steps")


def docker():
    return dockerfile_steps.steps((ROOT / "Dockerfile").read_text(encoding="utf-8"))


def test_every_file_states_the_same_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation["version"] == dim_tf.__version__
    module = (ROOT / "MODULE.bazel").read_text(encoding="utf-8")
    assert f'version = "{dim_tf.__version__}"' in module.splitlines()[0]


def test_the_citation_has_what_the_format_requires():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf-8"))
    assert citation.keys() >= {"cff-version", "message", "title", "authors"}
    for work in (citation, *citation["references"]):
        assert work["title"]
        assert all(author.keys() & {"name", "family-names"} for author in work["authors"])


def test_the_image_runs_as_an_ordinary_user():
    users = [arguments for instruction, arguments in docker() if instruction == "USER"]
    assert users
    assert all(user.isdecimal() and int(user) > 0 for user in users)
    assert ("ENTRYPOINT", '["dim-tf"]') in docker()
    # Nothing is installed after it.
    instructions = [instruction for instruction, _ in docker()]
    assert "RUN" not in instructions[instructions.index("USER") :]


def test_all_that_the_image_copies_is_in_its_context():
    allowed = (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines()
    assert allowed[0] == "*"
    for instruction, arguments in docker():
        for source in arguments.split()[:-1] if instruction == "COPY" else ():
            assert (ROOT / source).exists()
            assert f"!{source.rstrip('/')}" in allowed


def test_the_steps_of_a_dockerfile():
    text = '# a\nFROM x\nARG A="b c"\n\nRUN pip install \\\n    y && \\\n    z\ncmd ["a"]\n'
    assert [(x, re.sub(" +", " ", y)) for x, y in dockerfile_steps.steps(text)] == [
        ("FROM", "x"),
        ("ARG", 'A="b c"'),
        ("RUN", "pip install y && z"),
        ("CMD", '["a"]'),
    ]


def test_files_are_copied_as_docker_does(tmp_path):
    (tmp_path / "in" / "folder" / "__pycache__").mkdir(parents=True)
    (tmp_path / "in" / "folder" / "a").touch()
    (tmp_path / "in" / "b").touch()
    out = tmp_path / "out"
    out.mkdir()
    dockerfile_steps.copy(tmp_path / "in", out, "b ./")
    dockerfile_steps.copy(tmp_path / "in", out, "folder/ folder/")
    assert sorted(path.relative_to(out).as_posix() for path in out.rglob("*")) == [
        "b",
        "folder",
        "folder/a",
    ]


FILES = {"setup.py", "dim_tf/a.py", "dim_tf/BUILD", "dim_tf/in/b.css", "flags/c.cfg", "docs/d.md"}
WHEEL = {"dim_tf/a.py", "dim_tf/in/b.css", "dim_tf/flagfiles/c.cfg"}


def distributions(folder, wheel=WHEEL, sdist=FILES, version=dim_tf.__version__, url=""):
    metadata = f"Metadata-Version: 2.4\nName: dim_tf\nVersion: {version}\n{url}\n# README\n"
    with zipfile.ZipFile(folder / "dim_tf.whl", "w") as archive:
        for name in wheel:
            archive.writestr(name, "")
        archive.writestr("dim_tf-1.dist-info/METADATA", metadata)
    with tarfile.open(folder / "dim_tf.tar.gz", "w:gz") as tar:
        for name in sdist:
            tar.addfile(tarfile.TarInfo(f"dim_tf-1/{name}"), io.BytesIO())
    return folder


@pytest.mark.parametrize(
    ("changes", "lines"),
    [
        ({}, []),
        ({"sdist": FILES - {"docs/d.md"}}, ["dim_tf.tar.gz lacks docs/d.md"]),
        ({"wheel": WHEEL - {"dim_tf/in/b.css"}}, ["dim_tf.whl lacks dim_tf/in/b.css"]),
        ({"wheel": WHEEL | {"tests/a.py"}}, ["dim_tf.whl has tests/a.py"]),
        ({"version": "9.9"}, ["CITATION.cff does not state version 9.9"]),
        ({"url": "Home-page: https://example.com\n"}, ["the metadata has 'example.com'"]),
    ],
)
def test_incomplete_distributions_are_found(changes, lines, tmp_path, monkeypatch):
    monkeypatch.setattr(check_dist, "tracked", lambda: FILES)
    assert check_dist.problems(distributions(tmp_path, **changes)) == lines


def test_the_zoo_of_the_repository_names_what_is_there():
    index = json.loads((ROOT / "exported" / "zoo.json").read_text(encoding="utf-8"))
    for entry in index["models"].values():
        assert (ROOT / "exported" / entry["url"] / "saved_model.pb").is_file()
        assert (ROOT / "exported" / entry["card"]).is_file()


def test_scripts_are_shell_that_parses():
    for name in ("run", "release", "dist", "matrix"):
        subprocess.run(["bash", "-n", str(ROOT / ".ci" / name)], check=True)


def test_the_checks_of_distributions_stand_once():
    for name in ("run", "release"):
        text = (ROOT / ".ci" / name).read_text(encoding="utf-8")
        assert re.search(r'^\.ci/dist "', text, re.MULTILINE)
        assert not re.search(r"-m build|twine|check_dist|cffconvert|hadolint", text)


def test_a_folder_with_files_gets_no_distributions(tmp_path):
    older = tmp_path / "dim_tf-0.1.tar.gz"
    older.touch()
    for folder in (tmp_path, older):
        command = [str(ROOT / ".ci" / "dist"), folder.name]
        done = subprocess.run(
            command, cwd=folder.parent, capture_output=True, text=True, check=False
        )
        assert done.returncode == 2
        assert done.stderr == (
            f"error: {folder} is not an empty folder; give another, or remove it\n"
        )
    assert list(tmp_path.iterdir()) == [older]
