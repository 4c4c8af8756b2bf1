"""The recipes that come with the package."""

from __future__ import annotations

import os
from pathlib import Path

from ungrok.core.errors import RecipeError, shown, unknown


def shipped() -> dict[str, Path]:
    """Return the files of the recipes that come with the package, by name."""
    root = Path(__file__).parent
    return {str(path.relative_to(root).with_suffix("")): path for path in sorted(root.rglob("*.yaml"))}


def find(name: str) -> Path:
    """Return the file of a recipe given by name or path.

    Raises:
        RecipeError: If there is none.

    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not os.path.isfile(path):
            raise RecipeError(f"recipe: no file {shown(name)}")
        return path
    if name not in shipped():
        raise unknown("recipe", name, shipped())
    return shipped()[name]
