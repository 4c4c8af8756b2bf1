"""What is left to forget, against dose."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import (
    GRAY,
    Picture,
    accuracy_axis,
    all_doses,
    arm_slug,
    by_dose,
    color,
    dose_axis,
    legend,
    median,
    methods_with_paths,
    of_arm,
    panel_title,
    panels,
    stage_handles,
)
from ungrok.report.format import level, slug
from ungrok.report.view import View
from ungrok.study.place import Place


def doses(view: View, arm: str, forget: str) -> Iterator[Picture]:
    """Plot UA against dose, one panel per method and one line per stage (the paper's Figure 2)."""
    methods = methods_with_paths(view, arm, forget)
    if not methods:
        return
    figure, grid = panels(len(methods))
    marks: set[str] = set()
    for axes, method in zip(grid, methods, strict=True):
        for target in view.recipe.claims.targets:
            if not isinstance(target, str):
                axes.axhline(target, color=GRAY, linestyle="--", linewidth=0.8, zorder=1)
        for stage in view.stages:
            marks |= _dose_lines(view, axes, Place(arm, stage, forget, method))
        panel_title(axes, view.names.method(method), _unreached(view, arm, forget, method))
        accuracy_axis(axes)
        dose_axis(axes, all_doses(view, [arm], [forget], method), view.one_shot(method))
    figure.supylabel("UA")
    extra = [
        Line2D([], [], color=GRAY, linestyle="--", linewidth=0.8, label="target"),
        Line2D([], [], color=GRAY, linestyle=":", linewidth=1.2, label="UA of the oracle"),
        Line2D([], [], color=GRAY, marker="o", markerfacecolor="white", linestyle="", label="target never reached"),
        Line2D([], [], color=GRAY, marker="x", linestyle="", label="diverged"),
    ]
    legend(figure, [*stage_handles(view, arm, forget), *(h for h in extra if h.get_label() in {"target", *marks})])
    how = (
        "The further left a line falls, the less it takes to forget: bold is the median over seeds while at least half are "
        f"finite, faint lines are seeds, and k/n says how many of n seeds never reached {level(view.primary)}."
    )
    title = f"UA against dose, forgetting {view.names.forget(forget)}{of_arm(view, arm)}"
    yield Picture(slug("dose", *arm_slug(arm), forget), title, how, figure)


def _dose_lines(view: View, axes: Axes, place: Place) -> set[str]:
    """Draw one stage's paths and return which marks of the legend were used."""
    tracks = view.tracks(place)
    if not tracks:
        return set()
    shade, used = color(view, place.stage), set()
    wide = by_dose(tracks, "UA")
    axes.plot(wide.index, wide, color=shade, alpha=0.22, linewidth=0.7)
    axes.plot(wide.index, median(wide), color=shade, linewidth=1.8, zorder=3)
    marks: dict[str, Any] = {"color": shade, "markerfacecolor": "white", "markersize": 4.2, "zorder": 4}
    for seed, track in tracks.items():
        path = wide[seed].dropna()
        if track.rows["diverged"].any():
            used.add("diverged")
            axes.plot(path.index[-1:], path.iloc[-1:], "x", **marks)
        elif track.status(view.primary) == "censored":
            used.add("target never reached")
            axes.plot(path.index[-1:], path.iloc[-1:], "o", clip_on=False, **marks)
    oracle = pd.Series([track.start["oracle_UA"] for track in tracks.values()], dtype=float).median()
    if not pd.isna(oracle):
        used.add("UA of the oracle")
        axes.axhline(oracle, color=shade, linestyle=":", linewidth=1.2, zorder=2)
    return used


def _unreached(view: View, arm: str, forget: str, method: str) -> list[tuple[str, str]]:
    """Return k/n, and its color, for each stage from which k of n seeds did not reach the primary target."""
    reached = [(view.reach(Place(arm, stage, forget, method)), color(view, stage)) for stage in view.stages]
    counts = [(f"{reach.censored}/{reach.n}", shade) for reach, shade in reached if reach.censored]
    return [("not reached", GRAY), *counts] if counts else []
