"""What deleting costs against what it damages: a point for every place at which training may stop and every method."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import COLORS, GRAY, MORE_COLORS, Picture, filled, legend, log_ticks, panels
from ungrok.report.format import number
from ungrok.study.advise import Advice, Priced, Terms

NAME = "advice"
"""Name of the figure's files."""

LINEAR = 5.0
"""Percentage points of damage up to which the vertical axis is linear; beyond, it is logarithmic."""

NAMED = 6
"""Admissible policies of a setting that are named in the figure: the cheapest ones."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""One for each arm."""

Stage = tuple[str, str]


def advice(every: Sequence[Advice], terms: Terms) -> Picture:
    """Plot cost against damage, one panel per setting; a step line joins the policies from a stage that no other from there beats in both."""
    stages = list(dict.fromkeys(one.stage for each in every for one in sorted(each.priced, key=_training)))
    arms = list(dict.fromkeys(arm for arm, _ in stages))
    colors = _colors(stages)
    figure, grid = panels(len(every), height=3.4 if len(every) == 1 else 2.6, share=False)
    for axes, each in zip(grid, every, strict=True):
        _draw(axes, each, terms, colors, arms)
        names = each.setting.names
        title = f"{each.setting.run}, forgetting {names.forget(each.setting.forget)}"
        axes.set_title(filled(title, 60 if len(every) == 1 else 28), loc="left")
        axes.set_xlabel(
            f"{terms.by} for training and {terms.requests:,} request{'s' * (terms.requests > 1)}", labelpad=1
        )
    figure.supylabel("damage, percentage points")
    names = every[0].setting.names
    handles = [
        Line2D(
            [],
            [],
            color=colors[stage],
            marker=MARKERS[arms.index(stage[0]) % len(MARKERS)],
            linewidth=1.2,
            label=names.series(*stage),
        )
        for stage in stages
    ]
    hollow = Line2D([], [], color=GRAY, marker="o", markerfacecolor="white", linestyle="", label="not admissible")
    ring = Line2D(
        [], [], color="black", marker="o", markersize=10, markerfacecolor="none", linestyle="", label="choice"
    )
    legend(figure, [*handles, hollow, ring])
    how = (
        "Further left is cheaper and lower is less damage. A point is a method from one stage: mean over seeds of the cost of training and all requests, and "
        "the largest loss of RA, and of bystander accuracy or TA, beyond the oracle. Hollow points are not admissible; those that fulfill too few requests "
        "are not joined. The dotted line is the limit of damage."
    )
    return Picture(NAME, "What deleting costs, and what it damages", how, figure)


def _training(one: Priced) -> float:
    return float(one.measured.training["passes"].mean())


def _colors(stages: Sequence[Stage]) -> dict[Stage, str]:
    """Return a color for each arm and stage; named stages have that of all other figures."""
    others = iter([*MORE_COLORS] * len(stages))
    return {(arm, stage): COLORS.get(stage) or next(others) for arm, stage in stages}


def _draw(axes: Axes, each: Advice, terms: Terms, colors: dict[Stage, str], arms: Sequence[str]) -> None:
    points = [one for one in each.priced if one.measured.worst_damage == one.measured.worst_damage]
    for one in points:
        color, fill = colors[one.stage], "white" if one.failures else colors[one.stage]
        marker = MARKERS[arms.index(one.policy.arm) % len(MARKERS)]
        axes.plot(
            *_point(one, terms), color=color, marker=marker, markersize=5, markerfacecolor=fill, linestyle="", zorder=3
        )
    for stage, color in colors.items():
        line = frontier(
            [_point(one, terms) for one in points if one.stage == stage and "fulfilled" not in one.failures]
        )
        if line:
            axes.plot(*zip(*line, strict=True), color=color, linewidth=1.2, drawstyle="steps-post", zorder=2)
    axes.plot(
        *_point(each.chosen, terms),
        marker="o",
        markersize=10,
        markerfacecolor="none",
        markeredgecolor="black",
        zorder=4,
    )
    axes.axhline(100 * terms.damage, color=GRAY, linewidth=0.8, linestyle=":", zorder=1)
    axes.set_yscale("symlog", linthresh=LINEAR)
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    axes.set_xscale("log")
    low, high = (pick([one.total(terms.by) for one in points]) for pick in (min, max))
    axes.set_xlim(low / 1.15, high * 1.6)
    log_ticks(axes.xaxis, *axes.get_xlim(), decades=2.5)
    _name(axes, [one for one in points if not one.failures][:NAMED], each, terms)


def _point(one: Priced, terms: Terms) -> tuple[float, float]:
    return one.total(terms.by), 100 * one.measured.worst_damage


def _name(axes: Axes, named: Sequence[Priced], each: Advice, terms: Terms) -> None:
    """Write names beside points, below each other where points lie so close that they would overlap."""
    for rank, one in enumerate(sorted(named, key=lambda one: -one.measured.worst_damage)):
        words = "retraining" if one.policy.retrains else each.setting.names.method(one.policy.method)
        axes.annotate(
            words, _point(one, terms), xytext=(7, 10 - 9 * (rank % 3)), textcoords="offset points", fontsize=7, va="center", zorder=5
        )  # fmt: skip


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of (cost, damage) that no other point beats in both, by increasing cost."""
    kept: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept
