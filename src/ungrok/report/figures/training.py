"""Training curves with their stages."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import (
    COLUMNS,
    SPLITS,
    WIDTH,
    Picture,
    accuracy_axis,
    band,
    color,
    log_ticks,
    logarithmic,
    steps_axis,
)
from ungrok.report.format import missing, number, plural
from ungrok.report.view import View
from ungrok.train.robustness import column as robust_column
from ungrok.train.stages import step_of

ROBUST = ("#009E73", "#CC79A7", "#8C564B", "#7F7F7F")


def training(view: View) -> Iterator[Picture]:
    """Yield accuracy, loss and weight norm along training (the paper's Figure 1a), one column per arm, three on a picture."""
    how = (
        f"Lines are medians and bands ranges over {plural(len(view.recipe.seeds), 'seed')}; vertical lines mark each stage at its "
        "median step, and gray the delay, from the median step of memorizing to that of grokking."
    )
    for place in range(0, len(view.arms), COLUMNS):
        arms = view.arms[place : place + COLUMNS]
        name, title = "training", "Training"
        if len(view.arms) > COLUMNS:
            name, title = f"training-{place // COLUMNS + 1}", f"Training, arms {', '.join(arms)}"
        yield Picture(name, title, how, _training(view, arms))


def _training(view: View, arms: list[str]) -> Figure:
    figure = Figure(figsize=(max(WIDTH, 2.6 * len(arms)), 5.0), layout="constrained")
    grid = figure.subplots(3, len(arms), sharex=True, sharey="row", squeeze=False, height_ratios=[2, 1.1, 1.1])
    first, last = first_step(view), max(2.0, float(view.results.curves["step"].max()))
    for column, arm in zip(grid.T, arms, strict=True):
        curves = view.results.curves[view.results.curves["arm"] == arm]
        _curve_panels(column, curves[curves["step"] >= first], attacks(view))
        steps_axis(column[0], first, last)
        stage_marks(view, column, arm)
        column[-1].set_xlabel("training step")
        if len(arms) > 1:
            column[0].set_title(arm, loc="left", pad=8 + 12 * max(len(view.recipe.stages_of(arm)) for arm in arms))
    for axes, label in zip(grid[:, 0], ("accuracy", "loss", "weight norm"), strict=True):
        axes.set_ylabel(label)
    low, high = grid[1, 0].get_ylim()
    log_ticks(grid[1, 0].yaxis, low, high, 1.3)
    heaviest = view.results.curves["weight_norm"].astype(float).max()
    grid[2, 0].set_ylim(0, 1.08 * heaviest if heaviest > 0 else 1)
    names = [Line2D([], [], color=c, linestyle=s, label=name) for name, (c, s) in SPLITS.items()]
    names += [
        Line2D(
            [],
            [],
            color=shade,
            linestyle=":",
            label=f"validation under {attack}",
        )
        for shade, attack in zip(ROBUST, attacks(view), strict=False)
    ]
    figure.legend(handles=names, loc="outside lower center", ncols=3)
    return figure


def first_step(view: View) -> float:
    """Return where the axis begins: one decade before the earliest memorized step."""
    earliest = view.results.transitions["memorized_step"].min()
    return 1.0 if pd.isna(earliest) else 10.0 ** max(0, math.floor(math.log10(max(1, earliest))) - 1)


def _curve_panels(column: Sequence[Axes], curves: pd.DataFrame, attacked: list[str]) -> None:
    accuracy, loss, norm = column
    for name, (shade, style) in SPLITS.items():
        band(accuracy, curves, f"{name}_accuracy", shade, style)
        band(loss, curves, f"{name}_loss", shade, style)
    band(norm, curves, "weight_norm", SPLITS["train"][0], "-")
    for shade, attack in zip(ROBUST, attacked, strict=False):
        if curves[robust_column(attack)].notna().any():
            band(accuracy, curves, robust_column(attack), shade, ":")
    accuracy_axis(accuracy)
    if (curves[[f"{name}_loss" for name in SPLITS]].astype(float) > 0).to_numpy().any():
        logarithmic(loss)


def attacks(view: View) -> list[str]:
    """Return the labels of the attacks under which some arm was measured, those of the base arm first."""
    measured = [view.recipe.for_arm(arm)[2].robustness for arm in view.arms]
    labels = dict.fromkeys(attack.label for one in measured if one for attack in one.attacks)
    return [label for label in labels if robust_column(label) in view.results.curves]


def stage_marks(view: View, column: Sequence[Axes], arm: str) -> None:
    """Mark each stage of an arm at its median step, named over the first panel, and shade the delay."""
    rows = view.results.transitions[view.results.transitions["arm"] == arm]
    steps = {stage: rows[f"stage_{stage}"].median() for stage in view.stages}
    there = sorted((float(step), stage) for stage, step in steps.items() if not pd.isna(step))
    delay = [rows[f"{name}_step"].median() for name in ("memorized", "grokked")]
    for axes in column:
        for step, stage in there:
            axes.axvline(max(step, 1), color=color(view, stage), linewidth=1)
        if not any(map(missing, delay)):
            axes.axvspan(min(delay), max(delay), color="#000000", alpha=0.06, linewidth=0)
    for index, (step, stage) in enumerate(there):
        # One line of text per stage, the earliest lowest, each to the left of its own mark: none can meet.
        where: dict[str, Any] = {
            "xycoords": column[0].get_xaxis_transform(),
            "textcoords": "offset points",
            "va": "bottom",
        }
        shade, high = color(view, stage), 3 + 12 * index
        column[0].annotate(
            view.names.stage(stage) if step_of(stage) is not None else f"{view.names.stage(stage)} {number(step)}",
            (max(step, 1), 1),
            (-3, high),
            color=shade,
            ha="right",
            **where,
        )
        leader = {"arrowstyle": "-", "color": shade, "shrinkA": 0, "shrinkB": 0}
        column[0].annotate("", (max(step, 1), 1), (0, high + 9), arrowprops=leader, ha="center", **where)
