"""The table of variance components: what differs between seeds, draws of the forget split and walks of the same path."""

from __future__ import annotations

import math
from collections.abc import Iterator
from typing import Any

from ungrok.report.format import MISSING, fixed, level
from ungrok.report.tables.table import Row, Table
from ungrok.report.view import View
from ungrok.study.components import LEVELS, variance_components

NEGATIVE = "0 (negative)"
"""What stands for a negative estimate of a variance."""


def components(view: View) -> Iterator[Table]:
    """Yield one table with a row per path and quantity; none where the recipe asks for one draw and one repeat."""
    table = variance_components(view.results.rows, view.recipe, view.doses)
    if table.empty:
        return
    recipe = view.recipe
    asked = [True, recipe.forget_draws > 1, recipe.unlearn_seeds > 1]
    levels = [name for name, there in zip(LEVELS, asked, strict=True) if there]
    rows = [_cells(view, row, levels) for row in table.to_dict("records")]
    own_data = (
        "training, the data, and what else a seed stands for"
        if recipe.data_seed
        else "training and what else a seed stands for"
    )
    how = (
        f"Standard deviations where {level(recipe.claims.primary)} is first reached, by source: seed is {own_data}; draw is which examples are "
        "forgotten, within a seed; repeat is the batches and the noise of unlearning, within a draw. Updates are natural logarithms, so that 0.1 is about "
        "10 %; drops are of accuracies in [0, 1], from the start of the path. Method of moments of a balanced nested design, over the seeds all of "
        f"whose paths reached the target; “{NEGATIVE}” is an estimate of a variance below 0. A source that is not drawn again is in the one before it."
    )
    columns = ["model", "forget split", "method", "what", "seeds", *levels]
    yield Table("Sources of variation", how, columns, rows, keys=3)


def _cells(view: View, row: dict[Any, Any], levels: list[str]) -> Row:
    model = view.label(str(row["arm"]), str(row["stage"]))
    seeds = f"{row['complete']} of {row['seeds']}"
    return [
        model,
        str(row["forget"]),
        str(row["method"]),
        str(row["quantity"]),
        seeds,
        *(_deviation(row[name]) for name in levels),
    ]


def _deviation(variance: float) -> str:
    if math.isnan(variance):
        return MISSING
    return NEGATIVE if variance < 0 else fixed(math.sqrt(variance))
