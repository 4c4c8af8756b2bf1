"""Forgetting that lasts: what it costs over all tried places and rates, and what a repair brings back along each path."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import (
    GRAY,
    Picture,
    accuracy_axis,
    arm_slug,
    by_dose,
    color,
    dose_axis,
    held,
    legend,
    median,
    of_arm,
    own_scale,
    panel_title,
    panels,
)
from ungrok.report.format import POINTS, number, slug
from ungrok.report.frontiers import LEVELS, Floats, every_rate, median_of_seeds
from ungrok.report.view import View
from ungrok.study.names import metric_name
from ungrok.study.place import Place
from ungrok.study.recipe_stress import lasting_target

SECTION = "lasting"
"""The section of the page that these figures stand in."""

SIDES: dict[str, Any] = {"": "-", "_after": "--"}
"""How values before and after the repair are drawn, by the ending of their columns."""


def lasting(view: View) -> Iterator[Picture]:
    """Plot, per forget split, what lasting forgetting costs, and UA before and after the repair along the paths at the recipe's rates."""
    table = view.results.lasting
    for arm in view.arms:
        for forget in view.recipe.forget_labels():
            here = table[(table["arm"] == arm) & (table["forget"] == forget) & table["dose"].notna()]
            methods = [m for m in view.methods if here["method"].isin(every_rate(view, m).values()).any()]
            if methods:
                yield _frontier(view, here, methods)
                yield _repaired(view, here, [m for m in methods if (here["method"] == m).any()])


def lasting_damage(rows: pd.DataFrame, damage: Floats, levels: Floats = LEVELS) -> Floats:
    """Return the least damage over all tried places whose UA is at or below a level both before and after the repair.

    Args:
        rows: Tried places of one seed and side, at any rates: columns ``UA`` and ``UA_after``.
        damage: Their damage, shape (places,).
        levels: Levels of UA.

    Returns:
        Of the shape of ``levels``; NaN where no place gets to a level.

    """
    ua = np.maximum(*(rows[name].to_numpy(dtype=np.float64) for name in ("UA", "UA_after")))
    there = (ua[:, None] <= levels + 1e-9) & np.isfinite(damage)[:, None]
    least = np.where(there, damage[:, None], np.inf).min(axis=0, initial=np.inf)
    return np.where(np.isfinite(least), least, np.nan)


def judged_by(rows: pd.DataFrame) -> tuple[str, bool]:
    """Return the accuracy by which damage is judged, bystander accuracy or TA, and whether there are oracles to compare it with."""
    known = [name for name in ("bystander_accuracy", "TA") if rows[name].notna().any()]
    beside = [name for name in known if rows[f"oracle_{name}"].notna().any()]
    return (beside or known or ["TA"])[0], bool(beside)


def _frontier(view: View, here: pd.DataFrame, methods: Sequence[str]) -> Picture:
    arm, forget = (str(here[name].iloc[0]) for name in ("arm", "forget"))
    accuracy, beside = judged_by(here)
    figure, grid = panels(len(methods), share=False)
    for axes, method in zip(grid, methods, strict=True):
        rates = here[here["method"].isin(every_rate(view, method).values())]
        for stage, own in rates.groupby("stage", sort=False):
            _costs(view, axes, str(stage), own, accuracy, beside=beside)
        axes.axhline(0, color=GRAY, linewidth=0.6, zorder=1)
        panel_title(axes, view.names.method(method))
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.5, 1])
        axes.set_xlabel("forgotten for good, 1 − UA", labelpad=1)
        own_scale(axes, 2.0)
    since = "beyond the oracle" if beside else "since the start"
    figure.supylabel(f"lost {since},\n{POINTS}", multialignment="center")
    repair = ["before the repair", "after the repair"]
    kinds = [Line2D([], [], color=GRAY, linestyle=s, label=t) for s, t in zip(SIDES.values(), repair, strict=True)]
    legend(figure, [*_stages(view, here), *kinds])
    block = view.recipe.lasting
    updates = block.updates if block else 0
    how = (
        f"Right is more forgotten, low is less damage, in {metric_name(accuracy)}. A place on a path counts at the larger of its UA before and after {updates} repairing updates on "
        f"retained data alone; a line is the least damage over all tried places and rates at which so much is forgotten for good, "
        "the median over seeds, and ends where fewer than half of the seeds get. Points are single places, before the repair. Each panel has its own scale."
    )
    title = f"What lasting forgetting costs, forgetting {view.names.forget(forget)}{of_arm(view, arm)}"
    return Picture(slug("lasting-frontier", *arm_slug(arm), forget), title, how, figure, SECTION)


def _costs(view: View, axes: Axes, stage: str, rows: pd.DataFrame, accuracy: str, *, beside: bool) -> None:
    """Draw the frontier of one method and stage, before and after the repair, over the tried places."""
    shade = color(view, stage)
    for suffix, style in SIDES.items():
        lost = rows.assign(damage=_lost(view, rows, accuracy, suffix, beside=beside))
        every = [lasting_damage(own, own["damage"].to_numpy()) for _, own in lost.groupby("seed")]
        axes.plot(1 - LEVELS, 100 * median_of_seeds(np.array(every)), color=shade, linestyle=style, zorder=3)
        if not suffix:
            worse = lost[["UA", "UA_after"]].astype("float64").max(axis=1)
            axes.plot(1 - worse, 100 * lost["damage"], ".", color=shade, alpha=0.35, markersize=4, markeredgewidth=0)


def _lost(view: View, rows: pd.DataFrame, accuracy: str, suffix: str, *, beside: bool) -> pd.Series[float]:
    if beside:
        reference = rows[f"oracle_{accuracy}"].astype("float64")
    else:
        keys = zip(*(rows[name] for name in ("arm", "stage", "forget", "method", "seed")), strict=True)
        starts = [view.tracks(Place(*map(str, place))).get(int(seed)) for *place, seed in keys]
        values = [np.nan if track is None else track.start[accuracy] for track in starts]
        reference = pd.Series(values, index=rows.index, dtype="float64")
    return reference - rows[f"{accuracy}{suffix}"].astype("float64")


def _repaired(view: View, here: pd.DataFrame, methods: Sequence[str]) -> Picture:
    arm, forget = (str(here[name].iloc[0]) for name in ("arm", "forget"))
    target = lasting_target(view.recipe.claims)
    figure, grid = panels(len(methods))
    for axes, method in zip(grid, methods, strict=True):
        own = here[here["method"] == method]
        doses = [float(dose) for dose in own["dose"]]
        for stage, rows in own.groupby("stage", sort=False):
            doses += _before_and_after(view, axes, Place(arm, str(stage), forget, method), rows)
        axes.axhline(target, color=GRAY, linewidth=0.8, linestyle=(0, (1, 2)), zorder=1)
        panel_title(axes, view.names.method(method))
        accuracy_axis(axes)
        dose_axis(axes, doses, view.one_shot(method))
    figure.supylabel("UA")
    block = view.recipe.lasting
    updates = block.updates if block else 0
    handles = [
        Line2D([], [], color=GRAY, linestyle="-", label="along the path"),
        Line2D([], [], color=GRAY, linestyle="--", marker=".", label="after the repair"),
        Line2D([], [], color=GRAY, linewidth=0.8, linestyle=(0, (1, 2)), label=f"target {number(target)}"),
    ]
    legend(figure, [*_stages(view, here), *handles])
    how = (
        f"Solid: UA along the path. Dashed: UA after {updates} more updates on retained data alone from the tried places, at the repair's strongest rate; both medians over seeds, "
        "points are single seeds. Forgetting lasts where the dashed line stays under the target; where it lies far above the solid one, it was hidden."
    )
    title = f"What a repair brings back, forgetting {view.names.forget(forget)}{of_arm(view, arm)}"
    return Picture(slug("lasting-repair", *arm_slug(arm), forget), title, how, figure, SECTION)


def _before_and_after(view: View, axes: Axes, place: Place, rows: pd.DataFrame) -> list[float]:
    """Draw UA along the paths of one place, and after the repair where it was tried; return the doses of the paths."""
    shade, tracks = color(view, place.stage), view.tracks(place)
    along = by_dose(tracks, "UA")
    axes.plot(along.index, median(along), color=shade, zorder=2)
    tried = {int(str(seed)): own.set_index("dose")["UA_after"].astype("float64") for seed, own in rows.groupby("seed")}
    after = held(tried)
    axes.plot(after.index, median(after), color=shade, linestyle="--", zorder=3)
    axes.plot(
        rows["dose"].astype("float64"),
        rows["UA_after"].astype("float64"),
        ".",
        color=shade,
        alpha=0.35,
        markersize=4,
        markeredgewidth=0,
    )
    return [float(dose) for dose in along.index]


def _stages(view: View, here: pd.DataFrame) -> list[Line2D]:
    there = set(here["stage"])
    return [Line2D([], [], color=color(view, s), label=view.names.stage(s)) for s in view.stages if s in there]
