"""What a module says of itself, read from its file without importing it."""

from __future__ import annotations

import ast
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any


@cache
def tree(module: str) -> ast.Module:
    """Return the syntax tree of a module inside a package; only the package's parents are imported."""
    package, _, name = module.rpartition(".")
    spec = find_spec(package)
    if spec is None or not spec.submodule_search_locations:
        raise ModuleNotFoundError(f"no package is called {package!r}")
    return ast.parse((Path(spec.submodule_search_locations[0]) / f"{name}.py").read_text(encoding="utf-8"))


def constant(module: str, name: str) -> Any:
    """Return the value of a constant that a module writes out as literals; a call in it is read as the tuple of its arguments.

    Raises:
        KeyError: If the module assigns nothing to the name.

    """
    for node in tree(module).body:
        targets = node.targets if isinstance(node, ast.Assign) else [getattr(node, "target", None)]
        if any(isinstance(target, ast.Name) and target.id == name for target in targets):
            return _value(getattr(node, "value"))  # noqa: B009 (an assignment has one)
    raise KeyError(f"{module} has no constant {name!r}")


def _value(node: ast.expr) -> Any:
    if isinstance(node, ast.Dict):
        return {_value(key): _value(value) for key, value in zip(node.keys, node.values, strict=True) if key}
    if isinstance(node, ast.Call):
        return tuple(_value(argument) for argument in node.args)
    return ast.literal_eval(node)


def definition(module: str, name: str) -> ast.ClassDef | ast.FunctionDef:
    """Return the definition of a class or function, or of a method as ``Class.method``.

    Raises:
        KeyError: If the module does not define it.

    """
    body: list[ast.stmt] = tree(module).body
    node: ast.ClassDef | ast.FunctionDef | None = None
    for part in name.split("."):
        defined = (n for n in body if isinstance(n, ast.ClassDef | ast.FunctionDef) and n.name == part)
        node = next(defined, None)
        if node is None:
            raise KeyError(f"{module} does not define {name!r}")
        body = node.body
    assert node is not None
    return node


def docstring(module: str, name: str) -> str:
    """Return the docstring of a class, function or method, without the indentation of the source."""
    return ast.get_docstring(definition(module, name)) or ""
