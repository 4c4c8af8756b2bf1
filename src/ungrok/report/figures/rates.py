"""The search for learning rates: updates and damage at the target against the rate, and the rates that were chosen."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import FixedLocator, FuncFormatter, MaxNLocator, NullLocator

from ungrok.report.figures.drawing import GRAY, WIDTH, Picture, arm_slug, color, legend, log_ticks, of_arm, panel_title
from ungrok.report.format import level, number, slug
from ungrok.report.frontiers import every_rate
from ungrok.report.view import View
from ungrok.study.place import Place
from ungrok.study.search import Choice, chosen

DAMAGE = 0.02
"""Damage up to which a rate is chosen for its few updates, where a recipe searches for none."""

MARKS: dict[bool, dict[str, Any]] = {
    False: {"marker": ".", "markersize": 4, "alpha": 0.4},
    True: {"marker": "o", "markersize": 5, "alpha": 0.75},
}
"""How a seed's rate is drawn, by whether it was chosen."""


@dataclass(frozen=True)
class Tried:
    """What one stage's seeds took at each rate.

    Args:
        table: One row per seed and rate that reached the target: ``seed``, ``rate``, ``updates``, ``damage`` and ``chosen``.
        seeds: Number of seeds that had anything to forget.

    """

    table: pd.DataFrame
    seeds: int

    def median(self, name: str) -> pd.Series[float]:
        """Return the median over seeds by rate, where at least half of them reached the target."""
        by_rate = self.table.groupby("rate")[name]
        return by_rate.median()[by_rate.count() * 2 >= self.seeds]


def limit(view: View) -> float:
    """Return the damage up to which a rate is chosen for its few updates."""
    return view.recipe.search.damage if view.recipe.search else DAMAGE


def tried(view: View, arm: str, stage: str, forget: str, method: str) -> Tried:
    """Return what every seed of a stage that had anything to forget took at every rate, and which rate was chosen for it."""
    places = {
        rate: view.tracks(Place(arm, stage, forget, label)) for rate, label in every_rate(view, method).items() if rate
    }
    target, damage = number_of(view), limit(view)
    there = {seed: path for paths in places.values() for seed, path in paths.items()}
    seeds = [seed for seed in view.recipe.seeds if seed in there and there[seed].status(target) != "nothing"]
    rows: list[dict[str, Any]] = []
    for seed in seeds:
        own = {rate: paths[seed] for rate, paths in places.items() if seed in paths}
        best = chosen(own, target, damage)
        for rate, path in own.items():
            choice: Choice | None = chosen({rate: path}, target, damage)
            if choice is not None:
                marked = best is not None and best.rate == rate
                rows.append(
                    {"seed": seed, "rate": rate, "updates": choice.updates, "damage": choice.damage, "chosen": marked}
                )
    return Tried(pd.DataFrame(rows, columns=["seed", "rate", "updates", "damage", "chosen"]), len(seeds))


def number_of(view: View) -> float:
    """Return the target of a search: the first that is a number."""
    primary = view.primary
    assert not isinstance(primary, str)
    return primary


def rate_search(view: View, arm: str, forget: str) -> Iterator[Picture]:
    """Plot, per method whose rate was searched, updates and damage at the target against the rate, one line per stage."""
    if isinstance(view.primary, str):
        return
    methods = [method for method in view.methods if len(every_rate(view, method)) > 1]
    own = {(m, stage): tried(view, arm, stage, forget, m) for m in methods for stage in view.stages}
    methods = [method for method in methods if any(len(own[method, stage].table) for stage in view.stages)]
    if not methods:
        return
    figure = Figure(figsize=(WIDTH, 4.4), layout="constrained")
    grid = figure.subplots(2, len(methods), sharex="col", squeeze=False)
    for column, method in zip(grid.T, methods, strict=True):
        for stage in view.stages:
            for axes, name, scale in zip(column, ("updates", "damage"), (1, 100), strict=True):
                _lines(axes, own[method, stage], name, scale, color(view, stage))
        panel_title(column[0], view.names.method(method))
        _axes(column, sorted(rate for rate in every_rate(view, method) if rate), 100 * limit(view), 10 // len(methods))
    grid[0, 0].set_ylabel("updates to target")
    grid[1, 0].set_ylabel("damage, percentage points")
    figure.supxlabel("learning rate")
    there = [stage for stage in view.stages if any(len(own[method, stage].table) for method in methods)]
    marks = [Line2D([], [], color=color(view, stage), label=view.names.stage(stage)) for stage in there]
    legend(
        figure,
        [
            *marks,
            Line2D([], [], color=GRAY, marker="o", markersize=5, linestyle="", label="chosen"),
            Line2D([], [], color=GRAY, marker=".", markersize=4, alpha=0.5, linestyle="", label="other rates"),
            Line2D([], [], color=GRAY, linestyle="--", linewidth=0.8, label="accepted damage"),
        ],
    )
    how = (
        f"Where {level(view.primary)} is first reached. Lines are medians over seeds while at least half of them get there. For each seed the rate with "
        "the fewest updates is chosen among those whose damage (validation accuracy below the oracle's) is accepted, else the one with the "
        "least damage."
    )
    title = f"Search for learning rates, forgetting {view.names.forget(forget)}{of_arm(view, arm)}"
    yield Picture(slug("rates", *arm_slug(arm), forget), title, how, figure)


def _lines(axes: Axes, one: Tried, name: str, scale: float, shade: str) -> None:
    middle = one.median(name)
    axes.plot(middle.index, scale * middle, color=shade, linewidth=1.4)
    for marked, style in MARKS.items():
        rows = one.table[one.table["chosen"].astype(bool) == marked]
        axes.plot(rows["rate"], scale * rows[name], linestyle="", color=shade, markeredgewidth=0, **style)


def _axes(column: Any, rates: list[float], accepted: float, room: int) -> None:
    """Scale both panels of a method; ``room`` is how many rates can be named under them."""
    above, below = column
    above.set_xscale("log")
    above.set_yscale("log")
    low, high = above.get_ylim()
    log_ticks(above.yaxis, low, high, 1.3)
    below.axhline(accepted, color=GRAY, linestyle="--", linewidth=0.8, zorder=1)
    below.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10]))
    kept = rates[:: max(1, -(-len(rates) // room))]
    below.xaxis.set_major_locator(FixedLocator(kept))
    below.xaxis.set_minor_locator(NullLocator())
    below.xaxis.set_major_formatter(FuncFormatter(lambda value, _: number(value, 2)))
