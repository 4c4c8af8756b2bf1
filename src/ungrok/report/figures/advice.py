"""What deleting costs against what it damages: a point for every place at which training may stop and every method."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from contextlib import suppress
from dataclasses import replace

from matplotlib.axes import Axes
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, NullLocator

from ungrok.core.errors import RecipeError
from ungrok.report.figures.drawing import COLORS, GRAY, MORE_COLORS, Picture, filled, legend, log_ticks, panels
from ungrok.report.format import fixed, number
from ungrok.report.view import View
from ungrok.study.advise import Advice, Priced, Terms, advise, most_requests
from ungrok.study.deletion_costs import knows_batches, priced_of
from ungrok.study.forget_sizes import Sizes

NAME = "advice"
"""Name of the figure's files."""

LINEAR = 5.0
"""Percentage points of damage up to which the vertical axis is linear; beyond, it is logarithmic."""

BELOW = 3.0
"""Percentage points that the vertical axis reaches below the least damage, for names."""

NAMED = 6
"""Admissible policies that are named beside retraining in a figure of one setting: the cheapest ones; of several settings three."""

RETRAININGS = 2
"""Stages whose retraining is named: the cheapest ones."""

LINE = 12.0
"""Distance of the names of points, in points of type."""

ASKED = 20
"""Requests that the figure of a report is drawn for, or as many as leave something of the training set."""

MARKERS = ("o", "s", "^", "D", "v", "P", "X")
"""One for each arm."""

Stage = tuple[str, str]


def advice(every: Sequence[Advice]) -> Picture:
    """Plot cost against damage, one panel per setting; a step line joins the policies from a stage that no other from there beats in both."""
    stages = list(dict.fromkeys(one.stage for each in every for one in sorted(each.priced, key=_training)))
    arms = list(dict.fromkeys(arm for arm, _ in stages))
    colors = _colors(stages)
    figure, grid = panels(len(every), height=3.4 if len(every) == 1 else 2.6, share=False)
    figure.set_figheight(figure.get_figheight() + 0.09 * len(stages))  # the legend has an entry for each
    for axes, each in zip(grid, every, strict=True):
        _draw(axes, each, colors, arms, alone=len(every) == 1)
        names, terms = each.setting.names, each.terms
        title = f"{each.setting.run}, forgetting {names.forget(each.setting.forget)}"
        axes.set_title(filled(title, 60 if len(every) == 1 else 28), loc="left")
        axes.set_xlabel(
            f"{terms.by} for training and {terms.requests:,} request{'s' * (terms.requests > 1)}", labelpad=1
        )
    figure.supylabel("damage, percentage points")
    handles = [
        Line2D(
            [],
            [],
            color=colors[stage],
            marker=MARKERS[arms.index(stage[0]) % len(MARKERS)],
            linewidth=1.2,
            label=_stage_name(every, stage),
        )
        for stage in stages
    ]
    hollow = Line2D([], [], color=GRAY, marker="o", markerfacecolor="white", linestyle="", label="not admissible")
    ring = Line2D(
        [], [], color="black", marker="o", markersize=10, markerfacecolor="none", linestyle="", label="choice"
    )
    limit = Line2D([], [], color=GRAY, linewidth=0.8, linestyle=":", label="limit of damage")
    legend(figure, [*handles, hollow, ring, limit])
    how = "Left is cheaper and low is less damage beyond the oracle; a point is a method, and a line joins the best from a stage."
    return Picture(NAME, "What deleting costs, and what it damages", how, figure)


def advice_of_study(view: View, sizes: Sizes | None) -> Iterator[Picture]:
    """Yield the figure of a study's report: cost against damage of all its policies; none where they cannot be priced.

    Args:
        view: The study.
        sizes: Of its forget sets; None where it was written by an earlier version of the package, which did not record them.

    """
    if not sizes or not knows_batches(view.plan):
        return
    every = []
    for setting in priced_of(view.recipe.name, view.plan, view.results, sizes):
        with suppress(RecipeError):  # nothing can be chosen where it is not known how accurate models are
            every.append(advise(setting, Terms(min(ASKED, most_requests(setting, Terms(ASKED))))))
    if every:
        yield replace(advice(every), section="cost")


def _stage_name(every: Sequence[Advice], stage: Stage) -> str:
    """Return the name of a stage and, in a single setting, how accurate its models are on validation data."""
    name = every[0].setting.names.series(*stage)
    if len(every) > 1:
        return name
    accuracy = next(one.measured.accuracy for one in every[0].priced if one.stage == stage)
    return f"{name} (accuracy {fixed(accuracy, 2)})"


def _training(one: Priced) -> float:
    return one.training("passes")


def _colors(stages: Sequence[Stage]) -> dict[Stage, str]:
    """Return a color for each arm and stage; named stages have that of all other figures."""
    others = iter([*MORE_COLORS] * len(stages))
    return {(arm, stage): COLORS.get(stage) or next(others) for arm, stage in stages}


def _draw(axes: Axes, each: Advice, colors: dict[Stage, str], arms: Sequence[str], *, alone: bool) -> None:
    terms = each.terms
    points = [one for one in each.priced if all(map(math.isfinite, _point(one, terms)))]
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
    damages = [_point(one, terms)[1] for one in points]
    axes.set_ylim(min(0.0, *damages) - BELOW, 1.5 * max(LINEAR, *damages))
    axes.yaxis.set_major_locator(FixedLocator([0, 1, 2, 5, 10, 20, 50, 100]))
    axes.yaxis.set_minor_locator(NullLocator())
    axes.yaxis.set_major_formatter(lambda value, _: number(value))
    axes.set_xscale("log")
    low, high = (pick([one.total(terms.by) for one in points]) for pick in (min, max))
    axes.set_xlim(low / 1.15, high * 1.6)
    log_ticks(axes.xaxis, *axes.get_xlim(), decades=2.5 if alone else 1.2)
    admissible = [one for one in points if not one.failures]
    named = [one for one in admissible if not one.policy.retrains][: NAMED if alone else 3]
    _name(axes, named, each, terms)
    _name(axes, [one for one in admissible if one.policy.retrains][:RETRAININGS], each, terms)


def _point(one: Priced, terms: Terms) -> tuple[float, float]:
    return one.total(terms.by), 100 * one.measured.worst_damage


def _name(axes: Axes, named: Sequence[Priced], each: Advice, terms: Terms) -> None:
    """Write names beside points: more harmful ones above and the others below, the cheaper the farther, so that no lines to them cross."""
    ranked = sorted(named, key=lambda one: -one.measured.worst_damage)
    above = [one for one in named if one in ranked[: len(ranked) // 2]]
    for group, side in ((above, 1), ([one for one in named if one not in above], -1)):
        for rank, one in enumerate(group):
            words = "retraining" if one.policy.retrains else each.setting.names.method(one.policy.method)
            axes.annotate(
                words,
                _point(one, terms),
                xytext=(14, side * LINE * (len(group) - rank)),
                textcoords="offset points",
                fontsize=7,
                va="center",
                arrowprops={"arrowstyle": "-", "linewidth": 0.5, "color": GRAY, "relpos": (0, 0.5), "shrinkB": 3},
                zorder=5,
            )


def frontier(points: Sequence[tuple[float, float]]) -> list[tuple[float, float]]:
    """Return the points of (cost, damage) that no other point beats in both, by increasing cost."""
    kept: list[tuple[float, float]] = []
    for point in sorted(set(points)):
        if not kept or point[1] < kept[-1][1]:
            kept.append(point)
    return kept
