"""What a package registers, read from its files without importing them."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cache
from importlib.util import find_spec
from pathlib import Path


@dataclass(frozen=True)
class Entry:
    """A class that a file registers.

    Args:
        module: Full name of the module that defines it.
        class_name: Its name in that module.
        summary: First line of its docstring, empty without one.

    """

    module: str
    class_name: str
    summary: str


@cache
def entries(package: str, decorator: str) -> dict[str, Entry]:
    """Return the classes that the files of a package register, by kind, in alphabetical order.

    Nothing is imported but the standard library and the parents of ``package``, so that a command which only lists
    names does not wait for torch. A class counts if ``decorator`` stands above it and its body says ``kind: ... = "name"``.

    Args:
        package: For instance ``"ungrok.methods"``; its own files are read, not those of packages inside it.
        decorator: As it stands in the files after the ``@``, for instance ``"UNLEARNERS.register"``.

    Raises:
        ModuleNotFoundError: If there is no such package.
        ValueError: If two classes register one kind.

    """
    spec = find_spec(package)
    if spec is None or spec.submodule_search_locations is None:
        raise ModuleNotFoundError(f"no package is called {package!r}")
    by_kind: dict[str, Entry] = {}
    for folder in spec.submodule_search_locations:
        for file in sorted(Path(folder).glob("*.py")):
            module = package if file.stem == "__init__" else f"{package}.{file.stem}"
            for kind, entry in _registered(file.read_text(encoding="utf-8"), module, decorator):
                if by_kind.setdefault(kind, entry) != entry:
                    raise ValueError(f"{kind!r} is registered in {by_kind[kind].module} and in {module}")
    return dict(sorted(by_kind.items()))


def _registered(source: str, module: str, decorator: str) -> Iterator[tuple[str, Entry]]:
    if f"@{decorator}" not in source:  # parsing takes most of the time
        return
    for node in ast.parse(source).body:
        if isinstance(node, ast.ClassDef) and decorator in map(ast.unparse, node.decorator_list):
            summary = (ast.get_docstring(node) or "").partition("\n")[0]
            for kind in _kinds(node):
                yield kind, Entry(module, node.name, summary)


def _kinds(node: ast.ClassDef) -> Iterator[str]:
    """Yield the value of ``kind: Literal["name"] = "name"``."""
    for line in node.body:
        match line:
            case ast.AnnAssign(target=ast.Name(id="kind"), value=ast.Constant(value=str(kind))):
                yield kind
