"""Reading recipes: YAML files, shipped ones by name, with dotted overrides."""

from __future__ import annotations

import copy
from collections.abc import Iterable
from typing import Any

import yaml

from ungrok.core.errors import LONGEST_FILE, LONGEST_VALUE, RecipeError, clipped, shown
from ungrok.core.plain import DEEPEST, check_plain, parse_yaml, read_yaml
from ungrok.recipes import find, shipped
from ungrok.study.recipe import RENAMED, Recipe, merge, renamed, validated


def load(name: str, overrides: Iterable[str] = ()) -> Recipe:
    """Return the recipe of a name or path, with ``key=value`` overrides.

    Raises:
        RecipeError: On the first thing that is wrong.

    """
    return resolved(name, read_yaml(find(name)), overrides)


def resolved(name: str, content: Any, overrides: Iterable[str] = ()) -> Recipe:
    """Return the recipe of a name or path whose file has been read; otherwise as :func:`load`.

    Args:
        name: Of the recipe, for messages.
        content: What its file holds.
        overrides: Overrides as ``key=value``.

    """
    overrides = list(overrides)
    if not isinstance(content, dict):
        raise RecipeError(f"recipe: {shown(name)} does not hold a mapping")
    content = renamed(content)
    for override in overrides:
        content = _override(content, override)
    try:
        return validate(content)
    except RecipeError as error:
        if name in shipped():
            raise
        with_overrides = " with overrides" if overrides else ""
        raise RecipeError(f"{clipped(name, LONGEST_FILE)}{with_overrides}: {error}") from None


def validate(content: dict[str, Any]) -> Recipe:
    """Return the recipe that plain YAML content describes.

    Raises:
        RecipeError: On the first thing that is wrong.

    """
    check_plain(content)
    return validated(Recipe, renamed(content))


def to_yaml(recipe: Recipe) -> str:
    """Return the recipe with every default, as YAML that :func:`load` accepts."""
    return yaml.safe_dump(recipe.to_dict(), sort_keys=False, allow_unicode=True, width=120)


def _override(content: dict[str, Any], override: str) -> dict[str, Any]:
    """Apply one ``a.b.0.c=value``."""
    key, sign, text = override.partition("=")
    if not sign:
        raise RecipeError(f"override {shown(override)}: allowed: key=value, for instance trajectory.steps=2000")
    first, *more = key.strip().split(".")
    parts: list[str] = [RENAMED.get(first, first), *more]
    content = copy.deepcopy(content)
    here: Any = content
    for depth, part in enumerate(parts[:-1]):
        where = clipped(".".join(parts[: depth + 1]), LONGEST_VALUE)
        if isinstance(here, list):
            here = here[_index(here, part, where)]
        else:
            if here.get(part) is None:
                here[part] = {}
            here = here[part]
        if not isinstance(here, dict | list):
            raise RecipeError(f"{where}: {shown(here)} has no keys below it")
    if len(parts) > DEEPEST:
        raise RecipeError(
            f"override {shown(override)}: names a key {len(parts)} levels deep; allowed: at most {DEEPEST}"
        )
    value = parse_yaml(text, f"override {shown(override)}")
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
    if part not in map(str, range(len(items))):
        allowed = f"0 to {len(items) - 1}" if items else "none, the list is empty"
        raise RecipeError(f"{clipped(where, LONGEST_VALUE)}: {shown(part)} is not an entry; allowed: {allowed}")
    return int(part)
