"""What figures share: their style and colors, panels, axes, legends, and values along a path."""

from __future__ import annotations

import math
import re
import textwrap
import warnings
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any
from unittest.mock import patch

import numpy as np
import pandas as pd
from fontTools import subset
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.axis import XAxis, YAxis
from matplotlib.figure import Figure
from matplotlib.lines import Line2D
from matplotlib.offsetbox import AnchoredOffsetbox, HPacker, TextArea
from matplotlib.ticker import (
    FixedLocator,
    FuncFormatter,
    LogFormatter,
    LogLocator,
    MaxNLocator,
    NullFormatter,
    NullLocator,
)

from ungrok.core.errors import UngrokWarning, listed
from ungrok.report.format import number
from ungrok.report.view import Tracks, View
from ungrok.study.place import Place
from ungrok.study.recipe_blocks import BASE

STYLE: dict[Any, Any] = {
    "font.family": "DejaVu Sans",
    "font.size": 8.5,
    "axes.titlesize": 9,
    "axes.titley": 1.0,  # where it comes to stand anyway; looking for it measures every tick at every drawing
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
    "text.parse_math": False,  # names may hold dollar signs
    "pdf.fonttype": 42,
    "savefig.dpi": 200,
}


WIDTH = 7.2
"""Width of a figure in inches."""


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


GRAY = "#888888"


@dataclass(frozen=True)
class Picture:
    """A figure with its file name, its title, one sentence on how to read it, and the section of the page that it stands in."""

    name: str
    title: str
    how: str
    figure: Figure
    section: str = "figures"


@contextmanager
def glyphs_named() -> Iterator[None]:
    """Give one warning in the place of matplotlib's own, one for each character that the font lacks and each time it is drawn."""
    with warnings.catch_warnings(record=True) as caught:
        warnings.simplefilter("always")
        yield
    lacking = set()
    for warning in caught:
        if glyph := re.match(r"Glyph (\d+) .* missing from font", str(warning.message)):
            lacking.add(chr(int(glyph[1])))
        else:
            warnings.warn_explicit(warning.message, warning.category, warning.filename, warning.lineno)
    if lacking:
        text = f"figures: the font has no {listed(sorted(lacking))}, drawn as boxes; give what is named so a name in Latin letters"
        warnings.warn(text, UngrokWarning, stacklevel=3)


RULES = ("GDEF", "GPOS", "GSUB", "kern")
"""Tables of a font for choosing and placing glyphs."""

CHARACTERS = ("cmap", "OS/2", "post")
"""Tables of a font on which characters and names its glyphs are for."""


@contextmanager
def light_fonts() -> Iterator[None]:
    """Embed fonts without tables that a PDF does without (ISO 32000-1, 9.9), whose reading is most of the time of embedding.

    It numbers and places glyphs itself, and says beside the font which characters they are. Before version 3.11 matplotlib asks for
    characters where it now asks for glyphs, and their tables stay.
    """
    whole = subset.Subsetter.subset

    def lightly(subsetter: Any, font: Any) -> None:
        for table in RULES if subsetter.unicodes_requested else (*RULES, *CHARACTERS):
            if table in font:
                del font[table]
        whole(subsetter, font)

    with patch.object(subset.Subsetter, "subset", lightly):
        yield


def color(view: View, stage: str) -> str:
    """Return a stage's color: the same in every figure and, for named stages, in every study."""
    others = [name for name in view.stages if name not in COLORS]
    return COLORS.get(stage) or MORE_COLORS[others.index(stage) % len(MORE_COLORS) if stage in others else -1]


def panels(count: int, height: float = 1.75, *, share: bool = True) -> tuple[Figure, list[Axes]]:
    """Return panels, three or four to a row, that share their vertical axis; three with axes of their own."""
    columns = min(count, 3 if count <= 9 or not share else 4)
    rows = math.ceil(count / columns)
    figure = Figure(figsize=(WIDTH, 0.7 + height * rows), layout="constrained")
    grid = list(figure.subplots(rows, columns, sharey=share, squeeze=False).flat)
    for empty in grid[count:]:
        empty.set_axis_off()
    return figure, grid[:count]


def legend(figure: Figure, handles: Sequence[Artist]) -> None:
    """Put a legend above a figure: at most five entries a line, and fewer where they would not fit."""
    labels = [str(handle.get_label()) for handle in handles]
    rows = math.ceil(len(labels) / 5)
    columns = math.ceil(len(labels) / rows)
    while columns > 1 and _legend_width(labels, columns) > WIDTH:
        columns -= 1
    figure.legend(handles=handles, loc="outside upper center", ncols=columns, columnspacing=1.4)


def _legend_width(labels: Sequence[str], columns: int) -> float:
    """Return about how many inches a legend takes: a line and gaps beside each column, and the longest label of each."""
    longest = [max(map(len, part)) for part in np.array_split(np.array(labels), columns)]
    return sum(0.5 + 0.062 * length for length in longest)


def stage_handles(view: View, arm: str, forget: str) -> list[Line2D]:
    """Return a legend entry for each stage from which there is a path."""
    there = {place.stage for place in view.paths if place.arm == arm and place.forget == forget}
    return [
        Line2D([], [], color=color(view, stage), label=view.names.stage(stage))
        for stage in view.stages
        if stage in there
    ]


def filled(text: str, width: int = 22) -> str:
    """Break a title at spaces and after underscores."""
    return textwrap.fill(text.replace("_", "_ "), width).replace("_ ", "_")


def panel_title(axes: Axes, text: str, beside: Sequence[tuple[str, str]] | None = None) -> None:
    """Write the title, and under it, on the right, short texts in their colors."""
    axes.set_title(filled(text), loc="left", pad=4 if beside is None else 14)
    texts: list[Artist] = [TextArea(words, textprops={"color": shade, "fontsize": 8}) for words, shade in beside or ()]
    if texts:
        box = HPacker(children=texts, pad=0, sep=5)
        anchor: dict[str, Any] = {"bbox_to_anchor": (1, 1.01), "bbox_transform": axes.transAxes}
        axes.add_artist(AnchoredOffsetbox("lower right", child=box, pad=0, borderpad=0, frameon=False, **anchor))


def accuracy_axis(axes: Axes, label: str = "") -> None:
    """Give the vertical axis the range of accuracies."""
    axes.set_ylim(-0.04, 1.04)
    axes.set_yticks([0, 0.5, 1])
    axes.set_ylabel(label)


def steps_axis(axes: Axes, first: float, last: float, decades: float = 2.5) -> None:
    """Give the horizontal axis training steps on a logarithmic scale; see :func:`log_ticks`."""
    axes.set_xscale("log")
    axes.set_xlim(first, last * 1.02)
    log_ticks(axes.xaxis, first, last, decades)


def logarithmic(axes: Axes) -> None:
    """Give the vertical axis a logarithmic scale, its numbers written without the formulas of matplotlib; see ``STYLE``."""
    axes.set_yscale("log")
    axes.yaxis.set_major_formatter(LogFormatter())
    axes.yaxis.set_minor_formatter(LogFormatter())


def log_ticks(axis: XAxis | YAxis, low: float, high: float, decades: float) -> None:
    """Label powers of ten, and 2 and 5 times them where the range spans fewer decades than given."""
    axis.set_major_formatter(FuncFormatter(lambda value, _: number(value)))
    if not 0 < low < high < math.inf:  # nothing finite was drawn
        return
    wide = math.log10(high) - math.log10(low) > decades
    axis.set_major_locator(LogLocator(subs=(1,) if wide else (1, 2, 5), numticks=9 if axis.axis_name == "x" else 5))
    axis.set_minor_formatter(NullFormatter())


def dose_axis(axes: Axes, doses: Sequence[float], one_shot: bool) -> None:
    """Give the horizontal axis doses: 0, then a logarithmic scale from the smallest dose on."""
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


def own_scale(axes: Axes, finest: float) -> None:
    """Give a panel the vertical scale of its own lines, but one that spans at least ``finest``, so that single examples do not fill it."""
    low, high = axes.get_ylim()
    axes.set_ylim(low, max(high, low + finest))
    axes.yaxis.set_major_locator(MaxNLocator(4, steps=[1, 2, 5, 10], min_n_ticks=3))


SUPERSCRIPTS = str.maketrans("-0123456789", "⁻⁰¹²³⁴⁵⁶⁷⁸⁹")


def _power(value: float) -> str:
    return "0" if value == 0 else "10" + str(round(math.log10(value))).translate(SUPERSCRIPTS)


def by_dose(tracks: Tracks, name: str) -> pd.DataFrame:
    """Return one column per seed over all doses; see :func:`held`."""
    columns = {seed: (track.rows["dose"], track.rows[name].astype(float)) for seed, track in tracks.items()}
    return held({seed: pd.Series(values.to_numpy(), index=dose) for seed, (dose, values) in columns.items()})


def held(columns: dict[int, pd.Series[float]]) -> pd.DataFrame:
    """Return values of several seeds over all their doses; a value holds until the next dose, and there is none after the last finite value."""
    table = pd.DataFrame(columns).sort_index()
    ends = {seed: values.last_valid_index() for seed, values in columns.items()}
    filled = table.ffill()
    for seed, end in ends.items():
        filled.loc[filled.index > end if end is not None else filled.index >= 0, seed] = np.nan
    return filled


def median(wide: pd.DataFrame) -> pd.Series[float]:
    """Return the median over seeds where at least half of them have a value."""
    return wide.median(axis=1).where(wide.notna().sum(axis=1) * 2 >= wide.shape[1])


def band(axes: Axes, curves: pd.DataFrame, name: str, shade: str, style: Any) -> None:
    """Draw the median of a metric over seeds against the training step and, of several seeds, its range."""
    wide = curves.astype({name: float}).pivot(index="step", columns="seed", values=name)
    axes.plot(wide.index, wide.median(axis=1), color=shade, linestyle=style)
    if wide.shape[1] > 1:
        axes.fill_between(
            wide.index.to_numpy(dtype=float), wide.min(axis=1), wide.max(axis=1), color=shade, alpha=0.18, linewidth=0
        )


def of_arm(view: View, arm: str) -> str:
    """Return how a title names the arm; empty where there is only one."""
    return f", arm {arm}" if len(view.arms) > 1 else ""


def arm_slug(arm: str) -> list[str]:
    """Return the part of a file name that names the arm; none for the base arm."""
    return [] if arm == BASE else [arm]


def methods_with_paths(view: View, arm: str, forget: str) -> list[str]:
    """Return the methods that have a path from some stage."""
    return [m for m in view.methods if any(view.tracks(Place(arm, stage, forget, m)) for stage in view.stages)]


def all_doses(view: View, arms: Sequence[str], forgets: Sequence[str], method: str) -> list[float]:
    """Return every observed dose of a method."""
    rows = view.results.rows
    here = rows[rows["arm"].isin(arms) & rows["forget"].isin(forgets) & (rows["method"] == method)]
    return [float(dose) for dose in here["dose"].unique()]
