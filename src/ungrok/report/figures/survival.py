"""The share of seeds that have not reached the target, against dose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import (
    GRAY,
    Picture,
    accuracy_axis,
    all_doses,
    color,
    dose_axis,
    legend,
    panel_title,
    panels,
)
from ungrok.report.format import level, p_equals, slug
from ungrok.report.view import View
from ungrok.study.place import Comparison
from ungrok.study.statistics import Times, kaplan_meier, log_rank
from ungrok.train.stages import stage_name


def survival(view: View, comparison: Comparison) -> Iterator[Picture]:
    """Plot, for one comparison, the share of seeds that have not reached the primary target, against dose."""
    methods = [m for m in view.methods if any(view.reach(place).at_risk for place in comparison.places(m))]
    if not methods:
        return
    stages = [stage_name(side.stage) for side in comparison.sides]
    same = stages[0] == stages[1]
    styles: list[tuple[Any, float]] = [("-", 2.6), ("--" if same else "-", 1.3)]
    arms = [side.arm for side in comparison.sides]
    figure, grid = panels(len(methods))
    for axes, method in zip(grid, methods, strict=True):
        times = [view.reach(place).survival() for place in comparison.places(method)]
        for stage, (style, thick), time in zip(stages, styles, times, strict=True):
            if time is not None:
                jumps, shares = (list(values) for values in kaplan_meier(time))
                steps = [0, *jumps, time.time.max()], [1, *shares, (shares or [1])[-1]]
                axes.step(*steps, where="post", color=color(view, stage), linestyle=style, linewidth=thick)
        panel_title(axes, view.names.method(method), _log_rank(*times))
        accuracy_axis(axes)
        dose_axis(axes, all_doses(view, arms, comparison.forgets, method), view.one_shot(method))
    figure.supylabel("share of seeds short of the target")
    legend(
        figure,
        [
            Line2D(
                [],
                [],
                color=color(view, stage),
                linestyle=style,
                linewidth=thick,
                label=view.names.side(side),
            )
            for stage, side, (style, thick) in zip(stages, comparison.sides, styles, strict=True)
        ],
    )
    how = (
        "A curve steps down whenever a seed reaches the target and stays up where seeds never do (Kaplan-Meier); p is that of the "
        "log-rank test, descriptive only: it ignores that seeds are paired."
    )
    title = f"Seeds short of {level(view.primary)}, {view.names.comparison(comparison)}, forgetting {view.names.splits(comparison)}"
    yield Picture(slug("survival", *(side.label for side in comparison.sides), comparison.forget), title, how, figure)


def _log_rank(left: Times | None, right: Times | None) -> list[tuple[str, str]]:
    if left is None or right is None:
        return []
    return [(p_equals(log_rank(left, right)), GRAY)]
