"""Fail where a function is longer than 60 lines or a file longer than 400; tests, recipes and data files are not looked at.

python tools/sizes.py src benchmarks docs tools
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator
from pathlib import Path

FUNCTION, FILE = 60, 400
"""Most lines of a function, docstring included, and of a file."""


def too_long(path: Path) -> Iterator[str]:
    """Yield a line of text for everything in a Python file that is too long."""
    text = path.read_text(encoding="utf-8")
    if (lines := len(text.splitlines())) > FILE:
        yield f"{path}: {lines} lines; allowed: {FILE}"
    for node in ast.walk(ast.parse(text)):
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef):
            lines = (node.end_lineno or node.lineno) - node.lineno + 1
            if lines > FUNCTION:
                yield f"{path}:{node.lineno}: {node.name} has {lines} lines; allowed: {FUNCTION}"


def main(folders: list[str]) -> int:
    """Print what is too long, and return 1 if anything is."""
    problems = [line for folder in folders for path in sorted(Path(folder).rglob("*.py")) for line in too_long(path)]
    print("\n".join(problems), end="\n" if problems else "")
    return int(bool(problems))


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
