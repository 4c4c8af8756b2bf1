"""Tables of when training memorized and grokked, and of how many did."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from ungrok.report.format import MISSING, fixed, missing, whole
from ungrok.report.tables.table import Table
from ungrok.report.view import View
from ungrok.study.statistics import wilson


def transitions(view: View) -> Table:
    """Return one row per trajectory: when it memorized, when it grokked, and where its stages lie."""
    table = view.results.transitions
    columns = [
        "arm",
        "seed",
        "status",
        "memorized in",
        "grokked in",
        "delay",
        "change point (R²)",
        *map(view.names.stage, view.stages),
        "final TA",
    ]
    rows = [
        [
            str(row["arm"]), str(row["seed"]), str(row["status"]).replace("_", " "), _crossing(row, "memorized"), _crossing(row, "grokked"),
            MISSING if missing(row["delay"]) else f"{fixed(row['delay'], 2)}×",
            MISSING if missing(row["change_point"]) else f"{whole(row['change_point'])} ({fixed(row['change_point_r2'], 2)})",
            *(whole(row[f"stage_{stage}"]) for stage in view.stages), fixed(row["final_test_accuracy"]),
        ]
        for row in table.to_dict("records")
    ]  # fmt: skip
    how = (
        "Steps are known only up to the grid on which training was evaluated: (a, b] means after step a and no later than b; delay is "
        "the ratio of the two steps, and stages give the step of each checkpoint."
    )
    return Table("Transitions", how, columns, rows, keys=3)


def _crossing(row: dict[Any, Any], name: str) -> str:
    step, after = row[f"{name}_step"], row[f"{name}_after"]
    return MISSING if missing(step) else f"({whole(after)}, {whole(step)}]"


def grok_rates(view: View) -> Table:
    """Return, per arm and for the oracles of each forget split, how many trajectories grokked and what became of the rest."""
    alpha = view.recipe.claims.alpha
    rows = []
    for arm in view.arms:
        table = view.results.transitions
        rows.append([arm, "all training data", *_rate_cells(list(table.loc[table["arm"] == arm, "status"]), alpha)])
        oracles = view.results.oracles.drop_duplicates(["arm", "seed", "forget"])
        for forget in view.recipe.forget_labels():
            here = oracles[(oracles["arm"] == arm) & (oracles["forget"] == forget)]
            rows.append(
                [arm, f"oracles, without {view.names.forget(forget)}", *_rate_cells(list(here["oracle_status"]), alpha)]
            )
    interval_name = f"{1 - alpha:.0%} interval (Wilson)"
    how = (
        f"A trajectory counts as grokked if {view.signal} holds its level, late, to the end; all other ends are "
        "listed. An oracle that never saw a class is read on the validation data of the classes that are left."
    )
    return Table(
        "How many grokked", how, ["arm", "trained on", "grokked", "share", interval_name, "others"], rows, keys=2
    )


def _rate_cells(statuses: Sequence[str], alpha: float) -> list[str]:
    count, n = statuses.count("grokked"), len(statuses)
    low, high = wilson(count, n, alpha)
    others = [status for status in dict.fromkeys(statuses) if status != "grokked"]
    listed = ", ".join(f"{statuses.count(status)} {status}".replace("_", " ") for status in others)
    share = fixed(count / n, 2) if n else MISSING
    return [f"{count} of {n}", share, f"[{fixed(low, 2)}, {fixed(high, 2)}]", listed or "none"]
