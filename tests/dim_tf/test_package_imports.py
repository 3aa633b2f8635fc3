"""The packages of dim_tf import each other in one direction."""

import ast
import graphlib
from pathlib import Path

import pytest

import dim_tf

ROOT = Path(dim_tf.__file__).parent


class TopLevelImports(ast.NodeVisitor):
    """Collects the dotted names that a module imports when it is imported itself."""

    def __init__(self):
        self.names = []

    def visit_Import(self, node):
        self.names += [alias.name for alias in node.names]

    def visit_ImportFrom(self, node):
        self.names += [f"{node.module}.{alias.name}" for alias in node.names]

    def visit_If(self, node):
        if "TYPE_CHECKING" not in ast.unparse(node.test):
            self.generic_visit(node)

    def visit_FunctionDef(self, node):
        """Imports in a function run later."""


def imports_by_package(root):
    """For each package and each single module of dim_tf, those that it imports."""
    graph = {}
    for file in sorted(root.rglob("*.py")):
        parts = file.relative_to(root).with_suffix("").parts
        if parts == ("__init__",):
            continue
        imported = graph.setdefault(parts[0], set())
        visitor = TopLevelImports()
        visitor.visit(ast.parse(file.read_text(encoding="utf-8")))
        for name in visitor.names:
            package, *path = name.split(".")
            if package == "dim_tf" and path and path[0] != parts[0]:
                imported.add(path[0])
    return graph


def test_no_package_imports_itself_through_others():
    graph = imports_by_package(ROOT)
    packages = {"data", "training", "evaluation", "export", "collection", "tables"}
    assert packages <= graph.keys()
    graphlib.TopologicalSorter(graph).prepare()


def test_a_cycle_is_found(tmp_path):
    for package, line in (
        ("a", "from dim_tf.b import x"),
        ("b", "try:\n    from dim_tf import c\nexcept ImportError:\n    pass"),
        ("c", "import dim_tf.a.m"),
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / "m.py").write_text(line, encoding="utf-8")
    with pytest.raises(graphlib.CycleError):
        graphlib.TopologicalSorter(imports_by_package(tmp_path)).prepare()


def test_imports_in_functions_and_for_types_alone_are_no_cycle(tmp_path):
    for package, line in (
        ("a", "from dim_tf.b import x"),
        ("b", "if TYPE_CHECKING:\n    from dim_tf import a\ndef f():\n    from dim_tf import a"),
    ):
        (tmp_path / package).mkdir()
        (tmp_path / package / "m.py").write_text(line, encoding="utf-8")
    graphlib.TopologicalSorter(imports_by_package(tmp_path)).prepare()
