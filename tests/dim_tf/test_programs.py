"""No data is run as a program: the calls that do so, and of which docs/SECURITY.md tells."""

import ast
from pathlib import Path

import dim_tf
import keras_models

FORBIDDEN = {
    "eval",
    "exec",
    "compile_command",
    "extractall",
    "unsafe_load",
    "full_load",
    "system",
    "popen",
    "read_pickle",
}
MODULES = {"pickle", "cPickle", "dill", "cloudpickle", "shelve", "marshal", "joblib"}
NEEDED = {"load_model": ("safe_mode", True), "load": ("allow_pickle", False)}


def sources():
    root = Path(dim_tf.__file__).parents[1]
    folders = [Path(dim_tf.__file__).parent, Path(keras_models.__file__).parent]
    folders += [root / "examples", root / "benchmarks"]
    return [file for folder in folders for file in folder.rglob("*.py")]


def complaints(source):
    calls = []
    for node in ast.walk(ast.parse(source)):
        if isinstance(node, ast.Import | ast.ImportFrom):
            names = [getattr(node, "module", None), *(alias.name for alias in node.names)]
            calls += [name for name in names if name and name.split(".")[0] in MODULES]
        if not isinstance(node, ast.Call):
            continue
        name = getattr(node.func, "attr", getattr(node.func, "id", ""))
        owner = getattr(getattr(node.func, "value", None), "id", "")
        if name in FORBIDDEN:
            calls.append(name)
        settings = {keyword.arg: getattr(keyword.value, "value", None) for keyword in node.keywords}
        if settings.get("shell"):
            calls.append("shell")
        # Of a file, not a method of that name.
        checked = (name == "load_model" and node.args) or (name == "load" and owner == "np")
        if checked and settings.get(NEEDED[name][0]) is not NEEDED[name][1]:
            calls.append(f"{name} without {NEEDED[name][0]}")
        if owner == "yaml" and name == "load":
            calls.append("yaml.load")
    return calls


def test_nothing_runs_data():
    files = sources()
    assert len(files) > 50
    calls = {file.name: complaints(file.read_text(encoding="utf-8")) for file in files}
    assert {name: said for name, said in calls.items() if said} == {}


def test_output_is_one_line_that_a_terminal_does_not_obey():
    """`console.say` and `programs.failed` see to it; the command line prints help itself."""
    root = Path(dim_tf.__file__).parent
    printers = {root / "system/console.py", root / "system/programs.py"}
    printers |= {root / "main.py", root / "training/strategy.py"}
    for file in set(root.rglob("*.py")) - printers:
        calls = [n.func for n in ast.walk(ast.parse(file.read_text())) if isinstance(n, ast.Call)]
        assert "print" not in {getattr(call, "id", "") for call in calls}, file


def test_what_runs_data_is_found():
    for source in (
        "import pickle",
        "from joblib import load",
        "eval('1')",
        "np.load(f)",
        "np.load(f, allow_pickle=True)",
        "keras.saving.load_model(f)",
        "keras.models.load_model(f, safe_mode=False)",
        "yaml.load(f)",
        "archive.extractall(f)",
        "subprocess.run(c, shell=True)",
    ):
        assert complaints(source), source
    assert not complaints("np.load(f, allow_pickle=False); json.load(f); model.eval_step()")
