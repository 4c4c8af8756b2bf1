"""The table of variance components: what differs between seeds, draws of the forget split and walks of the same path."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ungrok.report.format import MISSING, POINTS, fixed, level
from ungrok.report.tables.table import Row, Table
from ungrok.report.view import View
from ungrok.study.components import LEVELS, variance_components
from ungrok.study.names import metric_name

NEGATIVE = "0 (negative)"
"""What stands for a negative estimate of a variance."""


def components(view: View) -> Iterator[Table]:
    """Yield one table of updates and one of drops, with a row per path; none where the recipe asks for one draw and one repeat."""
    table = variance_components(view.results.rows, view.recipe, view.doses)
    if table.empty:
        return
    recipe = view.recipe
    asked = [True, recipe.forget_draws > 1, recipe.unlearn_seeds > 1]
    levels = [name for name, there in zip(LEVELS, asked, strict=True) if there]
    own_data = (
        "training, the data, and what else a seed stands for"
        if recipe.data_seed
        else "training and what else a seed stands for"
    )
    how = (
        f"Standard deviations where {level(recipe.claims.primary)} is first reached, by source: seed is {own_data}; draw is which examples are "
        "forgotten, within a seed; repeat is the batches and the noise of unlearning, within a draw. Updates are natural logarithms, so that 0.1 is about "
        "10 %; drops are of accuracies, from the start of the path. Method of moments of a balanced nested design, over the seeds all of "
        f"whose paths reached the target; “{NEGATIVE}” is an estimate of a variance below 0. A source that is not drawn again is in the one before it."
    )
    columns = ["model", "forgetting", "method", "what", "seeds", *levels]
    every = table.to_dict("records")
    for title, updates in (("updates, natural logarithms", True), (f"drops, {POINTS}", False)):
        own = [row for row in every if (row["quantity"] == "updates") == updates]
        rows = [_cells(view, row, levels, 1 if updates else 100) for row in own]
        if rows:
            yield Table(f"Sources of variation: {title}", how, columns, rows, keys=3)
            how = "Read as the table above."


def _cells(view: View, row: dict[Any, Any], levels: list[str], scale: float) -> Row:
    model = view.label(str(row["arm"]), str(row["stage"]))
    seeds = f"{row['complete']} of {row['seeds']}"
    return [
        model,
        view.names.forget(str(row["forget"])),
        view.names.method(str(row["method"])),
        metric_name(str(row["quantity"])),
        seeds,
        *(_deviation(row[name], scale) for name in levels),
    ]


def _deviation(variance: float, scale: float) -> str:
    if math.isnan(variance):
        return MISSING
    return NEGATIVE if variance < 0 else fixed(scale * math.sqrt(variance))
