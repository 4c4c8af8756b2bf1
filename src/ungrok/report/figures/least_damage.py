"""The least damage at each level of forgetting over all rates, and the difference of two stages with its band."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.patches import Patch

from ungrok.report.figures.drawing import GRAY, WIDTH, Picture, color, legend, own_scale, panel_title
from ungrok.report.format import slug
from ungrok.report.frontiers import LEVELS, Frontier, frontier, median_of_seeds
from ungrok.report.view import View
from ungrok.study.place import Comparison
from ungrok.train.stages import stage_name

STYLES: tuple[Any, Any] = ("-", "--")
"""How the lines of the two sides are drawn: both may be of one stage."""

FEWEST = 0.02
"""Least range of accuracies that a panel spans."""


def least_damage(view: View, comparison: Comparison) -> Iterator[Picture]:
    """Plot the frontiers of both sides of a comparison, one column per method, and under them their difference."""
    compared = {method: frontier(view, comparison, method) for method in view.methods}
    known = {
        method: one for method, one in compared.items() if one is not None and np.isfinite(one.difference[1:]).any()
    }
    if not known:
        return
    columns = min(3, len(known))
    rows = -(-len(known) // columns)
    figure = Figure(figsize=(WIDTH, 0.8 + 2.6 * rows), layout="constrained")
    grid = figure.subplots(2 * rows, columns, sharex=True, squeeze=False, height_ratios=[1.3, 1] * rows)
    for place, (method, one) in enumerate(known.items()):
        row, column = 2 * (place // columns), place % columns
        _sides(view, grid[row, column], comparison, one)
        panel_title(grid[row, column], view.names.method(method))
        _difference(grid[row + 1, column], one)
    for axes in grid[2 * (rows - 1) :, len(known) - columns * (rows - 1) :].flat:
        axes.set_axis_off()
    for axes in grid[-1]:
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.5, 1])
    for row in range(rows):
        grid[2 * row, 0].set_ylabel("least damage")
        grid[2 * row + 1, 0].set_ylabel("difference")
    figure.supxlabel("forgotten, 1 − UA")
    figure.supylabel("percentage points")
    names = [(color(view, stage_name(side.stage)), view.names.side(side)) for side in comparison.sides]
    sides = [
        Line2D([], [], color=shade, linestyle=style, label=name)
        for (shade, name), style in zip(names, STYLES, strict=True)
    ]
    shown = Patch(
        color=GRAY, alpha=0.4, linewidth=0, label=f"band of {1 - view.recipe.claims.alpha:.0%} for all levels together"
    )
    legend(figure, [*sides, shown])
    how = (
        "Above: the least that is lost beyond what retraining loses too, over all learning rates and places of a path at which at least so much is "
        "forgotten, medians over seeds. Below: the earlier side minus the later, mean over seeds; above 0 the later side does less "
        "damage, and a level at which the band leaves out 0 tells the two apart; there is no band where too few seeds get. No rate and no target is chosen here."
    )
    title = (
        f"Least damage over all rates, {view.names.comparison(comparison)}, forgetting {view.names.splits(comparison)}"
    )
    yield Picture(
        slug("least-damage", *(side.label for side in comparison.sides), comparison.forget), title, how, figure
    )


def _sides(view: View, axes: Axes, comparison: Comparison, one: Frontier) -> None:
    for side, values, style in zip(comparison.sides, (one.left, one.right), STYLES, strict=True):
        axes.plot(1 - LEVELS, 100 * median_of_seeds(values), color=color(view, stage_name(side.stage)), linestyle=style)
    axes.axhline(0, color=GRAY, linewidth=0.6, zorder=1)
    own_scale(axes, 100 * FEWEST)


def _difference(axes: Axes, one: Frontier) -> None:
    low, high = (np.where(np.isfinite(end), 100 * end, np.nan) for end in (one.low, one.high))
    axes.fill_between(1 - LEVELS, low, high, color=GRAY, alpha=0.4, linewidth=0)
    axes.plot(1 - LEVELS, 100 * one.difference, color="#000000", linewidth=1.2)
    axes.axhline(0, color=GRAY, linewidth=0.6, zorder=1)
    own_scale(axes, 100 * FEWEST)
