"""Unlearning from many checkpoints along training."""

from __future__ import annotations

from collections.abc import Iterator

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import GRAY, WIDTH, Picture, accuracy_axis, color, legend, median, steps_axis
from ungrok.report.format import plural
from ungrok.report.view import View
from ungrok.study.place import Place
from ungrok.study.recipe_blocks import BASE

BELOW = -0.2
"""Where checkpoints are marked whose path diverged."""


def along_trajectory(view: View) -> Iterator[Picture]:
    """Plot UA, RA and TA after the matched dose against the step at which training stopped (the paper's Figure 1b)."""
    along = view.recipe.along
    if along is None or along.unlearn not in view.doses:
        return
    dose = view.doses[along.unlearn].matched
    places = _places_along(view, along.forget, along.unlearn, dose)
    if places.empty:
        return
    figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3, sharey=True), ("UA", "RA", "TA"), strict=True):
        _panel_along(view, axes, places, name)
        axes.set_title(name, loc="left")
        axes.set_xlabel("training step")
        steps_axis(axes, max(1.0, places["step"].min() * 0.8), float(places["step"].max()) * 1.15, 1.2)
    figure.axes[0].set_ylabel("accuracy")
    handles = [
        Line2D([], [], color="#000000", label="after unlearning"),
        Line2D([], [], color=GRAY, linestyle="--", label="before"),
        *(Line2D([], [], color=color(view, s), marker="D", linestyle="", markersize=5, label=view.names.stage(s)) for s in view.stages if (places["stage"] == s).any()),
    ]  # fmt: skip
    legend(figure, handles)
    unit = f"strength {dose:g}" if view.one_shot(along.unlearn) else plural(round(dose), "update")
    how = (
        f"Each point is one checkpoint of one seed after {unit} of {view.names.method(along.unlearn)} on {view.names.forget(along.forget)}; lines are medians over seeds, "
        "diamonds those of the named stages, and the distance from dashed to solid is what unlearning changed."
    )
    yield Picture("trajectory", "Unlearning along the trajectory", how, figure)


def _places_along(view: View, forget: str, method: str, dose: float) -> pd.DataFrame:
    """Return one row per stage and seed: accuracies at the start and at the dose."""
    rows = []
    for place, tracks in view.paths.items():
        if place == Place(BASE, place.stage, forget, method):
            for seed, track in tracks.items():
                start, end = track.start, track.at_dose(dose)
                names = {
                    f"{name}{tail}": row[name]
                    for name in ("UA", "RA", "TA")
                    for tail, row in (("", end), ("_start", start))
                }
                rows.append(
                    {"stage": place.stage, "seed": seed, "step": start["step"], "diverged": end["diverged"], **names}
                )
    return pd.DataFrame(rows)


def _panel_along(view: View, axes: Axes, places: pd.DataFrame, name: str) -> None:
    unnamed = places[~places["stage"].isin(view.stages)]
    before, after = (unnamed.pivot(index="step", columns="seed", values=column) for column in (f"{name}_start", name))
    axes.plot(before.index, before.median(axis=1), color=GRAY, linestyle="--", linewidth=1.1)
    axes.plot(after.index, median(after), color="#000000")
    axes.plot(unnamed["step"], unnamed[name], ".", color="#000000", alpha=0.35, markersize=4)
    for stage in view.stages:
        here = places[places["stage"] == stage]
        shade = color(view, stage)
        axes.plot(here["step"], here[name], ".", color=shade, alpha=0.4, markersize=4)
        axes.plot(
            [here["step"].median()], [here[name].median()], "D", color=shade, markersize=6, markeredgecolor="white"
        )
    accuracy_axis(axes)
    broken = places[places["diverged"]]
    if len(broken):
        # A row of its own below 0, with a name on the axis: marks on the axis would read as accuracies of 0.
        axes.axhline(BELOW / 2, color=GRAY, linewidth=0.6)
        axes.plot(broken["step"], [BELOW] * len(broken), "x", color="#000000", markersize=4)
        axes.set_ylim(1.6 * BELOW, 1.04)
        axes.set_yticks([BELOW, 0, 0.5, 1], ["diverged", "0.0", "0.5", "1.0"])
