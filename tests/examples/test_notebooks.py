"""The notebooks of examples/notebooks: what is committed, and what they do with small settings."""

import ast
import json
import math
import re
import shutil
import subprocess
import sys
from pathlib import Path

import nbformat
import pytest
from ipykernel.kernelspec import write_kernel_spec
from jupyter_client.kernelspec import KernelSpecManager
from jupyter_client.manager import AsyncKernelManager
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "examples/notebooks"
PATHS = sorted(FOLDER.glob("*.ipynb"))
KERNEL = "interpreter_of_the_test"


def read(name):
    return nbformat.read(FOLDER / f"{name}.ipynb", as_version=4)


def code_cells(notebook):
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def tags(cell):
    return set(cell.metadata.get("tags", []))


def assigned(source):
    """Names that a cell assigns, in their order."""
    return [node.targets[0].id for node in ast.parse(source).body if isinstance(node, ast.Assign)]


def parameters(notebook):
    (cell,) = [cell for cell in notebook.cells if "parameters" in tags(cell)]
    return cell


def with_parameters(notebook, **values):
    """The notebook with another cell of parameters, which sets the same names."""
    cell = parameters(notebook)
    assert list(values) == assigned(cell.source)
    cell.source = "\n".join(f"{name} = {value!r}" for name, value in values.items())
    return notebook


def with_result(notebook, expression):
    """The notebook with a last cell that prints an expression as JSON."""
    source = f"import json\nprint(json.dumps({expression}))"
    notebook.cells.append(nbformat.v4.new_code_cell(source))
    return notebook


def result(notebook):
    return json.loads(notebook.cells[-1].outputs[-1].text)


def output_types(notebook, cell_id):
    """The MIME types of a cell's outputs."""
    (cell,) = [cell for cell in notebook.cells if cell.id == cell_id]
    return {kind for output in cell.outputs for kind in output.get("data", {})}


@pytest.fixture
def execute(tmp_path, monkeypatch):
    """Executes a notebook in tmp_path, by this interpreter, with nothing of the user's."""
    for name in ("HOME", "IPYTHONDIR", "JUPYTER_CONFIG_DIR", "JUPYTER_DATA_DIR", "JUPYTER_PATH"):
        monkeypatch.setenv(name, str(tmp_path / "home"))
    monkeypatch.setenv("JUPYTER_RUNTIME_DIR", str(tmp_path / "runtime"))
    monkeypatch.setenv("MPLBACKEND", "module://matplotlib_inline.backend_inline")
    monkeypatch.setenv("PYTHONPATH", str(ROOT))
    write_kernel_spec(tmp_path / "kernels" / KERNEL)
    specs = KernelSpecManager(kernel_dirs=[str(tmp_path / "kernels")], ensure_native_kernel=False)

    def run(notebook):
        NotebookClient(
            notebook,
            km=AsyncKernelManager(kernel_name=KERNEL, kernel_spec_manager=specs),
            timeout=600,
            coalesce_streams=True,
            resources={"metadata": {"path": str(tmp_path)}},
        ).execute(cleanup_kc=True)
        return notebook

    return run


def test_there_are_three_notebooks_and_readme_names_each():
    names = {path.stem for path in PATHS}
    assert names == {"quick_start", "own_images", "deep_infomax_from_its_parts"}
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    assert all(f"(examples/notebooks/{name}.ipynb)" in text for name in names)


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_valid_and_installs_first(path):
    notebook = nbformat.read(path, as_version=nbformat.NO_CONVERT)
    nbformat.validate(notebook)
    assert (notebook.nbformat, notebook.nbformat_minor) == (4, 5)
    assert notebook.metadata.kernelspec.name == "python3"
    first, second = code_cells(notebook)[:2]
    assert re.search(r'in \("dim_tf", "matplotlib"\)\):\n +%pip install .*\{SOURCE\}', first.source)
    assert tags(second) == {"parameters"}
    assert assigned(second.source)
    source = re.search('^SOURCE = "(.*)"', first.source, re.MULTILINE)[1]
    assert (path.parent / source / "pyproject.toml").exists()


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_the_links_of_a_notebook_lead_somewhere(path):
    text = "".join(cell.source for cell in nbformat.read(path, 4).cells)
    links = re.findall(r"\]\((?!http)([^)#]+)\)", text)
    assert links
    assert [link for link in links if not (FOLDER / link).exists()] == []


@pytest.mark.parametrize("path", PATHS, ids=lambda path: path.stem)
def test_a_notebook_is_committed_without_outputs(path):
    for cell in code_cells(nbformat.read(path, as_version=4)):
        assert cell.outputs == []
        assert cell.execution_count is None


def test_code_cells_have_the_style_of_the_project():
    ruff = shutil.which("ruff", path=Path(sys.executable).parent) or shutil.which("ruff")
    assert ruff, "ruff is in the extra test"
    for command in (["check"], ["format", "--check"]):
        done = subprocess.run(
            [ruff, *command, "--no-cache", *PATHS],
            cwd=ROOT,
            capture_output=True,
            text=True,
            check=False,
        )
        assert done.returncode == 0, done.stdout + done.stderr


@pytest.mark.slow
def test_a_notebook_runs_in_this_interpreter_and_one_that_raises_fails(execute):
    cell = nbformat.v4.new_code_cell
    notebook = nbformat.v4.new_notebook(cells=[cell("import sys, dim_tf")])
    execute(with_result(notebook, "[sys.executable, sys.prefix, dim_tf.__file__]"))
    assert result(notebook) == [sys.executable, sys.prefix, str(ROOT / "dim_tf/__init__.py")]
    with pytest.raises(CellExecutionError, match="no such images"):
        execute(nbformat.v4.new_notebook(cells=[cell("raise ValueError('no such images')")]))


@pytest.mark.slow
def test_quick_start(execute, tmp_path):
    notebook = with_parameters(read("quick_start"), EPOCHS=1, PROBE_EPOCHS=1, NEIGHBOURS=3)
    features = "test_features.shape, bool(np.isfinite(test_features).all())"
    execute(with_result(notebook, f"[accuracy, agreement, {features}]"))
    accuracy, agreement, shape, finite = result(notebook)
    for values in accuracy.values():
        assert set(values) == {"raw pixels", "random weights", "trained"}
        assert all(0.1 < value <= 1 for value in values.values())
    assert 0.5 < agreement <= 1
    assert finite
    for name in ("images", "curves", "compare", "neighbours", "map"):
        assert "image/png" in output_types(notebook, name), name
    assert "text/html" in output_types(notebook, "report")
    evaluation = json.loads((tmp_path / "runs/digits/evaluation.json").read_text())
    size = evaluation["feature"]["dimensions"][evaluation["feature"]["name"]]
    assert shape == [599, size]
    assert notebook.cells[-3].outputs[-1].text == f"(4, {size}) True\n"
    assert evaluation["knn"]["global"] == accuracy["knn"]["trained"]
    assert (tmp_path / "exported/digits/1/saved_model.pb").exists()


@pytest.mark.slow
def test_own_images(execute, tmp_path):
    small = {
        "FOLDER": "mine",
        "IMAGE_SIZE": 16,
        "EPOCHS": 1,
        "LABELS_PER_CLASS": (1, 5),
        "DRAWS": 2,
        "FINE_TUNING_EPOCHS": 1,
    }
    notebook = with_parameters(read("own_images"), **small)
    values = "{name: value.tolist() for name, value in few_labels.items()}, all_labels, fine_tuned"
    execute(with_result(notebook, f"[{values}, evaluation, features.shape, logits.tolist()]"))
    few_labels, all_labels, fine_tuned, evaluation, shape, logits = result(notebook)
    assert set(few_labels) == set(all_labels) == {"features", "raw pixels"}
    accuracies = [x for rows in few_labels.values() for row in rows for x in row]
    assert len(accuracies) == 2 * 2 * 2
    assert all(0 <= value <= 1 for value in [*accuracies, *all_labels.values(), fine_tuned])
    assert {"random_weights", "pixels"} == set(evaluation["references"])
    written = json.loads((tmp_path / "runs/photos/evaluation.json").read_text())
    assert written == {**evaluation, "sha256": written["sha256"]}
    assert shape == [1797, evaluation["feature"]["dimensions"][evaluation["feature"]["name"]]]
    assert all(math.isfinite(value) for row in logits for value in row)
    (verdict,) = [cell for cell in notebook.cells if cell.id == "verdict"]
    assert verdict.outputs[0].text.splitlines() == [
        evaluation["verdict"]["sentence"],
        evaluation["verdict"]["probe"]["sentence"],
    ]
    for name in ("folder", "verdict", "search", "classifier"):
        assert "image/png" in output_types(notebook, name), name
    assert "text/html" in output_types(notebook, "report")
    assert len(list((tmp_path / "mine").rglob("*.png"))) == 1797
    assert (tmp_path / "exported/mine/1/saved_model.pb").exists()
    assert (tmp_path / "classifier.keras").exists()


@pytest.mark.slow
def test_deep_infomax_from_its_parts(execute):
    small = {"BATCH": 64, "UNITS": 16, "EPOCHS": 1, "SHOWN": 8}
    notebook = with_parameters(read("deep_infomax_from_its_parts"), **small)
    steps = "[{name: float(value) for name, value in logs.items()} for logs in history]"
    execute(with_result(notebook, f"[values, {steps}, float(bound), accuracy]"))
    values, history, bound, accuracy = result(notebook)
    assert set(values) == {"jsd", "infonce", "dv", "nwj"}  # equal to NumPy's, in the notebook
    assert all(math.isfinite(value) for value in values.values())
    assert len(history) == 1198 // 64
    for logs in history:
        assert all(math.isfinite(value) for value in logs.values())
        prior = 0.1 * logs["prior_encoder_loss"]
        assert logs["loss"] == pytest.approx(-logs["local_mi"] + prior, rel=1e-4, abs=1e-4)
        assert logs["local_mi"] < bound
    assert bound == pytest.approx(math.log(1 + 63 * 49))
    assert all(0.1 < value <= 1 for value in accuracy.values())
    for name in ("encoder", "curves", "scores", "prior"):
        assert "image/png" in output_types(notebook, name), name
