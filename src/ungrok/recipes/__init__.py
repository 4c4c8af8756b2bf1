"""The recipes that come with the package."""

from __future__ import annotations

from pathlib import Path


def shipped() -> dict[str, Path]:
    """Return the files of the recipes that come with the package, by name."""
    root = Path(__file__).parent
    return {str(path.relative_to(root).with_suffix("")): path for path in sorted(root.rglob("*.yaml"))}
