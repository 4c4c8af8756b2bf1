"""Stages by level in a recipe: entries of ``stages`` that say which signal of training must reach what."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from pydantic import ValidationError

from ungrok.core.errors import shown
from ungrok.core.schema import explain
from ungrok.study.recipe_blocks import Level
from ungrok.train.stages import STAGES, step_of


def with_levels(content: dict[str, Any]) -> dict[str, Any]:
    """Return the plain content of a recipe whose stages by level stand among the controls, and in ``stages`` by name.

    ``stages: [{kind: level, of: train_accuracy, at: 0.79, name: early}]`` becomes the control ``early`` and ``stages:
    [early]``; likewise the stages of arms.

    Raises:
        ValueError: If an entry cannot be read, or if two of one name differ.

    """
    content, levels = dict(content), dict[str, Level]()
    if isinstance(content.get("stages"), list):
        content["stages"] = _named("stages", content["stages"], levels)
    if isinstance(content.get("arms"), Mapping):
        content["arms"] = {name: _arm(f"arms.{name}.stages", arm, levels) for name, arm in content["arms"].items()}
    if not levels:
        return content
    given = content.get("controls")
    controls: dict[str, Any] = dict(given) if isinstance(given, Mapping) else {}
    for name, level in levels.items():
        if name in controls and not _same(controls[name], level):
            raise ValueError(f"stages: {shown(name)} is a control already; give the stage another name")
        controls[name] = level.to_dict()
    return content | {"controls": controls}


def _arm(key: str, arm: Any, levels: dict[str, Level]) -> Any:
    if not isinstance(arm, Mapping) or not isinstance(arm.get("stages"), list):
        return arm
    return {**arm, "stages": _named(key, arm["stages"], levels)}


def _named(key: str, stages: list[Any], levels: dict[str, Level]) -> list[Any]:
    """Return stages with the name of each level in its place; what the names stand for is added to ``levels``."""
    names = []
    for number, stage in enumerate(stages):
        if not isinstance(stage, Mapping):
            names.append(stage)
            continue
        where, level = f"{key}.{number}", dict(stage)
        name = level.pop("name", None)
        try:
            read = Level.model_validate(level)
        except ValidationError as error:
            raise ValueError(explain(error, level, where)) from None
        label = read.label if name is None else name
        if not isinstance(label, str) or label in STAGES or step_of(label) is not None:
            raise ValueError(f"{where}.name: {shown(label)} is no name for it; give a text that no other stage has")
        if levels.setdefault(label, read) != read:
            raise ValueError(f"{where}: two levels are called {shown(label)}; give one another name")
        names.append(label)
    return names


def _same(control: Any, level: Level) -> bool:
    return bool(control == level or control == level.to_dict())
