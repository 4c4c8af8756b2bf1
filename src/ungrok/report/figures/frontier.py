"""What forgetting costs: drops of accuracy against what is forgotten."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import numpy as np
import pandas as pd
from matplotlib.axes import Axes
from matplotlib.lines import Line2D

from ungrok.report.figures.drawing import (
    GRAY,
    Picture,
    arm_slug,
    color,
    legend,
    median,
    methods_with_paths,
    of_arm,
    own_scale,
    panel_title,
    panels,
    stage_handles,
)
from ungrok.report.format import slug
from ungrok.report.view import View
from ungrok.study.place import Place

FINEST = 0.05
"""Least range of accuracies that a panel spans."""

DROPS: tuple[tuple[str, Any], ...] = (("TA", "-"), ("RA", "--"))


def frontier(view: View, arm: str, forget: str) -> Iterator[Picture]:
    """Plot what forgetting costs: the drop of TA and of RA when UA first falls to each level."""
    methods = methods_with_paths(view, arm, forget)
    if not methods:
        return
    figure, grid = panels(len(methods), share=False)
    for axes, method in zip(grid, methods, strict=True):
        for stage in view.stages:
            _damage_lines(view, axes, Place(arm, stage, forget, method))
        axes.axhline(0, color=GRAY, linewidth=0.6, zorder=1)
        panel_title(axes, view.names.method(method))
        axes.set_xlim(-0.03, 1.03)
        axes.set_xticks([0, 0.5, 1])
        axes.set_xlabel("forgotten, 1 − UA", labelpad=1)
        own_scale(axes, FINEST)
    figure.supylabel("drop of accuracy")
    kinds = [Line2D([], [], color=GRAY, linestyle=style, label=f"{name} drop") for name, style in DROPS]
    legend(figure, [*stage_handles(view, arm, forget), *kinds])
    how = (
        "Further right is more forgotten and lower is less damage: each line is the median over seeds of how far TA (solid) or RA "
        "(dashed) has dropped when UA first falls to a level; it ends where fewer than half of the seeds get. Each panel has its own scale."
    )
    title = f"Forgetting against damage, forgetting {view.names.forget(forget)}{of_arm(view, arm)}"
    yield Picture(slug("frontier", *arm_slug(arm), forget), title, how, figure)


def _damage_lines(view: View, axes: Axes, place: Place) -> None:
    tracks = view.tracks(place)
    for name, style in DROPS:
        drops = median(pd.DataFrame({seed: _drop_at_levels(track.rows, name) for seed, track in tracks.items()}))
        axes.plot(1 - drops.index, drops, color=color(view, place.stage), linestyle=style, linewidth=1.4)


def _drop_at_levels(rows: pd.DataFrame, name: str) -> pd.Series[float]:
    """Return how far an accuracy has dropped when UA first falls to each level from 1 to 0."""
    levels = np.linspace(1, 0, 41)
    reached = (rows["UA"].to_numpy(dtype=float)[:, None] <= levels + 1e-9).T
    drops = rows[name].iloc[0] - rows[name].to_numpy(dtype=float)
    return pd.Series(np.where(reached.any(axis=1), drops[reached.argmax(axis=1)], np.nan), index=levels)
