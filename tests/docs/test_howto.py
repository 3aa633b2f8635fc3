"""The pages of docs/howto: their code runs, and their lines in the lists are all that is needed.

The first line of each of a page's Python blocks says where the block belongs: `# FILE`, a file of
its own; `# FILE, imports` and `# FILE, LIST`, lines of a file that exists.
"""

import ast
import importlib
import json
import os
import re
import shlex
import shutil
import subprocess
import sys
import types
from dataclasses import dataclass
from pathlib import Path

import keras
import numpy as np
import pytest

from dim_tf.data.splits import Split, Splits
from dim_tf.evaluation import evaluate, representation
from dim_tf.evaluation.evaluation_data import EvaluationData
from dim_tf.evaluation.measure_spec import MeasureContext
from dim_tf.experiment import Experiment
from dim_tf.system.errors import InputError
from dim_tf.training.model import make_encoder

ROOT = Path(__file__).parents[2]
PAGES = sorted(path.stem for path in (ROOT / "docs/howto").glob("add-*.md"))
IMPORTS = "imports"


@dataclass(frozen=True)
class Block:
    """Python of a page.

    Attributes:
        path: of the file that it is, or that gets it.
        place: `IMPORTS`, or the name of the list that gets it; empty: it is the whole file.
        code: without the line that tells these.
    """

    path: str
    place: str
    code: str

    @property
    def module(self) -> str:
        return self.path.removesuffix(".py").removesuffix("/__init__").replace("/", ".")

    @property
    def is_test(self) -> bool:
        return self.path.startswith("tests/")


def text_of(page):
    text = (ROOT / f"docs/howto/{page}.md").read_text(encoding="utf-8")
    return re.sub(r"<!--.*?-->", "", text, flags=re.DOTALL)


def blocks_of(page):
    blocks = []
    for fenced in re.findall(r"^```python\n(.*?)^```$", text_of(page), re.DOTALL | re.MULTILINE):
        head, _, code = fenced.partition("\n")
        path, _, place = head.removeprefix("# ").partition(", ")
        assert path.endswith(".py"), f"{page}: {head!r} is no file"
        blocks.append(Block(path, place, code))
    return blocks


def command_of(page):
    """The arguments of Python of a page's command."""
    return shlex.split(re.search(r"^```\npython (.*)\n```$", text_of(page), re.MULTILINE)[1])


class Applied:
    """A page, its files as modules and its lines in the lists of this process.

    Args:
        page: Its name.
        monkeypatch: Takes everything back.
    """

    def __init__(self, page, monkeypatch):
        self._patch = monkeypatch
        self.tests = []
        blocks = blocks_of(page)
        # As a person would: the new files, then what names them, then the tests.
        for block in sorted(blocks, key=lambda b: (bool(b.place), b.place != IMPORTS, b.is_test)):
            if block.place:
                self._add(block)
            elif not block.is_test:
                self._execute(block)
        for block in blocks:
            if block.is_test:
                self.tests += vars(self._execute(block)).items()

    def _execute(self, block):
        assert not (ROOT / block.path).exists(), f"{block.path} is there already"
        module = types.ModuleType(block.module)
        self._patch.setitem(sys.modules, block.module, module)
        exec(compile(block.code, block.path, "exec"), vars(module))
        return module

    def _add(self, block):
        module = importlib.import_module(block.module)
        if block.place == IMPORTS:
            names = {}
            exec(block.code, names)
            for name in names.keys() - {"__builtins__"}:
                self._patch.setattr(module, name, names[name], raising=False)
            return
        listed = getattr(module, block.place)
        opening, closing = "{}" if isinstance(listed, dict) else "[]"
        new = eval(opening + block.code + closing, vars(module))
        assert not set(listed) & set(new), f"{block.place} has it already"
        if isinstance(listed, dict):
            for name, value in new.items():
                self._patch.setitem(listed, name, value)
        else:
            self._patch.setattr(module, block.place, (*listed, *new))


@pytest.fixture
def apply(monkeypatch, tmp_path):
    monkeypatch.chdir(tmp_path)
    return lambda page: Applied(page, monkeypatch)


def run_tests(page, tmp_path):
    """Runs the page's tests; returns how many there are."""
    count = 0
    for name, test in page.tests:
        if not name.startswith("test_"):
            continue
        marks = [mark for mark in getattr(test, "pytestmark", ()) if mark.name == "parametrize"]
        name_of_parameter, values = marks[0].args if marks else ("", [None])
        arguments = {"tmp_path": tmp_path / name} if "tmp_path" in test.__code__.co_varnames else {}
        for path in arguments.values():
            path.mkdir()
        for value in values:
            test(**arguments, **({name_of_parameter: value} if marks else {}))
            count += 1
    return count


def images(side=16):
    pixels = np.random.default_rng(0).integers(0, 256, (12, side, side, 3), np.uint8)
    split = Split(pixels, np.arange(12) % 2)
    return Splits("random", split, split, ("even", "odd"), "random images")


def test_every_page_is_in_the_index_and_every_link_leads_somewhere():
    index = (ROOT / "docs/howto/README.md").read_text(encoding="utf-8")
    assert set(re.findall(r"\((add-[\w-]+)\.md\)", index)) == set(PAGES)
    for page in [*PAGES, "README"]:
        text = (ROOT / f"docs/howto/{page}.md").read_text(encoding="utf-8")
        for link in re.findall(r"\]\((?!http)([^)#]+)\)", text):
            assert (ROOT / "docs/howto" / link).exists(), f"{page}: {link}"
        for path in re.findall(r"`((?:keras_models|dim_tf|tests|docs)/[\w/]+(?:\.\w+|/))`", text):
            assert (ROOT / path).exists(), f"{page}: {path}"


def test_every_list_of_the_index_gets_a_line_of_its_page():
    index = (ROOT / "docs/howto/README.md").read_text(encoding="utf-8")
    for page in PAGES:
        row = next(line for line in index.splitlines() if f"({page}.md)" in line)
        named = {name.split(".")[-1] for name in re.findall(r"`([\w.]+)`", row.split("|")[-2])}
        lists = {b.place for b in blocks_of(page)} - {"", IMPORTS}
        assert named == lists - {"REFERENCE_MEASURES"}, page


def test_add_a_term(apply, tmp_path):
    page = apply("add-a-term")
    assert run_tests(page, tmp_path) >= 4
    encoder = make_encoder(Experiment.of(name="t", latent_dim=8), (16, 16, 3))
    settings = Experiment.of(name="t", model="align_uniform", **{"align_uniform.uniformity": 0.3})
    (term,) = settings.model.make(encoder, None, settings).terms
    assert (term.uniformity, term.compares_views) == (0.3, True)
    mixed = sys.modules["example"].model
    assert [term.weight for term in mixed.terms] == [1.0, 0.1]


def test_add_a_model(apply, tmp_path):
    page = apply("add-a-model")
    assert run_tests(page, tmp_path) >= 4
    encoder = make_encoder(Experiment.of(name="t", latent_dim=8), (16, 16, 3))
    settings = Experiment.of(name="t", model="lines", seed=5, **{"lines.masked": 0.5})
    model = settings.model.make(encoder, images(), settings)
    assert (model.name, model.seed, model.masked) == ("lines", 5, 0.5)


def test_add_an_encoder_preset(apply, tmp_path):
    page = apply("add-an-encoder-preset")
    assert run_tests(page, tmp_path) == 2


def test_add_a_backbone(apply, tmp_path):
    page = apply("add-a-backbone")
    assert run_tests(page, tmp_path) == 2


def test_add_a_measure(apply, tmp_path):
    page = apply("add-a-measure")
    assert run_tests(page, tmp_path) == 5
    name = "intrinsic_dimension"
    features = representation.from_pixels(EvaluationData.from_splits(images()))
    context = MeasureContext(features, representation.from_pixels, Experiment.of(name="t"), 1, None)
    spec = evaluate.spec(name)
    assert spec.unmet_requirement(context) == ""
    measure = spec.build(context)
    assert [result.endpoint for result in measure.run()] == ["pixels"]
    assert set(measure.protocol) == set(measure.metrics) == {name}


def test_add_a_data_source(apply, tmp_path):
    page = apply("add-a-data-source")
    assert run_tests(page, tmp_path) == 3


@pytest.fixture(scope="module")
def repository(tmp_path_factory):
    """A copy of the packages in which all pages were followed."""
    root = tmp_path_factory.mktemp("repository")
    for folder in ("dim_tf", "keras_models", "flags"):
        shutil.copytree(ROOT / folder, root / folder, ignore=shutil.ignore_patterns("__pycache__"))
    for block in (block for page in PAGES for block in blocks_of(page)):
        path = root / block.path
        if block.place:
            path.write_text(with_lines(path.read_text(encoding="utf-8"), block), encoding="utf-8")
        else:
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_text(block.code, encoding="utf-8")
    return root


def with_lines(source, block):
    """The source of a module with the lines of a block in their place."""
    lines = source.splitlines()
    if block.place == IMPORTS:
        nodes = [n for n in ast.parse(source).body if isinstance(n, ast.Import | ast.ImportFrom)]
        lines[nodes[-1].end_lineno : nodes[-1].end_lineno] = block.code.splitlines()
        return "\n".join(lines) + "\n"
    for node in ast.parse(source).body:
        if isinstance(node, ast.Assign | ast.AnnAssign):
            (target,) = node.targets if isinstance(node, ast.Assign) else (node.target,)
            if getattr(target, "id", "") == block.place:
                last = node.value.end_lineno - 1  # the line of the closing bracket
                column = node.value.end_col_offset - 1
                before, after = lines[last][:column], lines[last][column:]
                code = block.code.splitlines()
                lines[last : last + 1] = [*([f"{before},"] if before else []), *code, after]
                return "\n".join(lines) + "\n"
    raise AssertionError(f"{block.path} has no list {block.place}")


@pytest.fixture(scope="module")
def breastmnist(repository):
    """In the copy, a file as MedMNIST's of that name."""
    rng, path = np.random.default_rng(0), repository / "breastmnist.npz"
    arrays = {}
    for part in ("train", "val", "test"):
        arrays[f"{part}_images"] = rng.integers(0, 256, (64, 28, 28), "u1")
        arrays[f"{part}_labels"] = np.arange(64)[:, np.newaxis] % 2
    np.savez(path, **arrays)


def run(page, repository, *more):
    """A page's command in the copy."""
    done = subprocess.run(
        [sys.executable, *command_of(page), *more],
        cwd=repository,
        env={**os.environ, "PYTHONPATH": str(repository)},
        capture_output=True,
        text=True,
        check=False,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr
    return done.stdout


SETTINGS = {  # that each page's command needs, and that is refused without the page's lines
    "add-a-term": ("model", "align_uniform"),
    "add-a-model": ("model", "lines"),
    "add-an-encoder-preset": ("encoder", "small48x48"),
    "add-a-measure": ("measures", "knn,intrinsic_dimension"),
    "add-a-data-source": ("dataset", "medmnist"),
}
WRITTEN_AS = {  # in experiment.json
    "model": ("model", "name"),
    "encoder": ("encoder", "name"),
    "measures": ("evaluation", "measures"),
    "dataset": ("data", "dataset"),
}
QUICK = ["--steps=2", "--batch_size=16", "--mode=train,evaluate", "--noreferences", "--nodownload"]


@pytest.mark.slow
@pytest.mark.parametrize("page", SETTINGS)
def test_the_command_of_a_page_runs_where_the_pages_were_followed(repository, breastmnist, page):
    setting, value = SETTINGS[page]
    with pytest.raises(InputError, match=value.split(",")[-1]):
        Experiment.of(name="t", **{setting: value})
    folder = repository / "runs" / page
    measures = [] if setting == "measures" else ["--measures=knn"]
    run(page, repository, *QUICK, *measures, f"--run_dir={folder}")
    steps = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    assert [entry["step"] for entry in steps] == [1, 2]
    assert all(np.isfinite(entry["loss"]) for entry in steps)
    group, field = WRITTEN_AS[setting]
    assert json.loads((folder / "experiment.json").read_text())[group][field] == value
    evaluation = json.loads((folder / "evaluation.json").read_text())
    measured = "intrinsic_dimension" if setting == "measures" else "knn"
    assert set(evaluation[measured]) == {"conv", "fc", "global", evaluation["feature"]["name"]}


@pytest.mark.slow
def test_the_backbones_script_writes_a_network_that_has_learned(repository, monkeypatch):
    assert set(SETTINGS) == set(PAGES) - {"add-a-backbone"}
    out = run("add-a-backbone", repository)
    losses = [float(x) for x in re.findall(r"(?<!_)\bloss: (-?[\d.]+)", out)]
    assert losses
    assert np.isfinite(losses).all()
    assert "1198 images, 64 features each" in out
    net = keras.saving.load_model(repository / "tile_net.keras", safe_mode=True)
    assert np.isfinite(net(np.zeros([1, 32, 32, 3], np.float32))).all()
    monkeypatch.syspath_prepend(repository)
    keras.utils.set_random_seed(0)
    fresh = importlib.import_module("train_tile_net").tile_net((32, 32, 3))
    for old, new in zip(fresh.weights, net.weights, strict=True):
        assert not np.array_equal(old, new), new.path
