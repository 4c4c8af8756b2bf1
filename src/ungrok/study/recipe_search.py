"""The block ``search`` of a recipe: rates and strengths that the study finds itself, and the short form ``auto`` for them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Literal

from pydantic import Field

from ungrok.core.errors import listed, nearest, shown
from ungrok.core.schema import Schema
from ungrok.methods import Iterative, OneShot, Unlearner
from ungrok.study.recipe_blocks import Claims

if TYPE_CHECKING:
    from ungrok.study.recipe import Recipe

AUTO = "auto"
"""What an entry of ``unlearn`` says in the place of a value that the study is to find."""

SETTINGS: dict[str, tuple[type[Unlearner], str]] = {
    "lr": (Iterative, "learning rates of methods that make updates"),
    "alpha": (OneShot, "strengths of one-shot methods"),
}
"""The settings that can be searched for: the methods that have them, and what they are."""


class Search(Schema):
    """Settings that are searched for by factors of two, starting from the value that the entry of ``unlearn`` gives."""

    settings: dict[str, Literal["lr", "alpha"]] = Field(
        {}, description="by the label of a method, what is searched for: its learning rate, or its strengths"
    )
    most: int = Field(8, ge=3, description="largest number of rates of a method; twice as many strengths")
    damage: float = Field(
        0.02,
        ge=0,
        lt=1,
        description="validation accuracy below the oracle's up to which the rate with the fewest updates is taken",
    )


def search_target(claims: Claims) -> float:
    """Return the level of UA at which the paths of a search end: that of the headline, else the first number in ``targets``.

    Raises:
        ValueError: If there is no number.

    """
    return claims.level("a search ends its paths at")


def with_search(content: dict[str, Any]) -> dict[str, Any]:
    """Return the plain content of a recipe, each ``auto`` replaced by a starting value and an entry of ``search.settings``.

    Raises:
        ValueError: If an ``auto`` cannot be understood.

    """
    entries, settings = content.get("unlearn"), dict[str, str]()
    if not isinstance(entries, list):
        return content
    plain = [_plain(entry, f"unlearn.{number}", settings) for number, entry in enumerate(entries)]
    block = content.get("search")
    block = {} if block is None else block.to_dict() if isinstance(block, Search) else block
    if not settings or not isinstance(block, Mapping) or not isinstance(block.get("settings", {}), Mapping):
        return content | {"unlearn": plain}
    return content | {"unlearn": plain, "search": {**block, "settings": {**block.get("settings", {}), **settings}}}


def _plain(entry: Any, key: str, settings: dict[str, str]) -> Any:
    """Return an entry of ``unlearn`` without ``auto``, after noting in ``settings`` what is to be searched for."""
    if not isinstance(entry, Mapping):
        return entry
    for setting in SETTINGS:
        value = entry.get(setting)
        if isinstance(value, list) and any(map(_is_auto, value)):
            raise ValueError(f"{key}.{setting}: auto stands in a list; give either a list of values or auto")
    searched = [setting for setting in SETTINGS if _is_auto(entry.get(setting))]
    if not searched:
        return entry
    if len(searched) > 1:
        raise ValueError(f"{key}: {' and '.join(searched)} are both auto; allowed: one of them")
    (setting,) = searched
    start, rest = entry[setting], {name: value for name, value in entry.items() if name != setting}
    settings[str(entry.get("name") or entry.get("kind"))] = setting
    if not isinstance(start, Mapping):
        return rest
    value = start[AUTO]
    numbers = value if isinstance(value, list) and setting == "alpha" else [value]
    if len(start) > 1 or not all(isinstance(n, int | float) and not isinstance(n, bool) for n in numbers):
        raise ValueError(
            f"{key}.{setting}: {shown(dict(start))} is not allowed; allowed: auto, or {{auto: value to start from}}"
        )
    return rest | {setting: value}


def _is_auto(value: Any) -> bool:
    return value == AUTO or (isinstance(value, Mapping) and AUTO in value)


def check_search(recipe: Recipe) -> None:
    """Raise ValueError where the search of a recipe does not fit its methods or its targets."""
    search, labels = recipe.search, recipe.unlearn_labels()
    if search is None:
        return
    if not search.settings:
        raise ValueError("search: no entry of unlearn says lr: auto or alpha: auto")
    search_target(recipe.claims)
    for label, setting in search.settings.items():
        if label not in labels:
            raise ValueError(
                f"search.settings: {shown(label)} is not in this recipe; allowed: {listed(labels)}{nearest(label, labels)}"
            )
        number = labels.index(label)
        kind, what = SETTINGS[setting]
        method = recipe.unlearn[number]
        if not isinstance(method, kind) or setting not in type(method).model_fields:
            raise ValueError(f"unlearn.{number}.{setting}: auto is for {what}; {shown(method.kind)} has none")
        if method.self_stopping or method.from_scratch:
            why = "stops by itself" if method.self_stopping else "starts from fresh weights"
            raise ValueError(
                f"unlearn.{number}.{setting}: auto is for methods that forget down to a target; {shown(method.kind)} {why}"
            )
        taken = next((name for name in labels if name.startswith(f"{label} lr=")), None)
        if setting == "lr" and taken:
            raise ValueError(
                f"unlearn.{number}.lr: with auto, names such as {shown(taken)} are those of the search; give that entry another name"
            )
