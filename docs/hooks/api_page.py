"""reference/api.md: every public name of dim_tf and keras_models, by mkdocstrings from the code."""

import ast
from pathlib import Path

from mkdocs.config.defaults import MkDocsConfig
from mkdocs.structure.files import File, Files

PATH = "reference/api.md"
MODULES = (
    "dim_tf",
    "dim_tf.export",
    "keras_models",
    "keras_models.encoders",
    "keras_models.critics",
    "keras_models.estimators",
    "keras_models.terms",
    "keras_models.priors",
    "keras_models.views",
)
_HEAD = """# API

This page is made from the code when the site is built. [Python API](../API.md) shows the names of
`dim_tf` in use; [Method](../METHOD.md) has the equations behind `keras_models`.
"""


def on_files(files: Files, *, config: MkDocsConfig) -> Files:
    """Called by mkdocs with the files of docs."""
    root = Path(config.config_file_path).parent
    files.append(File.generated(config, PATH, content=markdown(root)))
    return files


def markdown(root: Path) -> str:
    """The page, for mkdocstrings."""
    parts = [_HEAD]
    for module in MODULES:
        parts.append(f"## {module}\n")
        parts += [f"::: {module}.{name}\n" for name in names_of(root, module)]
    return "\n".join(parts)


def names_of(root: Path, module: str) -> list[str]:
    """The public functions and classes of a module, without importing it.

    Those of __all__, if it has one, but for modules; else those that it defines.
    """
    path = root / module.replace(".", "/")
    file = path / "__init__.py" if path.is_dir() else path.with_suffix(".py")
    tree = ast.parse(file.read_text(encoding="utf-8"))
    for node in tree.body:
        if isinstance(node, ast.Assign) and ast.unparse(node.targets[0]) == "__all__":
            modules = _submodules(tree, module)
            return [name for name in ast.literal_eval(node.value) if name not in modules]
    definitions = [x for x in tree.body if isinstance(x, ast.FunctionDef | ast.ClassDef)]
    return [x.name for x in definitions if not x.name.startswith("_")]


def _submodules(tree: ast.Module, package: str) -> set[str]:
    """The modules that a package imports from itself."""
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.ImportFrom)]
    return {alias.name for node in imports if node.module == package for alias in node.names}
