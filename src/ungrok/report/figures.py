"""Figures, for the page and for papers: 7.2 inches wide, 8 points and up, one color per stage everywhere."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea
from matplotlib.ticker import FixedLocator, FuncFormatter, LogLocator, NullFormatter, NullLocator

from ungrok.report.format import level, missing, number, p_value, plural, slug
from ungrok.report.view import Tracks, View
from ungrok.study.claims import comparison_label
from ungrok.study.recipe import BASE
from ungrok.study.statistics import Times, kaplan_meier, log_rank
from ungrok.train.stages import stage_name

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.labelsize": 8.5,
    "xtick.labelsize": 8,
    "ytick.labelsize": 8,
    "figure.labelsize": 8.5,
    "legend.fontsize": 8.5,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.linewidth": 0.7,
    "xtick.major.width": 0.7,
    "ytick.major.width": 0.7,
    "lines.linewidth": 1.6,
    "lines.solid_capstyle": "round",
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}

WIDTH = 7.2
COLUMNS = 3
"""Panels side by side at that width."""

# Okabe & Ito's palette: seen alike by most kinds of color blindness.
COLORS = {"pre_grok": "#0072B2", "grokked": "#D55E00", "memorized": "#009E73", "final": "#CC79A7"}
MORE_COLORS = ("#E69F00", "#56B4E9", "#8C564B", "#000000", "#7F7F7F")
SPLITS: dict[str, tuple[str, Any]] = {
    "train": ("#000000", "-"),
    "validation": ("#56B4E9", "-"),
    "test": ("#E69F00", "--"),
}
ROBUST = ("#009E73", "#CC79A7", "#8C564B", "#7F7F7F")
DROPS: tuple[tuple[str, Any], ...] = (("TA", "-"), ("RA", "--"))
GRAY = "#888888"


@dataclass(frozen=True)
class Picture:
    """A figure with its file name, its title and one sentence on how to read it."""

    name: str
    title: str
    how: str
    figure: Figure


def pictures(view: View) -> Iterator[Picture]:
    """Yield every figure that the study has data for; meant to run within ``STYLE``."""
    yield from training(view)
    yield from along_trajectory(view)
    for arm in view.arms:
        for forget in view.recipe.forget_labels():
            yield from doses(view, arm, forget)
    for index in range(len(view.comparisons())):
        yield from survival(view, index)
    for arm in view.arms:
        for forget in view.recipe.forget_labels():
            yield from frontier(view, arm, forget)


def color(view: View, stage: str) -> str:
    """Return a stage's color: the same in every figure and, for named stages, in every study."""
    others = [name for name in view.stages if name not in COLORS]
    return COLORS.get(stage) or MORE_COLORS[others.index(stage) % len(MORE_COLORS) if stage in others else -1]


def _grid(count: int, height: float = 1.75) -> tuple[Figure, list[Axes]]:
    """Return small multiples that share their vertical axis, three or four to a row."""
    columns = min(count, 3 if count <= 9 else 4)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, 0.7 + height * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharey=True, squeeze=False).flat)
    for empty in grid[count:]:
        empty.set_axis_off()
    return figure, grid[:count]


def _legend(figure: Figure, handles: Sequence[Line2D]) -> None:
    rows = math.ceil(len(handles) / 5)
    figure.legend(handles=handles, loc="outside upper center", ncols=math.ceil(len(handles) / rows), columnspacing=1.4)


def _handles(view: View, arm: str, forget: str) -> list[Line2D]:
    """Return a legend entry for each stage from which there is a path."""
    there = {place[1] for place in view.paths if place[0] == arm and place[2] == forget}
    return [Line2D([], [], color=color(view, stage), label=stage) for stage in view.stages if stage in there]


def _filled(text: str, width: int = 22) -> str:
    """Break a title at spaces and after underscores."""
    return textwrap.fill(text.replace("_", "_ "), width).replace("_ ", "_")


def _title(axes: Axes, text: str, beside: Sequence[tuple[str, str]] | None = None) -> None:
    """Write the title, and under it, on the right, short texts in their colors."""
    axes.set_title(_filled(text), loc="left", pad=4 if beside is None else 14)
    texts: list[Artist] = [TextArea(words, textprops={"color": shade, "fontsize": 8}) for words, shade in beside or ()]
    if texts:
        box = HPacker(children=texts, pad=0, sep=5)
        anchor: dict[str, Any] = {"bbox_to_anchor": (1, 1.01), "bbox_transform": axes.transAxes}
        axes.add_artist(AnchoredOffsetbox("lower right", child=box, pad=0, borderpad=0, frameon=False, **anchor))


def _accuracy_axis(axes: Axes, label: str = "") -> None:
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel(label)


def _steps_axis(axes: Axes, first: float, last: float, decades: float = 2.5) -> None:
    axes.set_xscale("log")
    axes.set_xlim(first, last * 1.02)
    _log_ticks(axes.xaxis, first, last, decades)


def _log_ticks(axis: XAxis | YAxis, low: float, high: float, decades: float) -> None:
    """Label powers of ten, and 2 and 5 times them where the range spans fewer decades than given."""
    if not 0 < low < high < math.inf:  # nothing finite was drawn
        return
    wide = math.log10(high) - math.log10(low) > decades
    axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5), numticks=9 if axis.axis_name == "x" else 5))
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    axis.set_minor_formatter(NullFormatter())


def _dose_axis(axes: Axes, doses: Sequence[float], one_shot: bool) -> None:
    """Logarithmic from the smallest dose on, with a place for 0, so that equal ratios are equal distances."""
    positive = [dose for dose in doses if dose > 0] or [1.0]
    low, high = min(positive), max(positive)
    axes.set_xscale("symlog", linthresh=low, linscale=max(0.2, 0.14 * math.log10(high / low)))
    decades = range(math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9) + 1)
    kept = list(decades)[:: max(1, math.ceil(len(decades) / 3))]
    axes.xaxis.set_major_locator(FixedLocator([0, *(10.0**k for k in kept)]))
    axes.xaxis.set_minor_locator(NullLocator())
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: _power(value) if one_shot else number(value)))
    axes.set_xlim(0, high * 1.15)
    axes.set_xlabel("strength" if one_shot else "updates", labelpad=1)


def _power(value: float) -> str:
    return "0" if value == 0 else f"$10^{{{round(math.log10(value))}}}$"


def _wide(tracks: Tracks, name: str) -> pd.DataFrame:
    """Return one column per seed over all doses; a value holds until the next one, none after the last finite one."""
    columns = {}
    for seed, track in tracks.items():
        columns[seed] = track.rows.set_index("dose")[name].astype(float)
    table = pd.DataFrame(columns).sort_index()
    ends = {seed: values.last_valid_index() for seed, values in columns.items()}
    filled = table.ffill()
    for seed, end in ends.items():
        filled.loc[filled.index > end if end is not None else filled.index >= 0, seed] = np.nan
    return filled


def _median(wide: pd.DataFrame) -> pd.Series[float]:
    """Return the median over seeds while at least half of them are there."""
    return wide.median(axis=1).where(wide.notna().sum(axis=1) * 2 >= wide.shape[1])


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
    first, last = _first_step(view), max(2.0, float(view.results.curves["step"].max()))
    for column, arm in zip(grid.T, arms, strict=True):
        curves = view.results.curves[view.results.curves["arm"] == arm]
        _curve_panels(column, curves[curves["step"] >= first])
        _steps_axis(column[0], first, last)
        _stage_marks(view, column, arm)
        column[-1].set_xlabel("training step")
        if len(arms) > 1:
            column[0].set_title(arm, loc="left", pad=8 + 12 * max(len(view.recipe.stages_of(arm)) for arm in arms))
    for axes, label in zip(grid[:, 0], ("accuracy", "loss", "weight norm"), strict=True):
        axes.set_ylabel(label)
    low, high = grid[1, 0].get_ylim()
    _log_ticks(grid[1, 0].yaxis, low, high, 1.3)
    heaviest = view.results.curves["weight_norm"].astype(float).max()
    grid[2, 0].set_ylim(0, 1.08 * heaviest if heaviest > 0 else 1)
    names = [Line2D([], [], color=c, linestyle=s, label=name) for name, (c, s) in SPLITS.items()]
    names += [
        Line2D([], [], color=shade, linestyle=":", label=f"validation under {name[12:-9]}")
        for shade, name in zip(ROBUST, robust_columns(view.results.curves), strict=False)
    ]
    figure.legend(handles=names, loc="outside lower center", ncols=3)
    return figure


def _first_step(view: View) -> float:
    """Return where the axis begins: one decade before the earliest memorized step."""
    earliest = view.results.transitions["memorized_step"].min()
    return 1.0 if pd.isna(earliest) else 10.0 ** max(0, math.floor(math.log10(max(1, earliest))) - 1)


def _curve_panels(column: Sequence[Axes], curves: pd.DataFrame) -> None:
    accuracy, loss, norm = column
    for name, (shade, style) in SPLITS.items():
        _band(accuracy, curves, f"{name}_accuracy", shade, style)
        _band(loss, curves, f"{name}_loss", shade, style)
    _band(norm, curves, "weight_norm", SPLITS["train"][0], "-")
    for shade, name in zip(ROBUST, robust_columns(curves), strict=False):
        if curves[name].notna().any():
            _band(accuracy, curves, name, shade, ":")
    _accuracy_axis(accuracy)
    if (curves[[f"{name}_loss" for name in SPLITS]].astype(float) > 0).to_numpy().any():
        loss.set_yscale("log")


def robust_columns(curves: pd.DataFrame) -> list[str]:
    """Return the metrics that hold robust accuracies, in the order of the recipe's attacks."""
    return [name for name in map(str, curves) if name.startswith("adversarial_")]


def _band(axes: Axes, curves: pd.DataFrame, name: str, shade: str, style: Any) -> None:
    wide = curves.astype({name: float}).pivot(index="step", columns="seed", values=name)
    axes.plot(wide.index, wide.median(axis=1), color=shade, linestyle=style)
    if wide.shape[1] > 1:
        axes.fill_between(
            wide.index.to_numpy(dtype=float), wide.min(axis=1), wide.max(axis=1), color=shade, alpha=0.18, linewidth=0
        )


def _stage_marks(view: View, column: Sequence[Axes], arm: str) -> None:
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
            stage if stage.startswith("step-") else f"{stage} {number(step)}",
            (max(step, 1), 1),
            (-3, high),
            color=shade,
            ha="right",
            **where,
        )
        leader = {"arrowstyle": "-", "color": shade, "shrinkA": 0, "shrinkB": 0}
        column[0].annotate("", (max(step, 1), 1), (0, high + 9), arrowprops=leader, ha="center", **where)


def along_trajectory(view: View) -> Iterator[Picture]:
    """Plot UA, RA and TA after the matched dose against the step at which training stopped (the paper's Figure 1b)."""
    along = view.recipe.along
    if along is None or along.unlearn not in view.budgets:
        return
    dose = view.budgets[along.unlearn][1]
    places = _sweep_places(view, along.forget, along.unlearn, dose)
    if places.empty:
        return
    figure = Figure(figsize=(WIDTH, 2.5), layout="constrained")
    for axes, name in zip(figure.subplots(1, 3, sharey=True), ("UA", "RA", "TA"), strict=True):
        _sweep_panel(view, axes, places, name)
        axes.set_title(name, loc="left")
        axes.set_xlabel("training step")
        _steps_axis(axes, max(1.0, places["step"].min() * 0.8), float(places["step"].max()) * 1.15, 1.2)
    figure.axes[0].set_ylabel("accuracy")
    handles = [
        Line2D([], [], color="#000000", label="after unlearning"),
        Line2D([], [], color=GRAY, linestyle="--", label="before"),
        *(Line2D([], [], color=color(view, s), marker="D", linestyle="", markersize=5, label=s) for s in view.stages if (places["stage"] == s).any()),
    ]  # fmt: skip
    if places["diverged"].any():
        handles.append(Line2D([], [], color="#000000", marker="x", linestyle="", label="diverged"))
    _legend(figure, handles)
    unit = f"strength {dose:g}" if view.one_shot(along.unlearn) else plural(round(dose), "update")
    how = (
        f"Each point is one checkpoint of one seed after {unit} of {along.unlearn} on {along.forget}; lines are medians over seeds, "
        "diamonds those of the named stages, and the distance from dashed to solid is what unlearning changed."
    )
    yield Picture("trajectory", "Unlearning along the trajectory", how, figure)


def _sweep_places(view: View, forget: str, method: str, dose: float) -> pd.DataFrame:
    """Return one row per stage and seed: accuracies at the start and at the dose."""
    rows = []
    for (arm, stage, split, label), tracks in view.paths.items():
        if (arm, split, label) == (BASE, forget, method):
            for seed, track in tracks.items():
                start, end = track.start, track.at_dose(dose)
                names = {
                    f"{name}{tail}": row[name]
                    for name in ("UA", "RA", "TA")
                    for tail, row in (("", end), ("_start", start))
                }
                rows.append({"stage": stage, "seed": seed, "step": start["step"], "diverged": end["diverged"], **names})
    return pd.DataFrame(rows)


def _sweep_panel(view: View, axes: Axes, places: pd.DataFrame, name: str) -> None:
    swept = places[~places["stage"].isin(view.stages)]
    before, after = (swept.pivot(index="step", columns="seed", values=column) for column in (f"{name}_start", name))
    axes.plot(before.index, before.median(axis=1), color=GRAY, linestyle="--", linewidth=1.1)
    axes.plot(after.index, _median(after), color="#000000")
    axes.plot(swept["step"], swept[name], ".", color="#000000", alpha=0.35, markersize=4)
    for stage in view.stages:
        here = places[places["stage"] == stage]
        shade = color(view, stage)
        axes.plot(here["step"], here[name], ".", color=shade, alpha=0.4, markersize=4)
        axes.plot(
            [here["step"].median()], [here[name].median()], "D", color=shade, markersize=6, markeredgecolor="white"
        )
    broken = places[places["diverged"]]
    if len(broken):
        axes.plot(broken["step"], [-0.03] * len(broken), "x", color="#000000", markersize=4, clip_on=False)
    _accuracy_axis(axes)


def _of_arm(view: View, arm: str) -> str:
    return f", arm {arm}" if len(view.arms) > 1 else ""


def _arm_slug(arm: str) -> list[str]:
    return [] if arm == BASE else [arm]


def _with_paths(view: View, arm: str, forget: str) -> list[str]:
    return [m for m in view.methods if any(view.tracks(arm, stage, forget, m) for stage in view.stages)]


def _all_doses(view: View, arms: Sequence[str], forgets: Sequence[str], method: str) -> list[float]:
    rows = view.results.rows
    here = rows[rows["arm"].isin(arms) & rows["forget"].isin(forgets) & (rows["method"] == method)]
    return [float(dose) for dose in here["dose"].unique()]


def doses(view: View, arm: str, forget: str) -> Iterator[Picture]:
    """Plot UA against dose, one panel per method and one line per stage (the paper's Figure 2)."""
    methods = _with_paths(view, arm, forget)
    if not methods:
        return
    figure, grid = _grid(len(methods))
    marks: set[str] = set()
    for axes, method in zip(grid, methods, strict=True):
        for target in view.recipe.claims.targets:
            if not isinstance(target, str):
                axes.axhline(target, color=GRAY, linestyle="--", linewidth=0.8, zorder=1)
        for stage in view.stages:
            marks |= _dose_lines(view, axes, arm, stage, forget, method)
        _title(axes, method, _unreached(view, arm, forget, method))
        _accuracy_axis(axes)
        _dose_axis(axes, _all_doses(view, [arm], [forget], method), view.one_shot(method))
    figure.supylabel("UA")
    extra = [
        Line2D([], [], color=GRAY, linestyle="--", linewidth=0.8, label="target"),
        Line2D([], [], color=GRAY, linestyle=":", linewidth=1.2, label="UA of the oracle"),
        Line2D([], [], color=GRAY, marker="o", markerfacecolor="white", linestyle="", label="target never reached"),
        Line2D([], [], color=GRAY, marker="x", linestyle="", label="diverged"),
    ]
    _legend(figure, [*_handles(view, arm, forget), *(h for h in extra if h.get_label() in {"target", *marks})])
    how = (
        "The further left a line falls, the less it takes to forget: bold is the median over seeds while at least half are "
        f"finite, faint lines are seeds, and k/n says how many of n seeds never reached {level(view.primary)}."
    )
    title = f"UA against dose, forget split {forget}{_of_arm(view, arm)}"
    yield Picture(slug("dose", *_arm_slug(arm), forget), title, how, figure)


def _dose_lines(view: View, axes: Axes, arm: str, stage: str, forget: str, method: str) -> set[str]:
    """Draw one stage's paths and return which marks of the legend were used."""
    tracks = view.tracks(arm, stage, forget, method)
    if not tracks:
        return set()
    shade, used = color(view, stage), set()
    wide = _wide(tracks, "UA")
    axes.plot(wide.index, wide, color=shade, alpha=0.22, linewidth=0.7)
    axes.plot(wide.index, _median(wide), color=shade, linewidth=1.8, zorder=3)
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
    reached = [(view.reach(arm, stage, forget, method), color(view, stage)) for stage in view.stages]
    found = [(f"{reach.censored}/{reach.n}", shade) for reach, shade in reached if reach.censored]
    return [("not reached", GRAY), *found] if found else []


def survival(view: View, index: int) -> Iterator[Picture]:
    """Plot, for one comparison, the share of seeds still short of the primary target against dose."""
    left, right, *forgets = view.comparisons()[index]
    sides = [(side.arm, stage_name(side.stage), forget) for side, forget in zip((left, right), forgets, strict=True)]
    methods = [m for m in view.methods if any(view.reach(*side, m).at_risk for side in sides)]
    if not methods:
        return
    same = sides[0][1] == sides[1][1]
    styles: list[tuple[Any, float]] = [("-", 2.6), ("--" if same else "-", 1.3)]
    figure, grid = _grid(len(methods))
    for axes, method in zip(grid, methods, strict=True):
        times = [view.reach(*side, method).survival() for side in sides]
        for side, (style, thick), time in zip(sides, styles, times, strict=True):
            if time is not None:
                jumps, shares = (list(values) for values in kaplan_meier(time))
                steps = [0, *jumps, time.time.max()], [1, *shares, (shares or [1])[-1]]
                axes.step(*steps, where="post", color=color(view, side[1]), linestyle=style, linewidth=thick)
        _title(axes, method, _log_rank(*times))
        _accuracy_axis(axes)
        _dose_axis(axes, _all_doses(view, [s[0] for s in sides], forgets, method), view.one_shot(method))
    figure.supylabel("share of seeds short of the target")
    labels = [side.label for side in (left, right)]
    _legend(
        figure,
        [
            Line2D([], [], color=color(view, side[1]), linestyle=style, linewidth=thick, label=label)
            for side, (style, thick), label in zip(sides, styles, labels, strict=True)
        ],
    )
    split = forgets[0] if forgets[0] == forgets[1] else " → ".join(forgets)
    how = (
        "A curve steps down whenever a seed reaches the target and stays up where seeds never do (Kaplan-Meier); p is that of the "
        "log-rank test, descriptive only: it ignores that seeds are paired."
    )
    title = f"Seeds short of {level(view.primary)}, {comparison_label(left, right)}, forget split {split}"
    yield Picture(slug("survival", left.label, right.label, split), title, how, figure)


def _log_rank(left: Times | None, right: Times | None) -> list[tuple[str, str]]:
    if left is None or right is None:
        return []
    p = p_value(log_rank(left, right))
    return [(f"p {p}" if p.startswith("<") else f"p = {p}", GRAY)]


def frontier(view: View, arm: str, forget: str) -> Iterator[Picture]:
    """Plot what forgetting costs: the drop of TA and of RA when UA first falls to each level."""
    methods = _with_paths(view, arm, forget)
    if not methods:
        return
    figure, grid = _grid(len(methods))
    for axes, method in zip(grid, methods, strict=True):
        for stage in view.stages:
            _damage_lines(view, axes, arm, stage, forget, method)
        axes.axhline(0, color=GRAY, linewidth=0.6, zorder=1)
        _title(axes, method)
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.5, 1])
        axes.set_xlabel("forgotten, 1 − UA", labelpad=1)
    figure.supylabel("drop of accuracy")
    kinds = [Line2D([], [], color=GRAY, linestyle=style, label=f"{name} drop") for name, style in DROPS]
    _legend(figure, [*_handles(view, arm, forget), *kinds])
    how = (
        "Further right is more forgotten and lower is less damage: each line is the median over seeds of how far TA (solid) or RA "
        "(dashed) has dropped when UA first falls to a level; it ends where fewer than half of the seeds get."
    )
    title = f"Forgetting against damage, forget split {forget}{_of_arm(view, arm)}"
    yield Picture(slug("frontier", *_arm_slug(arm), forget), title, how, figure)


def _damage_lines(view: View, axes: Axes, arm: str, stage: str, forget: str, method: str) -> None:
    tracks = view.tracks(arm, stage, forget, method)
    for name, style in DROPS:
        drops = _median(pd.DataFrame({seed: _drop_at_levels(track.rows, name) for seed, track in tracks.items()}))
        axes.plot(1 - drops.index, drops, color=color(view, stage), linestyle=style, linewidth=1.4)


def _drop_at_levels(rows: pd.DataFrame, name: str) -> pd.Series[float]:
    """Return how far an accuracy has dropped when UA first falls to each level from 1 to 0."""
    levels = np.linspace(1, 0, 41)
    reached = (rows["UA"].to_numpy(dtype=float)[:, None] <= levels + 1e-9).T
    drops = rows[name].iloc[0] - rows[name].to_numpy(dtype=float)
    return pd.Series(np.where(reached.any(axis=1), drops[reached.argmax(axis=1)], np.nan), index=levels)
