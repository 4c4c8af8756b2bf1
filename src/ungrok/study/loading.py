"""Reading recipes: YAML files, shipped ones by name, with dotted overrides."""

from __future__ import annotations

import copy
import re
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import yaml

from ungrok.core.errors import RecipeError, unknown
from ungrok.recipes import shipped
from ungrok.study.recipe import RENAMED, Recipe, merge, renamed, validated


class _Loader(yaml.SafeLoader):
    """YAML in which ``1e-3`` is a number, as YAML 1.2 has it."""


_Loader.add_implicit_resolver(
    "tag:yaml.org,2002:float", re.compile(r"^[-+]?(\d+\.?\d*|\.\d+)([eE][-+]?\d+)$"), list("-+.0123456789")
)


def parse_yaml(text: str) -> Any:
    """Parse YAML.

    Raises:
        RecipeError: If it is not YAML; the message gives the line.

    """
    try:
        return yaml.load(text, _Loader)  # noqa: S506 (a SafeLoader)
    except yaml.YAMLError as error:
        mark = getattr(error, "problem_mark", None)
        where = f" at line {mark.line + 1}" if mark else ""
        raise RecipeError(f"not valid YAML{where}: {getattr(error, 'problem', error)}") from None


def find(name: str) -> Path:
    """Return the file of a recipe given by name or path.

    Raises:
        RecipeError: If there is none.

    """
    path = Path(name)
    if path.suffix in (".yaml", ".yml"):
        if not path.is_file():
            raise RecipeError(f"recipe: no file {name!r}")
        return path
    if name not in shipped():
        raise unknown("recipe", name, shipped())
    return shipped()[name]


def load(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Return the recipe of a name or path, with ``key=value`` overrides.

    Raises:
        RecipeError: On the first thing that is wrong.

    """
    try:
        text = find(name).read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise RecipeError(f"recipe: {name!r} cannot be read as UTF-8 text ({error})") from None
    content = parse_yaml(text)
    if not isinstance(content, dict):
        raise RecipeError(f"recipe: {name} does not hold a mapping")
    content = renamed(content)
    for override in overrides:
        content = _override(content, override)
    return validate(content)


def validate(content: dict[str, Any]) -> Recipe:
    """Return the recipe that plain YAML content describes.

    Raises:
        RecipeError: On the first thing that is wrong.

    """
    return validated(Recipe, renamed(content))


def to_yaml(recipe: Recipe) -> str:
    """Return the recipe with every default, as YAML that :func:`load` accepts."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=120)


def _override(content: dict[str, Any], override: str) -> dict[str, Any]:
    """Apply one ``a.b.0.c=value``."""
    key, sign, text = override.partition("=")
    if not sign:
        raise RecipeError(f"override {override!r}: allowed: key=value, for instance trajectory.steps=2000")
    first, *more = key.strip().split(".")
    parts: list[str] = [RENAMED.get(first, first), *more]
    content = copy.deepcopy(content)
    here: Any = content
    for depth, part in enumerate(parts[:-1]):
        where = ".".join(parts[: depth + 1])
        if isinstance(here, list):
            here = here[_index(here, part, where)]
        else:
            if here.get(part) is None:
                here[part] = {}
            here = here[part]
        if not isinstance(here, dict | list):
            raise RecipeError(f"{where}: {here!r} has no keys below it")
    value = parse_yaml(text)
    last = parts[-1]
    if isinstance(here, list):
        here[_index(here, last, key)] = value
    elif last == "kind" and here.get("kind") != value:
        here.clear()
        here["kind"] = value
    elif isinstance(here.get(last), dict) and isinstance(value, dict):
        here[last] = merge(here[last], value)
    else:
        here[last] = value
    return content


def _index(items: list[Any], part: str, where: str) -> int:
    if not part.isdigit() or int(part) >= len(items):
        raise RecipeError(f"{where}: {part!r} is not an entry; allowed: 0 to {len(items) - 1}")
    return int(part)
