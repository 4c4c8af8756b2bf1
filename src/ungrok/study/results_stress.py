"""From finished jobs to the tables of attacks after unlearning and of the first places that last."""

from __future__ import annotations

from typing import Any

import pandas as pd

from ungrok.evaluate.path import BESIDE
from ungrok.study.jobs import Lasting, Oracle, Placed, Stress
from ungrok.study.jobs.lasting import BEFORE
from ungrok.study.jobs.placed import PlacedResult
from ungrok.study.plan import Plan
from ungrok.study.store import Store
from ungrok.study.track import PATH

STRESS = [
    *PATH,
    "subject",
    "place",
    "place_dose",
    "place_updates",
    "attack",
    "kind",
    "setting",
    "share",
    "lr",
    "dose",
    "dose_name",
    "updates",
    *BEFORE,
    "forget_loss",
    "retain_loss",
    "barrier_forget",
    "barrier_retain",
    "diverged",
]
"""Columns of the table of attacks. ``subject`` is ``unlearned``, ``original``, ``oracle`` or ``oracle_2``; for the last three, which no
method has made, ``method`` and ``place`` are missing."""

LASTING = [
    *PATH,
    "dose",
    "updates",
    *BEFORE,
    *(f"{name}_after" for name in BEFORE),
    "lasts",
    "first",
    "monotone",
    "budget",
    *(f"oracle_{name}" for name in BESIDE),
]
"""Columns of the table of places that were tried; see :class:`ungrok.study.jobs.lasting.LastingResult`."""


def stress_table(plan: Plan, store: Store) -> pd.DataFrame:
    """Return one row per attack, setting and observed place of every attacked model."""
    table = []
    for one in plan.stress:
        where: dict[str, Any] = {name: getattr(one, name) for name in (*PATH, "subject", "place")}
        where |= dict.fromkeys(("place_dose", "place_updates"))
        if one.place is not None:
            placed = store.open(one.model, Placed, tensors=False).result
            assert isinstance(placed, PlacedResult)
            where |= {"place_dose": placed.dose, "place_updates": placed.updates}
        table += [
            where | {"attack": one.attack} | row for row in store.open(one.rows, Stress, tensors=False).result.rows
        ]
    return _typed(pd.DataFrame(table, columns=STRESS), ["place_updates", "updates"], ["diverged"])


def lasting_table(plan: Plan, store: Store) -> pd.DataFrame:
    """Return one row per place that was tried on every path, with the accuracies of its oracle."""
    table = []
    for one in plan.lasting:
        searched = store.open(one.rows, Lasting, tensors=False).result
        where: dict[str, Any] = {name: getattr(one, name) for name in PATH} | {"budget": searched.budget}
        oracle = plan.oracles[one.arm, one.seed, one.forget, one.stage]
        beside = store.open(oracle, Oracle, tensors=False).result.accuracies.to_dict()
        where |= {f"oracle_{name}": beside[name] for name in BESIDE}
        table += [where | row for row in searched.rows]
    return _typed(pd.DataFrame(table, columns=LASTING), ["updates"], ["lasts", "first", "monotone"])


def _typed(table: pd.DataFrame, counts: list[str], flags: list[str]) -> pd.DataFrame:
    """Return a table with whole numbers, flags and numbers as such; what is missing in them stays missing."""
    words = {*PATH, "subject", "place", "attack", "kind", "setting", "dose_name"}
    numbers = [name for name in map(str, table) if name not in {*words, *counts, *flags}]
    types = dict.fromkeys(numbers, "float64") | dict.fromkeys(counts, "Int64") | dict.fromkeys(flags, "boolean")
    return table.astype(types)
