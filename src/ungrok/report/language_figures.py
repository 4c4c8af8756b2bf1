"""Figures of studies on language models: what can be extracted along each path, both groups in one panel."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ungrok.data.local import GROUPS
from ungrok.report import figures
from ungrok.report.figures import (
    GRAY,
    Picture,
    _accuracy_axis,
    _all_doses,
    _dose_axis,
    _grid,
    _legend,
    _median,
    _title,
    _wide,
)
from ungrok.report.format import slug
from ungrok.report.language import families
from ungrok.report.view import View
from ungrok.study.recipe import BASE

COLORS = {"grokked": "#D55E00", "ungrokked": "#0072B2"}
LINES: dict[str, Any] = {"ES_forget": "-", "ES_retain": "--"}


def pictures(view: View) -> Iterator[Picture]:
    """Yield the figures of a study on question-answer pairs; meant to run within ``STYLE``."""
    yield from figures.training(view)
    paired: set[str] = set()
    for name, family in families(view).items():
        for size, pair in family.items():
            paired |= set(pair.values())
            for stage in view.stages:
                yield from _extraction(view, stage, f"{size} pairs, {name}", pair)
    alone = [label for label in view.recipe.forget_labels() if label not in paired]
    for forget in alone:
        yield from figures.doses(view, BASE, forget)
    for index in range(len(view.comparisons())):
        yield from figures.survival(view, index)
    for forget in alone:
        yield from figures.frontier(view, BASE, forget)


def _extraction(view: View, stage: str, which: str, pair: dict[str, str]) -> Iterator[Picture]:
    """Plot extraction strength against dose, one panel per method."""
    methods = [m for m in view.methods if all(view.tracks(BASE, stage, label, m) for label in pair.values())]
    if not methods:
        return
    figure, grid = _grid(len(methods))
    for axes, method in zip(grid, methods, strict=True):
        for group in GROUPS:
            _lines(view, axes, group, stage, pair[group], method)
        _title(axes, method)
        _accuracy_axis(axes)
        _dose_axis(axes, _all_doses(view, [BASE], list(pair.values()), method), view.one_shot(method))
    figure.supylabel("extraction strength")
    texts = {"ES_forget": "forgotten", "ES_retain": "retained"}
    _legend(
        figure,
        [
            *(Line2D([], [], color=COLORS[group], label=group) for group in GROUPS),
            *(Line2D([], [], color=GRAY, linestyle=style, label=texts[name]) for name, style in LINES.items()),
            Line2D([], [], color=GRAY, linestyle=":", linewidth=1.2, label="forgotten, oracle"),
        ],
    )
    how = (
        "Medians over seeds; faint lines are the forgotten pairs of single seeds. Solid lines should fall to the dotted line of their "
        "color while dashed ones stay up."
    )
    name = slug("extraction", stage, *pair.values())
    yield Picture(name, f"Extraction strength against dose, {which}, stage {stage}", how, figure)


def _lines(view: View, axes: Axes, group: str, stage: str, label: str, method: str) -> None:
    tracks, shade = view.tracks(BASE, stage, label, method), COLORS[group]
    for column, style in LINES.items():
        wide = _wide(tracks, column)
        if column == "ES_forget":
            axes.plot(wide.index, wide, color=shade, alpha=0.22, linewidth=0.7)
        axes.plot(wide.index, _median(wide), color=shade, linestyle=style, linewidth=1.8, zorder=3)
    oracle = pd.Series([track.start["oracle_ES_forget"] for track in tracks.values()], dtype=float).median()
    if not pd.isna(oracle):
        axes.axhline(oracle, color=shade, linestyle=":", linewidth=1.2, zorder=2)
