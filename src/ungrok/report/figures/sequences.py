"""What is forgotten, what comes back and what is lost, over requests in sequence."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import COLORS, MORE_COLORS, WIDTH, Picture, accuracy_axis, arm_slug, legend, of_arm
from ungrok.report.format import slug
from ungrok.report.view import View
from ungrok.study.plan_sequences import ORACLE, UNLEARNED

NAME = "sequences"
"""What the names of these figures begin with."""

SHADES = (*COLORS.values(), *MORE_COLORS[:3])
"""A color for each method; black is the oracle's."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")

PANELS = ("UA, set of the request", "UA, earlier sets", "RA, retained data", "TA, test data")

DODGE = 0.035
"""How far the points of two methods stand apart, in requests: their ranges would hide each other."""


def sequences(view: View, arm: str, forget: str) -> Iterator[Picture]:
    """Plot accuracies over the requests of a sequence, one row per stage and a line per method, the oracle beside them."""
    every = view.results.sequences
    here = every[(every["arm"] == arm) & (every["forget"] == forget)].astype({"phase": int, "of": int})
    stages = [stage for stage in view.recipe.stages_of(arm) if (here["stage"] == stage).any()]
    if not stages:
        return
    figure = Figure(figsize=(WIDTH, 0.9 + 1.6 * len(stages)), layout="constrained")
    grid = figure.subplots(len(stages), len(PANELS), sharex=True, sharey=True, squeeze=False)
    for row, stage in zip(grid, stages, strict=True):
        of_stage = here[here["stage"] == stage]
        for axes, values in zip(row, _panels(of_stage), strict=True):
            _draw(view, axes, values)
            accuracy_axis(axes)
        row[0].set_ylabel(view.names.stage(stage))
    for axes, title in zip(grid[0], PANELS, strict=True):
        axes.set_title(title, loc="left")
    grid[0, 0].set_xticks(range(1, view.recipe.requests + 1))
    grid[0, 0].set_xlim(0.7, view.recipe.requests + 0.3)
    figure.supxlabel("request")
    figure.supylabel("accuracy")
    legend(figure, [*_handles(view, here), _line(ORACLE)])
    how = (
        "From left to right, requests are unlearned one after another, each from the model that the one before left. Earlier sets that rise are a "
        "reversal, RA and TA that fall further than the oracle's an erosion. Points are medians over seeds and bars their range; the oracle is "
        "retrained without all sets so far, its band the range over seeds."
    )
    title = f"Requests in sequence, forgetting {view.names.forget(forget)}{of_arm(view, arm)}"
    yield Picture(slug(NAME, *arm_slug(arm), forget), title, how, figure, NAME)


def _panels(rows: pd.DataFrame) -> Iterator[pd.DataFrame]:
    """Yield, in the order of the panels, one row per sequence and phase, each with a ``value``."""
    own = rows[rows["of"] == rows["phase"]]
    yield own.assign(value=own["UA"])
    earlier = rows[rows["of"] < rows["phase"]]
    yield (
        earlier.assign(value=earlier["UA"])
        .groupby(["seed", "method", "subject", "phase"], as_index=False)
        .agg({"value": "mean"})
    )
    for name in ("RA", "TA"):
        yield own.assign(value=own[name])


def _draw(view: View, axes: Axes, values: pd.DataFrame) -> None:
    oracle = _over_seeds(values[values["subject"] == ORACLE])
    axes.fill_between(oracle.index, oracle["min"], oracle["max"], color="#000000", alpha=0.12, linewidth=0)
    axes.plot(oracle.index, oracle["median"], **_style(ORACLE), zorder=2)
    methods = view.recipe.unlearn_labels()
    for number, method in enumerate(methods):
        at = _over_seeds(values[(values["subject"] == UNLEARNED) & (values["method"] == method)])
        x = at.index + DODGE * (number - (len(methods) - 1) / 2)
        style = _style(method, number)
        axes.vlines(x, at["min"], at["max"], color=style["color"], alpha=0.45, linewidth=1)
        axes.plot(x, at["median"], **style, zorder=3)


def _over_seeds(values: pd.DataFrame) -> pd.DataFrame:
    """Return median, min and max by phase, of those seeds whose sequence has come so far."""
    return values.dropna(subset="value").groupby("phase")["value"].agg(["median", "min", "max"])


def _style(method: str, number: int = 0) -> dict[str, Any]:
    if method == ORACLE:
        return {"color": "#000000", "linestyle": "--", "linewidth": 1.2}
    shade, marker = SHADES[number % len(SHADES)], MARKERS[number % len(MARKERS)]
    return {
        "color": shade,
        "marker": marker,
        "markersize": 4,
        "markeredgecolor": "white",
        "markeredgewidth": 0.5,
        "linewidth": 1.3,
    }


def _line(method: str, number: int = 0, label: str = "oracle") -> Line2D:
    return Line2D([], [], label=label, **_style(method, number))


def _handles(view: View, rows: pd.DataFrame) -> list[Line2D]:
    labels = enumerate(view.recipe.unlearn_labels())
    there = set(rows["method"])
    return [_line(label, number, view.names.method(label)) for number, label in labels if label in there]
