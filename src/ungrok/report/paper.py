"""The parts of the paper (arXiv 2512.03437): its numbers, which recipes stand beside them, and what of a study stands for its places."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any

from ungrok.core.errors import RecipeError, unknown
from ungrok.core.plain import parse_yaml
from ungrok.report.view import View
from ungrok.study.loading import load
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE, Side

PREFIX = "paper:"

ROWS = ("rows", "measures", "spread", "updates", "below")
"""Keys of a part whose rows begin with a forget split."""


@cache
def paper() -> dict[str, dict[str, Any]]:
    """Return the paper's numbers by part, as the data file holds them."""
    text = (resources.files("ungrok") / "report" / "paper.yaml").read_text(encoding="utf-8")
    numbers: dict[str, dict[str, Any]] = parse_yaml(text, "paper.yaml")
    return numbers


def table_of(part: str) -> str:
    """Return the table or figure that a part belongs to, for instance ``table1`` of ``table1-cnn``."""
    return part.partition("-")[0]


def beside(table: str) -> dict[str, bool]:
    """Return the recipes that stand beside a table or figure, and whether they have the paper's data; those that have come first.

    Args:
        table: For instance ``table1``.

    """
    own = [content for part, content in paper().items() if table_of(part) == table]
    first = {content["recipe"]: True for content in own}
    first |= {name: True for content in own for name in content["beside"]}
    return first | {name: False for content in own for name in content.get("other_data", {}) if name not in first}


def parts(name: str, recipe: Recipe) -> list[str]:
    """Return the parts of the paper that ``--with`` names: one, or every part of a table that has several.

    Args:
        name: For instance ``paper:table1-cnn``, or ``paper:table1``, of which the part that ``recipe`` reproduces or stands beside
            is taken, else the parts on its data set, else those beside which it stands with other data, else all.
        recipe: The study's.

    Raises:
        RecipeError: If there is no such part.

    """
    known = paper()
    table = name.removeprefix(PREFIX)
    named = [part for part in known if table in (part, table_of(part))]
    if not name.startswith(PREFIX) or not named:
        raise unknown("--with", name, [PREFIX + part for part in known])
    own = [part for part in named if recipe.name in (known[part]["recipe"], *known[part]["beside"])]
    alike = [part for part in named if _data(load(known[part]["recipe"])) == _data(recipe)]
    other = [part for part in named if recipe.name in known[part].get("other_data", ())]
    return own or alike or other or named


def _data(recipe: Recipe) -> str:
    return str(getattr(recipe.problem, "dataset", recipe.problem.kind))


def splits_of(part: str) -> list[str]:
    """Return the labels of the forget splits of a part; none where splits are what is compared."""
    return list(dict.fromkeys(row[0] for kind in ROWS for row in paper()[part].get(kind, ()) if row[0]))


@dataclass(frozen=True)
class Stands:
    """What of a study stands for places and forget splits of the paper.

    Args:
        sides: By name of the place.
        splits: By the paper's label of the split.

    """

    sides: dict[str, Side]
    splits: dict[str, str]


def stands(view: View, name: str, places: Sequence[str] = ()) -> dict[str, Stands]:
    """Return what of a study stands for the places and splits of every part that ``--with`` names.

    It is what the user says, or else what the data file says of this recipe, or else what is called the same. Where a study lacks
    the paper's stages before and after grokking, the sides of its first comparison stand for them.

    Args:
        view: A study.
        name: See :func:`parts`.
        places: What the user says: ``place=stage`` or ``place=arm/stage``, and of splits ``label=label``.

    Raises:
        RecipeError: If the paper has no such place or split, or the study not what stands for it.

    """
    every = {part: _declared(view, part) for part in parts(name, view.recipe)}
    for text in places:
        place, _, where = text.partition("=")
        having = [one for one in every.values() if place in one.sides or place in one.splits]
        if not having:
            known = [key for one in every.values() for key in (*one.sides, *one.splits)]
            raise unknown("--place", text, [f"{key}=..." for key in dict.fromkeys(known)])
        for one in having:
            _put(view, one, place, where)
    return every


def _declared(view: View, part: str) -> Stands:
    """Return what stands for the places of a part unless the user says otherwise."""
    content = paper()[part]
    sides = {place: _compared(view, Side.model_validate(side)) for place, side in content["places"].items()}
    made = Stands(sides, {label: label for label in splits_of(part)})
    for text in (content["beside"] | content.get("other_data", {})).get(view.recipe.name, ()):
        with suppress(RecipeError):  # a study of the recipe may have other splits than the recipe itself
            _put(view, made, *text.split("="))
    return made


def _compared(view: View, side: Side) -> Side:
    """Return a side, or that of the first comparison where the study lacks its stage before or after grokking."""
    order, compare = ("pre_grok", "grokked"), view.recipe.claims.compare
    if (side.arm, str(side.stage)) in view.series or str(side.stage) not in order or not compare:
        return side
    return compare[0][order.index(str(side.stage))].model_copy(update={"forget": side.forget})


def _put(view: View, made: Stands, place: str, where: str) -> None:
    """Let something of a study stand for a place or split."""
    if place in made.splits:
        made.splits[place] = _split(view, place, where)
    elif made.sides[place].forget:
        made.sides[place] = made.sides[place].model_copy(update={"forget": _split(view, place, where)})
    else:
        arm, _, stage = where.rpartition("/")
        side = Side(stage=stage, arm=arm or BASE)
        if (side.arm, stage) not in view.series:
            raise unknown(f"--place {place}", where, _series(view))
        made.sides[place] = side


def _split(view: View, place: str, where: str) -> str:
    if where not in (labels := view.recipe.forget_labels()):
        raise unknown(f"--place {place}", where, labels)
    return where


def _series(view: View) -> list[str]:
    return [Side(stage=stage, arm=arm).label for arm, stage in view.series]


def missing(view: View, name: str, places: Sequence[str] = ()) -> list[str]:
    """Return a sentence on each of the paper's places and forget splits that a study does not have; see :func:`stands`."""
    every = stands(view, name, places).values()
    labels, said = view.recipe.forget_labels(), []
    for place, side in [both for one in every for both in one.sides.items()]:
        if (side.arm, str(side.stage)) not in view.series:
            lacks, has = side.label, _series(view)
        elif side.forget and side.forget not in labels:
            lacks, has = f"forget split {side.forget}", labels
        else:
            continue
        said.append(f"{place}: the study has no {lacks}; --place {place}=... says which it is, of {', '.join(has)}")
    absent = list(dict.fromkeys(label for one in every for label, own in one.splits.items() if own not in labels))
    if absent:
        said.append(
            f"the study has no forget split {', '.join(absent)}; --place {absent[0]}=... says which it is, of {', '.join(labels)}"
        )
    return list(dict.fromkeys(said))
