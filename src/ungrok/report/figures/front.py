"""The picture on the front: the training curve with its stages beside the headline family as a forest plot."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullFormatter, NullLocator

from ungrok.report.figures.drawing import SPLITS, Picture, accuracy_axis, band, steps_axis
from ungrok.report.figures.training import first_step, stage_marks
from ungrok.report.format import number
from ungrok.report.tables.verdicts import briefly, headline_verdicts, net_wins
from ungrok.report.view import View
from ungrok.study.claims import Effect, Verdict, Wins, Word

WIDTH = 10.4
"""Width of the figure in inches."""

CURVE = 3.4
"""Height of the training curve in inches."""

WIDEST = 3.0
"""Ends of intervals that lie so many times as far from no difference as the median end are cut at the axis."""

LINE = 0.18
"""Height of a row of the forest plot in inches."""

MARKS: dict[str, dict[str, Any]] = {
    "supported": {"color": "#117733", "marker": "o", "markerfacecolor": "#117733"},
    "refuted": {"color": "#882255", "marker": "s", "markerfacecolor": "#882255"},
    "inconclusive": {"color": "#666666", "marker": "o", "markerfacecolor": "white"},
    "exploratory": {"color": "#666666", "marker": "D", "markerfacecolor": "white"},
}
"""How a row of each word is drawn; shades that no stage has."""

PLATE: dict[str, Any] = {"bbox": {"facecolor": "white", "edgecolor": "none", "pad": 0.8}, "zorder": 4}
"""Keeps headings readable over lines."""

Line = Verdict | str
"""A row of a forest plot, or a heading over rows."""


def front(view: View) -> Iterator[Picture]:
    """Plot the training curve beside the headline family's first comparison: ratios and percentage points in panels of their own."""
    family = headline_verdicts(view)
    family = [v for v in family if v.comparison.sides == family[0].comparison.sides]
    panels = [
        lines
        for scale in ("log ratio", "difference")
        if (lines := _lines(view, [v for v in family if v.effect.scale == scale and v.effect.value is not None]))
    ]
    if not panels:
        return
    most = max(len(lines) for lines in panels)
    height = max(CURVE, 1.2 + LINE * most)
    figure = Figure(figsize=(WIDTH, height))
    figure.set_layout_engine("constrained", wspace=0.05)
    heights = [CURVE, max(height - CURVE, 0.01)]
    grid = figure.add_gridspec(2, 1 + len(panels), width_ratios=[1.2, *[1] * len(panels)], height_ratios=heights)
    _curves(view, figure.add_subplot(grid[0, 0]), family[0].comparison.left.arm)
    for column, lines in enumerate(panels, start=1):
        _forest(figure.add_subplot(grid[:, column]), lines, most)
    there = [word for word in MARKS if any(v.word == word for v in family)]
    splits = [Line2D([], [], color=c, linestyle=s, label=name) for name, (c, s) in SPLITS.items()]
    words = [Line2D([], [], linestyle="-", markersize=4.5, label=word, **MARKS[word]) for word in there]
    figure.legend(handles=[*splits, *words], loc="outside lower center", ncols=len(splits) + len(words))
    first = family[0].comparison
    how = (
        f"Left: accuracy while training, medians and ranges over seeds, with each stage at its median step. Right: {view.names.comparison(first)}, "
        "a row for each method and question, with intervals that hold together; right of the line the later side does better, as the paper "
        "says, and an arrow is an interval that goes on. Where some path never reached the target its updates count up to its end, and net wins of the later side stand beside. What has no "
        "value stands in the table alone."
    )
    yield Picture("front", "The answer at a glance", how, figure)


def _curves(view: View, axes: Axes, arm: str) -> None:
    curves = view.results.curves[view.results.curves["arm"] == arm]
    first, last = first_step(view), max(2.0, float(curves["step"].max()))
    for name, (shade, style) in SPLITS.items():
        band(axes, curves[curves["step"] >= first], f"{name}_accuracy", shade, style)
    accuracy_axis(axes, "accuracy")
    steps_axis(axes, first, last, 1.2)
    stage_marks(view, [axes], arm)
    axes.set_xlabel("training step")


def _lines(view: View, family: Sequence[Verdict]) -> list[Line]:
    """Return the rows of a panel, those of each method and forget split under a heading."""
    splits = len({v.comparison for v in family}) > 1
    lines: list[Line] = []
    for comparison in dict.fromkeys(v.comparison for v in family):
        for method in dict.fromkeys(v.method for v in family):
            own = [v for v in family if (v.comparison, v.method) == (comparison, method)]
            heading = view.names.method(method) + (f", {view.names.splits(comparison)}" if splits else "")
            lines += [heading, *own] if own else []
    return lines


def _forest(axes: Axes, lines: Sequence[Line], most: int) -> None:
    """Draw rows from top to bottom, with room for ``most`` of them; all of one panel have one scale."""
    rows = [(place, line) for place, line in enumerate(lines) if isinstance(line, Verdict)]
    ratios = rows[0][1].effect.scale == "log ratio"
    low, high = extent([line.effect for _, line in rows])
    axes.axvline(1 if ratios else 0, color="#000000", linewidth=0.8, zorder=1)
    for place, verdict in rows:
        row(axes, place, verdict.word, verdict.effect, verdict.wins, (low, high))
    for place, line in enumerate(lines):
        if isinstance(line, str):
            axes.annotate(
                line, (0, place), xycoords=axes.get_yaxis_transform(), va="center", fontweight="bold", **PLATE
            )
    axes.set_ylim(most - 0.5, -0.5)
    axes.set_yticks([place for place, _ in rows], [briefly(line) for _, line in rows])
    axes.tick_params("y", length=0)
    axes.spines["left"].set_visible(False)
    effect_axis(axes, low, high, ratios=ratios, ticks=5)
    axes.set_xlabel("ratio (log scale),\nearlier ÷ later" if ratios else "percentage points,\nearlier − later")


def effect_axis(axes: Axes, low: float, high: float, *, ratios: bool, ticks: int) -> None:
    """Let the horizontal axis show ratios on a logarithmic scale, or differences with about so many ticks, from ``low`` to ``high``."""
    if ratios:
        axes.set_xscale("log")
        ratio_ticks(axes, low, high)
    else:
        axes.xaxis.set_major_locator(MaxNLocator(ticks))
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axes.set_xlim(low, high)


STEPS = (
    (0.12, (1, 1.05, 1.1, 1.15, 1.2, 9, 9.5)),
    (0.5, (1, 1.2, 1.5, 2, 3, 5, 7, 9)),
    (1.6, (1, 2, 5)),
    (3.0, (1, 3)),
    (math.inf, (1,)),
)
"""Up to how many decades on an axis, and the round ratios within a decade that are then labeled."""


def ticks_between(low: float, high: float) -> list[float]:
    """Return 1 and round ratios between two ends, which leave room for their labels."""
    decades = math.log10(high / low)
    steps = next(factors for most, factors in STEPS if decades < most)
    every = [factor * 10.0**k for k in range(-9, 10) for factor in steps]
    if decades > 6:
        every = every[:: math.ceil(decades / 5)]
    return sorted({1.0, *(tick for tick in every if low <= tick <= high)})


def ratio_ticks(axes: Axes, low: float, high: float) -> None:
    """Label 1 and, on both sides of it, ratios that leave room for their labels."""
    axes.xaxis.set_major_locator(FixedLocator(ticks_between(low, high)))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 2)))
    axes.xaxis.set_minor_formatter(NullFormatter())


def natural(value: float, like: Effect) -> float:
    """Return an effect as axes show it: a log ratio as a ratio, accuracies in percentage points, anything else as it is."""
    if like.scale == "log ratio":
        return math.exp(min(max(value, -700.0), 700.0))
    return 100 * value if like.unit == "accuracy" else value


def extent(effects: Sequence[Effect]) -> tuple[float, float]:
    """Return the ends of an axis: it holds no difference, all estimates, and the intervals but for those much wider than most."""
    values = [effect.value for effect in effects if effect.value is not None]
    ends = [end for effect in effects for end in effect.interval if math.isfinite(end)]
    farthest = max(1.2 * max(map(abs, values)), WIDEST * float(np.median(np.abs(ends))) if ends else 0.0)
    held = [0.0, *values, *(end for end in ends if abs(end) <= farthest)]
    room = max(0.06 * (max(held) - min(held)), 0.05 if effects[0].scale == "log ratio" else 0.002)
    return natural(min(held) - room, effects[0]), natural(max(held) + room, effects[0])


def row(
    axes: Axes, place: int, word: Word, effect: Effect, wins: Wins | None, ends_of_axis: tuple[float, float]
) -> None:
    """Draw an estimate with its interval, cut at the ends of the axis, and net wins where a target was not always reached."""
    style = MARKS[word]
    assert effect.value is not None
    ends = np.clip([natural(end, effect) for end in effect.interval], *ends_of_axis)
    axes.plot(ends, [place, place], color=style["color"], linewidth=1.4, zorder=2)
    for end, whole, arrow in zip(ends, effect.interval, "<>", strict=True):
        if not math.isclose(end, natural(whole, effect)):
            axes.plot([end], [place], arrow, color=style["color"], markersize=4, clip_on=False)
    axes.plot([natural(effect.value, effect)], [place], markersize=4.5, zorder=3, linestyle="", **style)
    beside: dict[str, Any] = {"xycoords": axes.get_yaxis_transform(), "textcoords": "offset points"}
    for text in net_wins(effect, wins):
        axes.annotate(text, (1, place), (4, 0), va="center", color="#666666", fontsize=8, **beside)
