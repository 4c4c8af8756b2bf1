"""Measures of mechanism along training beside their nulls, by layer, and against damage."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import product
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from ungrok.analyze.curvature import BEYOND
from ungrok.report.figures.drawing import (
    GRAY,
    SPLITS,
    WIDTH,
    Picture,
    accuracy_axis,
    band,
    color,
    filled,
    legend,
    logarithmic,
    steps_axis,
)
from ungrok.report.format import slug
from ungrok.report.mechanism import Mechanism, named, partial
from ungrok.study.mediation import MEASURE
from ungrok.study.names import metric_name
from ungrok.study.recipe_blocks import BASE, Level

PANELS = 12
"""At most so many measures in one figure."""


MARKERS = "osD^v<>P*X"


NARROW = 16
"""Two heat maps stand side by side where no layer has a name of more letters."""


SIGNS: dict[str, Any] = {"positive": "-", "negative": ":"}


CURVES = {name: SPLITS[name] for name in ("train", "test")}


def pictures(mechanism: Mechanism) -> Iterator[Picture]:
    """Yield the measures by stage or step, heat maps over layers, and the mediation plot."""
    for forget in mechanism.view.recipe.forget_labels():
        own = mechanism.before[mechanism.before["forget"] == forget]
        if len(own[["arm", "stage"]].drop_duplicates()) > 1:
            yield from _by_step(mechanism, own, forget)
            yield from _heat_maps(mechanism, own, forget)
        if len(own):
            yield from _spectra(mechanism, own, forget)
        here = mechanism.points[mechanism.points["forget"] == forget] if len(mechanism.points) else mechanism.points
        if len(here):
            yield _mediated(mechanism, here, forget)


def _by_step(mechanism: Mechanism, own: pd.DataFrame, forget: str) -> Iterator[Picture]:
    keys = mechanism.headline(own)[MEASURE].drop_duplicates().to_numpy().tolist()
    pages = range(0, len(keys), PANELS)
    for number, first in enumerate(pages, start=1):
        chosen = keys[first : first + PANELS]
        figure, tops, grid = _under_curves(mechanism, len(chosen))
        for axes, key in zip(grid, chosen, strict=True):
            _step_panel(mechanism, axes, own[(own[MEASURE] == key).all(axis=1)])
            axes.set_title(filled(" on ".join(filter(None, named(key)))), loc="left")
        positive = own["step"][own["step"] > 0]
        if len(positive):
            steps_axis(tops[0], 0.7 * float(positive.min()), 1.3 * float(positive.max()), 1.2)
        figure.supxlabel("training step")
        lines = [
            Line2D([], [], color=shade, linestyle=style, label=f"{name} accuracy")
            for name, (shade, style) in CURVES.items()
        ]
        null = Line2D([], [], color=GRAY, alpha=0.4, linewidth=6, label="null, 5 % to 95 %")
        marks = _handles(mechanism, [(a, str(s)) for a, s in own[["arm", "stage"]].to_numpy()])
        legend(figure, [*marks, *lines, null])
        how = (
            "On top the base arm's accuracies. Each point is one seed at one checkpoint before unlearning; the line is the base arm's median, and "
            "the gray band the first of the measure's nulls there (dashed: its median; few draws give no band). A line inside its band shows nothing about "
            "the forget set."
        )
        part = f", part {number} of {len(pages)}" if len(pages) > 1 else ""
        name = slug("mechanism", forget, *([str(number)] if len(pages) > 1 else []))
        yield Picture(name, f"Measures along training, {mechanism.view.names.forget(forget)}{part}", how, figure)


def _handles(mechanism: Mechanism, series: list[tuple[str, str]]) -> list[Line2D]:
    """Return a legend entry for each stage, each arm, and the other steps."""
    view, there = mechanism.view, {stage for _, stage in series}
    marks = [(view.names.stage(stage), "o", color(view, stage)) for stage in view.stages if stage in there]
    if there - set(view.stages):
        marks.append(("other steps", "o", "#000000"))
    if len(view.arms) > 1:
        marks += [(f"arm {arm}", _marker(mechanism, arm), GRAY) for arm in view.arms if arm in {a for a, _ in series}]
    return [Line2D([], [], color=c, marker=m, linestyle="", markersize=4, label=name) for name, m, c in marks]


def _marker(mechanism: Mechanism, arm: str) -> str:
    return MARKERS[mechanism.view.arms.index(arm) % len(MARKERS)]


def _under_curves(mechanism: Mechanism, count: int) -> tuple[Figure, list[Axes], list[Axes]]:
    """Return panels in columns, each column under the accuracy curves of the base arm, all with one axis of steps."""
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, 2.2 + 1.6 * rows), layout="constrained")
    every = figure.subplots(rows + 1, columns, sharex=True, squeeze=False, height_ratios=[0.7, *[1] * rows])
    curves = mechanism.view.results.curves
    curves = curves[(curves["arm"] == BASE) & (curves["step"] > 0)]
    for axes in every[0]:
        for name, (shade, style) in CURVES.items():
            band(axes, curves, f"{name}_accuracy", shade, style)
        accuracy_axis(axes)
    every[0][0].set_ylabel("accuracy")
    grid = list(every[1:].flat)
    for empty in grid[count:]:
        empty.set_axis_off()
    return figure, list(every[0]), grid[:count]


def _along(mechanism: Mechanism, own: pd.DataFrame, names: list[str]) -> pd.DataFrame:
    """Return the base arm's medians over seeds, by stage in the order of their median step, without checkpoints that are made to be equal."""
    made = [name for name, control in mechanism.view.recipe.controls.items() if not isinstance(control, Level)]
    table = own[(own["arm"] == BASE) & ~own["stage"].isin(made)]
    return table.groupby("stage")[["step", *names]].median().sort_values("step")


def _step_panel(mechanism: Mechanism, axes: Axes, own: pd.DataFrame) -> None:
    nulls, values = own[own["null"] != ""], own[own["null"] == ""]
    if len(nulls):
        band = _along(mechanism, nulls[nulls["null"] == nulls["null"].iloc[0]], ["low", "high", "value"])
        axes.plot(band["step"], band["value"], "--", color=GRAY, linewidth=0.8)
        axes.fill_between(
            band["step"].to_numpy(dtype=float), band["low"], band["high"], color=GRAY, alpha=0.4, linewidth=0
        )
    middle = _along(mechanism, values, ["value"])
    axes.plot(middle["step"], middle["value"], color="#000000", linewidth=1)
    for (arm, stage), group in values.groupby(["arm", "stage"], sort=False):
        shade = color(mechanism.view, str(stage)) if stage in mechanism.view.stages else "#000000"
        axes.plot(group["step"], group["value"], _marker(mechanism, str(arm)), color=shade, markersize=3, alpha=0.8)
    known = values["value"].dropna()
    if len(known) and known.min() > 0 and known.max() > 100 * known.min():
        logarithmic(axes)
    else:
        axes.yaxis.set_major_locator(MaxNLocator(3))


def _spectra(mechanism: Mechanism, own: pd.DataFrame, forget: str) -> Iterator[Picture]:
    """Yield one figure: how many eigenvalues of the Hessian lie beyond each power of ten, on forget, retain and both."""
    shares = own.assign(level=own["measure"].map(BEYOND)).dropna(subset=["level", "value"])
    sets = list(dict.fromkeys(shares["on"]))
    if not sets:
        return
    series = [s for s in mechanism.view.series if ((shares["arm"] == s[0]) & (shares["stage"] == s[1])).any()]
    arms = list(dict.fromkeys(arm for arm, _ in series))
    figure = Figure(figsize=(WIDTH, 1.2 + 1.5 * len(arms)), layout="constrained")
    grid = figure.subplots(len(arms), len(sets), sharex=True, sharey=True, squeeze=False)
    for (arm, row), (on, column) in product(zip(arms, grid, strict=True), zip(sets, range(len(sets)), strict=True)):
        row[column].set(xscale="log", yscale="log")
        row[column].set_title(on if len(arms) == 1 else f"{arm}, {on}", loc="left")
        for stage in [s for a, s in series if a == arm]:
            one = shares[(shares["on"] == on) & (shares["arm"] == arm) & (shares["stage"] == stage)]
            for sign, style in zip((1, -1), SIGNS.values(), strict=True):
                beyond = one[sign * one["level"] > 0]
                mean = beyond.groupby(beyond["level"].abs())["value"].mean()
                mean = mean[mean > 0]
                shade = color(mechanism.view, stage)
                row[column].plot(mean.index, mean, style, color=shade, linewidth=1.2, marker=".", markersize=3)
        if not any(len(line.get_xdata()) for line in row[column].lines):
            row[column].text(0.5, 0.5, "none", transform=row[column].transAxes, ha="center", color=GRAY)
    figure.supxlabel("size of the eigenvalue")
    figure.supylabel("share of eigenvalues beyond")
    there = dict.fromkeys(stage for _, stage in series)
    stages = [
        Line2D([], [], color=color(mechanism.view, s), label=mechanism.view.names.stage(s))
        for s in mechanism.view.stages
        if s in there
    ]
    kinds = [Line2D([], [], color=GRAY, linestyle=s, label=n) for n, s in SIGNS.items()]
    legend(figure, [*stages, *kinds])
    how = (
        "Share of the eigenvalues of the loss Hessian that are larger than a positive value (solid) or smaller than a negative one (dotted), by "
        "stochastic Lanczos quadrature before unlearning, mean over seeds; where a line ends there is none beyond."
    )
    yield Picture(
        slug("spectra", forget), f"Spectra of the Hessian, {mechanism.view.names.forget(forget)}", how, figure
    )


def _heat_maps(mechanism: Mechanism, own: pd.DataFrame, forget: str) -> Iterator[Picture]:
    """Yield one figure: of each analysis the first measure that has at least two layers, at the stages."""
    values = own[(own["null"] == "") & (own["layer"] != "model") & own["stage"].isin(mechanism.view.stages)]
    tables: dict[tuple[object, ...], pd.DataFrame] = {}
    for (analysis, measure, on), group in values.groupby(["analysis", "measure", "on"], sort=False):
        wide = group.pivot_table(index="layer", columns=["arm", "stage"], values="value", sort=False)
        if len(wide) >= 2 and wide.shape[1] >= 2 and analysis not in {key[0] for key in tables}:
            tables[analysis, measure, on] = wide
    if not tables:
        return
    longest = max(len(str(layer)) for wide in tables.values() for layer in wide.index)
    columns = min(len(tables), 2 if longest <= NARROW else 1)
    spare = -len(tables) % columns
    # The spare panel is at the top: the names of the stages stand under the last row.
    sizes = [len(wide) for wide in tables.values()]
    sizes[1:1] = [0] * spare
    heights = [0.6 + 0.18 * max(2, *sizes[i : i + columns]) for i in range(0, len(sizes), columns)]
    figure = Figure(figsize=(WIDTH, 1.2 + sum(heights)), layout="constrained")
    grid = list(figure.subplots(len(heights), columns, squeeze=False, height_ratios=heights).flat)
    if spare:
        grid.pop(1).set_axis_off()
    for place, (axes, ((_, measure, on), wide)) in enumerate(zip(grid, tables.items(), strict=True)):
        shade = axes.imshow(wide.to_numpy(dtype=float), aspect="auto", cmap="cividis")
        axes.set_title(filled(" on ".join(filter(None, (metric_name(str(measure)), str(on))))), loc="left")
        axes.set_yticks(range(len(wide)), [str(layer) for layer in wide.index])
        labels = [mechanism.view.label(*map(str, s)) for s in wide.columns] if place + columns >= len(tables) else []
        axes.set_xticks(range(len(labels)), labels, rotation=90)
        figure.colorbar(shade, ax=axes)
    how = (
        "Rows are layers in the order of the forward pass, columns stages before unlearning; the shade is the mean over seeds. Of each "
        "analysis the first measure is shown; the others are in mechanism.csv."
    )
    yield Picture(slug("layers", forget), f"Measures by layer, {mechanism.view.names.forget(forget)}", how, figure)


def _mediated(mechanism: Mechanism, here: pd.DataFrame, forget: str) -> Picture:
    own = mechanism.mediation[(mechanism.mediation["forget"] == forget) & (mechanism.mediation["outcome"] == "damage")]
    strongest = own.sort_values("partial", key=lambda p: -p.abs(), kind="stable").head(PANELS)
    figure, grid = _panels(len(strongest))
    for axes, row in zip(grid, strongest.to_dict("records"), strict=True):
        key = [row[name] for name in MEASURE]
        for (arm, stage), group in here[(here[MEASURE] == key).all(axis=1)].groupby(["arm", "stage"], sort=False):
            shade = color(mechanism.view, str(stage)) if stage in mechanism.view.stages else "#000000"
            axes.plot(group["change"], group["damage"], _marker(mechanism, str(arm)), color=shade, markersize=3.5)
        axes.axhline(0, color=GRAY, linewidth=0.6)
        axes.set_title(f"{filled(' on '.join(filter(None, named(key))))}\n{partial(row)}", loc="left")
        axes.xaxis.set_major_locator(MaxNLocator(3))
        axes.yaxis.set_major_locator(MaxNLocator(3))
    figure.supxlabel("change of the measure")
    figure.supylabel("change of damage (rank)")
    legend(figure, _handles(mechanism, [(str(a), str(s)) for a, s in here[["arm", "stage"]].to_numpy()]))
    how = (
        "Each point is one arm, stage and seed, as a difference from the first stage of the same seed's base arm. Above each panel "
        "stands the rank correlation given test accuracy, with its interval; the strongest come first."
    )
    return Picture(
        slug("mediation", forget),
        f"Do changes of measures go with changes of damage? {mechanism.view.names.forget(forget)}",
        how,
        figure,
    )


def _panels(count: int) -> tuple[Figure, list[Axes]]:
    columns = min(count, 3)
    rows = -(-count // columns)
    figure = Figure(figsize=(WIDTH, 0.9 + 1.6 * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, squeeze=False).flat)
    for empty in grid[count:]:
        empty.set_axis_off()
    return figure, grid[:count]
