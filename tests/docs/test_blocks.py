"""Every block of code in the pages runs, is a command that exists, or is marked as output.

test_commands.py parses the commands of the program itself; this checks all others: their scripts
and modules, the flags of these, extras and files.
"""

import ast
import importlib.util
import json
import re
import shlex
import shutil
from pathlib import Path

import numpy as np
import pytest
from absl import flags
from doc_pages import PAGES, PAGES_THAT_ADD, ROOT, blocks_of, text_of

from dim_tf.cli import flags as settings_flags

BLOCKS = [block for page in PAGES for block in blocks_of(page)]
PYTHON = [block for block in BLOCKS if block.language == "python"]
# The Python of these pages runs in other tests, which count it.
RUN_ELSEWHERE = {
    "README.md": 1,  # tests/dim_tf/test_api.py
    "docs/howto/convert.md": 3,  # tests/dim_tf/export/test_runtimes.py, collection/test_beam.py
    "docs/API.md": 3,  # the same, and tests/dim_tf/finetuning/test_finetune_stage.py
    "docs/PATCHES.md": 8,  # test_patches.py
    "docs/SEARCH.md": 4,  # tests/dim_tf/collection/test_search_examples.py
}
# Here, in the order of the pages.
RUN_HERE = {
    "docs/EXPORT.md": 3,
    "docs/METHOD.md": 2,
    "docs/TUTORIAL.md": 2,
    "docs/ZOO.md": 1,
    "docs/howto/phones.md": 2,
    "docs/quick-start.md": 1,
}
MARKED = 1  # blocks that say why they do not run
OUR_PROGRAM = ("dim_tf.main", "dim-tf")
# Of other projects: that they exist is not checked.
TOOLS = {
    *("ruff", "mypy", "jupyter", "mkdocs", "hf", "kaggle", "npm"),
    *("docker", "curl", "dask", "sha256sum", "mkdir", "echo", "head", "tail", "cat", "cd", "."),
}
# argparse's, Beam's and KServe's.
LIBRARIES_FLAGS = {
    *("--help", "--runner", "--direct_running_mode", "--direct_num_workers"),
    *("--dask_scheduler_file", "--dask_client_address", "--model_name", "--http_port"),
}
PREFIX = re.compile(r"""^(?:\$ )?(?:(?:/usr/bin/time -v|[A-Z_]+=('[^']*'|\S+)) )*""")
SEPARATOR = re.compile(r" (?:&&|\|\||\||&)(?: |$)")


def commands_of(block):
    """The commands of a block, without continuation, comments and assignments before them."""
    text = re.sub(r"\\\n\s*", " ", block.code)
    lines = [line.strip() for line in text.splitlines()]
    if block.language == "console":
        lines = [line for line in lines if line.startswith("$ ")]
    for line in lines:
        if not line or line.startswith("#"):
            continue
        without_comment = re.sub(r"\s+# .*$", "", line)
        for command in SEPARATOR.split(without_comment):
            if command.strip():
                yield PREFIX.sub("", command.strip(), count=1)


def wrong_of(command):
    """What is wrong with a command; empty: nothing."""
    words = shlex.split(command)
    program, rest = words[0], words[1:]
    if program == "pip" or program.endswith("/bin/pip"):
        return _wrong_of_extras(rest)
    if program in TOOLS or program in OUR_PROGRAM:
        return ""
    if re.fullmatch(r"python3?(\.\d+)?", program):
        return _wrong_of_python(rest)
    return "" if (ROOT / program).is_file() else f"{program} is no file, and no tool known here"


def _wrong_of_python(words):
    if words[0] == "-c":
        ast.parse(words[1])
        return ""
    if words[0] == "-m":
        module, arguments = words[1], words[2:]
        if module in (*OUR_PROGRAM, "venv", "build"):
            return ""
        spec = importlib.util.find_spec(module)
        if spec is None:
            return f"there is no module {module}"
        if module == "pytest":
            paths = [x for x in arguments if x.startswith("tests/")]
            return "".join(f"{x} is no file; " for x in paths if not (ROOT / x).exists())
        file = Path(spec.origin)
        return _wrong_of_flags(
            file.with_name("__main__.py") if _is_package(spec) else file, arguments
        )
    script = ROOT / words[0]
    if not script.is_file():
        return f"{words[0]} is no file"
    return _wrong_of_flags(script, words[1:])


def _wrong_of_flags(script, words):
    """The flags that neither a script nor a module of ours that it imports defines."""
    files = {script, *_imported_files(script)}
    source = "\n".join(path.read_text(encoding="utf-8") for path in sorted(files))
    defined = set(re.findall(r'"(--?[\w-]+)"', source))
    defined |= {f"--{name}" for name in re.findall(r'DEFINE_\w+\(\s*"(\w+)"', source)}
    defined |= LIBRARIES_FLAGS
    if "settings_flags.define(" in script.read_text(encoding="utf-8"):  # it takes ours, too
        values = flags.FlagValues()
        settings_flags.define(values)
        defined |= {f"--{name}" for name in values}
    used = {word.partition("=")[0] for word in words if word.startswith("-")}
    return "".join(f"{script.name} has no {flag}; " for flag in sorted(used - defined))


def _is_package(spec):
    return spec.submodule_search_locations is not None


def _imported_files(script):
    """The modules that a script imports itself, of its own folder or of this repository."""
    names = set()
    for node in ast.walk(ast.parse(script.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            names |= {node.module, *(f"{node.module}.{alias.name}" for alias in node.names)}
    for name in names:
        for folder in (script.parent, ROOT):
            file = folder / f"{name.replace('.', '/')}.py"
            if file.is_file():
                yield file


def _wrong_of_extras(words):
    known = set(re.findall(r'^        "(\w+)": \[', text_of("setup.py"), re.MULTILINE))
    used = [x for word in words for x in re.findall(r"(?:^\.|dim_tf)\[([\w,]+)\]", word)]
    unknown = {name for names in used for name in names.split(",")} - known
    return "".join(f"there is no extra {name}; " for name in sorted(unknown))


def test_every_block_has_a_language_that_is_checked():
    unmarked = [block for block in BLOCKS if not block.is_marked]
    assert {block.language for block in unmarked} <= {"", "console", "json", "python", "text"}
    assert len(BLOCKS) > 150
    assert len([block for block in BLOCKS if block.is_marked]) == MARKED
    assert "".join(map(text_of, PAGES)).count("<!-- not run:") == MARKED


@pytest.mark.parametrize("page", [page for page in PAGES if page not in PAGES_THAT_ADD])
def test_commands_exist(page):
    for block in blocks_of(page):
        if block.language in ("", "console") and not block.is_marked:
            for command in commands_of(block):
                assert not wrong_of(command), f"{block}: {command}"


@pytest.mark.parametrize(
    ("command", "wrong"),
    [
        ("python benchmarks/nosuch.py", "no file"),
        ("python benchmarks/quality.py --nosuch=1", "has no --nosuch"),
        # A flag of another script, or of another module, of the folder.
        ("python benchmarks/quality.py --train_steps=1", "has no --train_steps"),
        ("python -m dim_tf.zoo --tfjs_python=1", "has no --tfjs_python"),
        ("python -m dim_tf.export.verify --owner=ada", "has no --owner"),
        ("python -m dim_tf.nosuch", "no module"),
        ("python -m pytest tests/nosuch", "no file"),
        ("pip install -e '.[nosuch]'", "no extra"),
        ("nosuch --a", "no tool"),
        ("verdict: Training helped", "no tool"),
    ],
)
def test_a_wrong_command_is_found(command, wrong):
    assert wrong in wrong_of(command)


def test_json_is_valid():
    for block in BLOCKS:
        if block.language == "json":
            json.loads(block.code)


def test_python_runs_somewhere():
    counts = {}
    for block in PYTHON:
        if not block.is_marked and block.page not in PAGES_THAT_ADD:
            counts[block.page] = counts.get(block.page, 0) + 1
    assert counts == RUN_ELSEWHERE | RUN_HERE


def run_blocks(page, names):
    for block in blocks_of(page):
        if block.language == "python" and not block.is_marked:
            exec(compile(block.code, str(block), "exec"), names)


@pytest.fixture
def folder(tmp_path, monkeypatch):
    """The working folder, with the encoder of the repository as the exports of the pages."""
    monkeypatch.chdir(tmp_path)
    for name in ("dim_cifar10", "digits", "cifar10", "photos"):
        shutil.copytree(ROOT / "exported/dim_cifar10/1", tmp_path / f"exported/{name}/1")
    return tmp_path


@pytest.fixture
def images():
    return np.random.default_rng(0).random([8, 32, 32, 3], np.float32)


@pytest.mark.slow
def test_quick_start(folder):
    names = {}
    run_blocks("docs/quick-start.md", names)
    assert names["features"].shape == (4, 64)


@pytest.mark.slow
def test_export(folder, images):
    import keras
    import tensorflow as tf

    (folder / "exported/net/1").mkdir(parents=True)
    inputs = keras.Input([32, 32, 3])
    outputs = keras.layers.GlobalAveragePooling2D()(keras.layers.Conv2D(4, 3)(inputs))
    keras.Model(inputs, outputs).save(folder / "exported/net/1/backbone.keras")
    names = {
        "images": images,
        "labels": np.arange(8),
        "pixels": images * 255,
        "dataset": tf.data.Dataset.from_tensor_slices(images).batch(4),
        "keras": keras,
    }
    run_blocks("docs/EXPORT.md", names)
    assert names["features"].shape == (8, 4)
    np.testing.assert_allclose(names["loaded"](images), names["model"](images), rtol=1e-5)


@pytest.mark.slow
def test_phones(folder, images):
    import small_export

    from dim_tf.export import tflite
    from dim_tf.export.tflite_metadata import embedding

    shutil.rmtree(folder / "exported/digits/1")
    small_export.save(folder / "exported/digits/1")
    pixels = small_export.images()
    chosen = [x for x in tflite.VARIANTS if x.name in ("float32", "int8")]
    path = folder / "exported/digits/1"
    tflite.write(path, chosen, pixels, "digits", "", embedding("global"))
    names = {"images": pixels}
    run_blocks("docs/howto/phones.md", names)
    assert names["runner"](images=pixels)["global"].shape == (6, 5)


@pytest.mark.slow
def test_tutorial(folder, images):
    import PIL.Image
    import small_export

    from dim_tf.export import classifier_saved_model, saved_model

    classifier = folder / "exported/photos-classifier/1"
    classifier_saved_model.save(
        small_export.small_encoder(),
        small_export.head(),
        classifier,
        saved_model.SavedModelOptions({}),
    )
    PIL.Image.fromarray(np.uint8(images[0] * 255)).save(folder / "new.jpg")
    names = {"images": images}
    run_blocks("docs/TUTORIAL.md", names)
    assert names["answer"]["classes"].numpy()[0].decode() in ("cat", "dog", "Käuzchen")
    assert names["features"].shape == (8, 64)


@pytest.mark.slow
def test_zoo(folder, images, monkeypatch):
    import PIL.Image

    monkeypatch.delenv("DIM_TF_ZOO", raising=False)
    for name, image in zip(("a.jpg", "b.png"), images, strict=False):
        PIL.Image.fromarray(np.uint8(image * 255)).save(folder / name)
    names = {}
    run_blocks("docs/ZOO.md", names)
    assert names["features"].shape == (2, 64)


@pytest.mark.slow
def test_method():
    names = {}
    run_blocks("docs/METHOD.md", names)
    assert names["model"].encoder.image_shape == (96, 96, 3)
