"""Families in a recipe: controls that differ in their factor, arms that differ in one number, each written as one entry."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from ungrok.core.errors import shown
from ungrok.study.recipe_blocks import BASE, Rescaled
from ungrok.train.stages import STAGES, stage_name, step_of

if TYPE_CHECKING:
    from ungrok.study.recipe import Recipe

BLOCKS = ("problem", "model", "trajectory")
"""Blocks of an arm in which the key of a grid may lie."""

Members = dict[str, list[str]]
"""The names of the members of each family."""


def with_grids(content: dict[str, Any]) -> dict[str, Any]:
    """Return the plain content of a recipe with a control or an arm for each value of a list.

    ``controls.NAME.factor: [0.5, 2]`` becomes the controls ``NAME x0.5`` and ``NAME x2``; ``arms.NAME.grid:
    {trajectory.sam.rho: [0.01, 0.02]}`` becomes the arms ``NAME rho=0.01`` and ``NAME rho=0.02``. In ``stages`` and
    ``claims.compare`` the name of a family stands for each of its members in turn.

    Raises:
        ValueError: If a list cannot be read that way.

    """
    content = dict(content)
    families: dict[str, Members] = {"controls": {}, "arms": {}}
    for key, members_of in (("controls", _rescaled), ("arms", _arms)):
        if isinstance(content.get(key), Mapping):
            content[key] = _expanded(key, content[key], members_of)
            families[key] = _families(key, content[key])
    if not any(families.values()):
        return content
    if isinstance(content.get("stages"), list):
        content["stages"] = _stages(content["stages"], families["controls"])
    if isinstance(content.get("arms"), Mapping):
        content["arms"] = {name: _with_stages(arm, families["controls"]) for name, arm in content["arms"].items()}
    if isinstance(content.get("claims"), Mapping):
        content["claims"] = _claims(content["claims"], families)
    return content


def _expanded(key: str, blocks: Mapping[Any, Any], members_of: Any) -> dict[Any, Any]:
    expanded: dict[Any, Any] = {}
    for name, block in blocks.items():
        for member, content in members_of(name, block) if isinstance(block, Mapping) else [(name, block)]:
            if member in expanded or (member != name and member in blocks):
                raise ValueError(f"{key}: two entries are called {shown(member)}")
            expanded[member] = content
    return expanded


def _families(key: str, blocks: Mapping[Any, Any]) -> Members:
    families: Members = {}
    for member, block in blocks.items():
        family = block.get("family") if isinstance(block, Mapping) else getattr(block, "family", None)
        if isinstance(family, str):
            families.setdefault(family, []).append(member)
    for family in families:
        if family in (BASE, *blocks, *STAGES) or step_of(family) is not None:
            raise ValueError(f"{key}: {shown(family)} is the name of something else already; give the family another")
    return families


def _rescaled(name: str, block: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return one control for each factor."""
    if not isinstance(block.get("factor"), list):
        return [(name, block)]
    factors = _values(block["factor"], f"controls.{name}.factor")
    return [(f"{name} x{factor:g}", {**block, "factor": factor, "family": name}) for factor in factors]


def _arms(name: str, block: Mapping[str, Any]) -> list[tuple[str, Any]]:
    """Return one arm for each value of a grid."""
    grid = block.get("grid")
    if grid is None or block.get("family") is not None:
        return [(name, block)]
    where = f"arms.{name}.grid"
    if not isinstance(grid, Mapping) or len(grid) != 1:
        raise ValueError(
            f"{where}: {shown(grid)} is not one key with its values, for instance {{trajectory.sam.rho: [0.02, 0.05]}}"
        )
    ((path, values),) = grid.items()
    parts = str(path).split(".")
    if parts[0] not in BLOCKS or len(parts) < 2 or not all(parts):
        raise ValueError(f"{where}: {shown(path)} is not a key of {', '.join(BLOCKS)}, for instance trajectory.sam.rho")
    members = []
    for value in _values(values, f"{where}.{path}"):
        member = _laid(block, parts, value, f"{where}.{path}")
        members.append((f"{name} {parts[-1]}={value:g}", {**member, "grid": {path: value}, "family": name}))
    return members


def _values(values: Any, where: str) -> list[float]:
    """Return the values of a family, whose logarithms a slope is read against."""
    plain = isinstance(values, list) and all(isinstance(v, int | float) and not isinstance(v, bool) for v in values)
    if not plain or len(values) < 2 or len({f"{value:g}" for value in values}) < len(values):
        raise ValueError(f"{where}: {shown(values)} is not a list of two or more different numbers")
    if not all(math.isfinite(value) and value > 0 for value in values):
        raise ValueError(f"{where}: {shown(values)} are not all above 0, as slopes against their logarithm need")
    return [float(value) for value in values]


def _laid(block: Mapping[str, Any], parts: list[str], value: float, where: str) -> dict[str, Any]:
    """Return a block with a value at a path on which it holds nothing yet."""
    first, *rest = parts
    inner = block.get(first)
    if not rest:
        if inner is not None:
            raise ValueError(f"{where}: the arm gives {shown(inner)} there; leave one of the two out")
        return {**block, first: value}
    if inner is not None and not isinstance(inner, Mapping):
        raise ValueError(f"{where}: {first} is {shown(inner)} in this arm, which has no keys below it")
    return {**block, first: _laid(inner or {}, rest, value, where)}


def _stages(stages: list[Any], families: Members) -> list[Any]:
    return [
        member for stage in stages for member in (families.get(stage, [stage]) if isinstance(stage, str) else [stage])
    ]


def _with_stages(arm: Any, families: Members) -> Any:
    if not isinstance(arm, Mapping) or not isinstance(arm.get("stages"), list):
        return arm
    return {**arm, "stages": _stages(arm["stages"], families)}


def _claims(claims: Mapping[str, Any], families: dict[str, Members]) -> dict[str, Any]:
    claims = dict(claims)
    if isinstance(claims.get("compare"), list):
        claims["compare"] = [member for pair in claims["compare"] for member in _pairs(pair, families)]
    headline = claims.get("headline")
    pair = headline.get("compare") if isinstance(headline, Mapping) else None
    if len(_pairs(pair, families)) > 1:
        raise ValueError(f"claims.headline.compare: {shown(pair)} names a whole family; name one of its members")
    if isinstance(headline, Mapping) and isinstance(headline.get("also"), list):
        claims["headline"] = {**headline, "also": [m for other in headline["also"] for m in _pairs(other, families)]}
    return claims


def _pairs(pair: Any, families: dict[str, Members]) -> list[Any]:
    """Return a comparison with each member of the family that it names; the comparison alone where it names none."""
    if not isinstance(pair, list | tuple):
        return [pair]
    sides = [dict(side) if isinstance(side, Mapping) else {"stage": side} for side in pair]
    named = [
        (number, key, members[side[key]])
        for number, side in enumerate(sides)
        for key, members in (("stage", families["controls"]), ("arm", families["arms"]))
        if isinstance(side.get(key), str) and side[key] in members
    ]
    if not named:
        return [pair]
    if len(named) > 1:
        raise ValueError(f"claims.compare: {shown(list(pair))} names more than one family; name single members")
    ((number, key, members),) = named
    return [[*sides[:number], {**sides[number], key: member}, *sides[number + 1 :]] for member in members]


@dataclass(frozen=True)
class Series:
    """Models that differ in one number: the members of a family that share everything else.

    Args:
        family: The name of the family.
        axis: What differs: ``factor`` for rescaled checkpoints, the key of the grid for arms.
        shared: The arm that all rescaled checkpoints are of, or the stage that all arms are read at.
        points: Arm, stage and value of each, by increasing value.
        same_function: Whether all compute the same function.

    """

    family: str
    axis: str
    shared: str
    points: tuple[tuple[str, str, float], ...]
    same_function: bool


def series_of(recipe: Recipe) -> list[Series]:
    """Return the series of a recipe of which at least two members are among the stages.

    The stage that rescaled checkpoints are made from belongs to them, with factor 1, where it is among the stages.
    """
    return [one for one in [*_series_of_controls(recipe), *_series_of_arms(recipe)] if len(one.points) > 1]


def _series_of_controls(recipe: Recipe) -> list[Series]:
    rescaled = {name: one for name, one in recipe.controls.items() if isinstance(one, Rescaled) and one.family}
    series = []
    for family in dict.fromkeys(one.family for one in rescaled.values()):
        members = {name: one for name, one in rescaled.items() if one.family == family}
        (source, *others) = {stage_name(one.stage) for one in members.values()}
        values = {name: one.factor for name, one in members.items()}
        if not others and 1.0 not in values.values():
            values[source] = 1.0
        for arm in (BASE, *recipe.arms):
            stages = recipe.stages_of(arm)
            points = tuple((arm, name, value) for name, value in _sorted(values) if name in stages)
            series.append(Series(str(family), "factor", arm, points, same_function=True))
    return series


def _series_of_arms(recipe: Recipe) -> list[Series]:
    series = []
    for family in dict.fromkeys(arm.family for arm in recipe.arms.values() if arm.family):
        members = {name: arm for name, arm in recipe.arms.items() if arm.family == family}
        axis = next(key for arm in members.values() for key in arm.grid or {})
        values = {name: arm.grid[axis] for name, arm in members.items() if arm.grid and axis in arm.grid}
        for stage in dict.fromkeys(stage for name in values for stage in recipe.stages_of(name)):
            points = tuple((name, stage, value) for name, value in _sorted(values) if stage in recipe.stages_of(name))
            series.append(Series(str(family), axis, stage, points, same_function=False))
    return series


def _sorted(values: Mapping[str, float]) -> list[tuple[str, float]]:
    return sorted(values.items(), key=lambda item: item[1])
