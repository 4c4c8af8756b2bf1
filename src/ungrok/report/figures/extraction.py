"""Extraction strength along each path of a language model, both groups in one panel."""

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
    by_dose,
    dose_axis,
    legend,
    median,
    panel_title,
    panels,
)
from ungrok.report.format import slug
from ungrok.report.view import View
from ungrok.study.place import Place
from ungrok.study.recipe_blocks import BASE

COLORS = ("#D55E00", "#0072B2")
"""Of the groups, in the order in which they are given."""


LINES: dict[str, Any] = {"extraction_forget": "-", "extraction_retain": "--"}


def extraction(view: View, stage: str, which: str, pair: dict[str, str]) -> Iterator[Picture]:
    """Plot extraction strength against dose, one panel per method."""
    methods = [m for m in view.methods if all(view.tracks(Place(BASE, stage, label, m)) for label in pair.values())]
    if not methods:
        return
    figure, grid = panels(len(methods))
    for axes, method in zip(grid, methods, strict=True):
        for label, shade in zip(pair.values(), COLORS, strict=True):
            _lines(view, axes, shade, Place(BASE, stage, label, method))
        panel_title(axes, view.names.method(method))
        accuracy_axis(axes)
        dose_axis(axes, all_doses(view, [BASE], list(pair.values()), method), view.one_shot(method))
    figure.supylabel("extraction strength")
    texts = {"extraction_forget": "forgotten", "extraction_retain": "retained"}
    legend(
        figure,
        [
            *(Line2D([], [], color=shade, label=group) for group, shade in zip(pair, COLORS, strict=True)),
            *(Line2D([], [], color=GRAY, linestyle=style, label=texts[name]) for name, style in LINES.items()),
            Line2D([], [], color=GRAY, linestyle=":", linewidth=1.2, label="forgotten, oracle"),
        ],
    )
    how = (
        "Medians over seeds; faint lines are the forgotten pairs of single seeds. Solid lines should fall to the dotted line of their "
        "color while dashed ones stay up."
    )
    name = slug("extraction", stage, *pair.values())
    yield Picture(name, f"Extraction strength against dose, {which}, {view.names.stage(stage)}", how, figure)


def _lines(view: View, axes: Axes, shade: str, place: Place) -> None:
    tracks = view.tracks(place)
    for column, style in LINES.items():
        wide = by_dose(tracks, column)
        if column == "extraction_forget":
            axes.plot(wide.index, wide, color=shade, alpha=0.22, linewidth=0.7)
        axes.plot(wide.index, median(wide), color=shade, linestyle=style, linewidth=1.8, zorder=3)
    oracle = pd.Series([track.start["oracle_extraction_forget"] for track in tracks.values()], dtype=float).median()
    if not pd.isna(oracle):
        axes.axhline(oracle, color=shade, linestyle=":", linewidth=1.2, zorder=2)
