"""Reading a finished study back from the folder that it was written to."""

from __future__ import annotations

from pathlib import Path

import pandas as pd

from ungrok.core.errors import RecipeError
from ungrok.report.view import View
from ungrok.study.claims import Doses, judge
from ungrok.study.outputs import written
from ungrok.study.plan import make_plan
from ungrok.study.results import Results


def open_study(folder: Path) -> View:
    """Return what a study wrote to ``folder``; its verdicts follow from its rows.

    Raises:
        RecipeError: If it holds no study.

    """
    # This function becomes a call of study.folder.StudyFolder: nothing else in the report opens a study.
    recipe, made = written(folder)
    for name in ("results.parquet", "report/verdicts.json"):
        if not (folder / name).is_file():
            raise RecipeError(f"{folder}: holds no study (no {name})")
    tables = dict.fromkeys(("transitions", "oracles", "curves", "timings", "audits"), pd.DataFrame())
    if (folder / "mechanism.parquet").is_file():
        tables["mechanism"] = pd.read_parquet(folder / "mechanism.parquet")
    results = Results(pd.read_parquet(folder / "results.parquet"), **tables)
    if "doses" not in made:
        raise RecipeError(f"{folder}: was written by an earlier version; write it again with `ungrok report {folder}`")
    doses = {method: Doses(dose["budget"], dose["matched"]) for method, dose in made["doses"].items()}
    return View(make_plan(recipe), results, judge(results.rows, recipe, doses), doses)
