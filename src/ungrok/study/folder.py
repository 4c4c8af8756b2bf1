"""A study's folder: the one way to open what a study wrote."""

from __future__ import annotations

from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Any

import pandas as pd

from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json, write_text
from ungrok.study.claims import Doses, Verdict, judge
from ungrok.study.loading import load
from ungrok.study.plan import Plan, make_plan
from ungrok.study.recipe import Recipe
from ungrok.study.results import CONTROLS, MECHANISM, Results, curves, with_whole_steps
from ungrok.study.store import Store, explained


class StudyFolder:
    """What a study wrote; each part is read when it is first asked for.

    Args:
        path: The study's folder.
        recipe: Its recipe; the device is the one it ran on, whatever this machine has.
        provenance: The versions, hardware, times and doses that it was made with.
        store: The store that holds its jobs.

    """

    def __init__(self, path: Path, recipe: Recipe, provenance: dict[str, Any], store: Store) -> None:
        self.path = path
        self.recipe = recipe
        self.provenance = provenance
        self.store = store

    @classmethod
    def open(cls, path: Path, store: Path | None = None) -> StudyFolder:
        """Open a study.

        Args:
            path: The study's folder.
            store: Its store; by default the one it was made with or, if that is gone, the folder ``store`` beside ``path``.

        Raises:
            RecipeError: If ``path`` holds no study.

        """
        for name in ("recipe.yaml", "provenance.json"):
            _check_there(path, name)
        made, recipe = read_json(path / "provenance.json"), load(str(path / "recipe.yaml"))
        recipe = recipe.model_copy(update={"device": made.get("device", recipe.device)})
        beside = path.parent / "store"
        used = Path(made.get("store", beside))
        return cls(path, recipe, made, Store(store or (used if used.is_dir() else beside)))

    @cached_property
    def plan(self) -> Plan:
        """The study's plan, without the warnings of a preflight."""
        return make_plan(self.recipe)

    @cached_property
    def results(self) -> Results:
        """The tables that lie in the folder; those that are not there are empty.

        Raises:
            RecipeError: If the table of results is missing.

        """
        _check_there(self.path, "results.parquet")
        tables = {
            name: self._table(name) for name in ("transitions", "oracles", "curves", "timings", "audits", "groups")
        }
        for name, columns in (("mechanism", MECHANISM), ("controls", CONTROLS)):
            table = self._table(name)
            tables[name] = pd.DataFrame(columns=columns) if table.empty else table
        return Results(self._table("results"), **tables)

    def results_with_curves(self, plan: Plan) -> Results:
        """Return the tables in the folder, with curves from the store where an earlier version of the package did not write them.

        Raises:
            RecipeError: If a table that every study has is neither in the folder nor in the store.

        """
        results = self.results
        if results.curves.empty and all(self.store.has(key) for key in plan.trajectories.values()):
            results = replace(results, curves=curves(plan, self.store))
        for name in ("transitions", "curves", "timings"):
            if getattr(results, name).empty:
                raise RecipeError(f"{self.path}: holds no {name}")
        return results

    def _table(self, name: str) -> pd.DataFrame:
        """Read a table; from CSV where an earlier version of the package wrote no other form."""
        if (self.path / f"{name}.parquet").is_file():
            return pd.read_parquet(self.path / f"{name}.parquet")
        if not (self.path / f"{name}.csv").is_file():
            return pd.DataFrame()
        table = pd.read_csv(self.path / f"{name}.csv", keep_default_na=False, na_values=[""])
        return with_whole_steps(table)

    @cached_property
    def verdicts(self) -> list[Verdict]:
        """The verdicts, which follow from the rows, the recipe and the doses."""
        return judge(self.results.rows, self.recipe, self.doses)

    @property
    def doses(self) -> dict[str, Doses]:
        """Per method label, where paths end and where doses are matched.

        Raises:
            RecipeError: If the study was written by an earlier version of the package, which did not record doses.

        """
        if "doses" not in self.provenance:
            raise RecipeError(
                f"{self.path}: was written by an earlier version; write it again with `ungrok report {self.path}`"
            )
        return {method: Doses(dose["budget"], dose["matched"]) for method, dose in self.provenance["doses"].items()}


def _check_there(path: Path, name: str) -> None:
    if not (path / name).is_file():
        raise RecipeError(f"{path}: holds no study (no {name})")


def check_writable(path: Path) -> None:
    """Make sure that a study's folder can be written, before anything is run for it.

    Raises:
        StoreError: If it cannot.

    """
    with explained(path):
        (path / "report").mkdir(parents=True, exist_ok=True)
        write_text(path / "report" / ".writable", "")
        (path / "report" / ".writable").unlink()
