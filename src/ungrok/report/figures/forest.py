"""A forest plot over studies: one claim in one reading, a row a method, rows of one setting under its name."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.lines import Line2D

from ungrok.report.across import Question, Setting
from ungrok.report.evidence import Evidence
from ungrok.report.figures.drawing import WIDTH, Picture
from ungrok.report.figures.front import LINE, MARKS, PLATE, effect_axis, extent, row
from ungrok.report.format import plural, slug, unit_of
from ungrok.report.tables.across import title
from ungrok.study.claims import Effect
from ungrok.study.verdict_file import FiledVerdict

MOST = 42
"""Lines of one picture, which then fits on a page of a paper; what has more goes on in another on the same axis."""

Line = tuple[str, FiledVerdict | None]
"""A row of the plot with its label; without a verdict it is the name of a setting."""


def forests(question: Question, studies: Mapping[str, Evidence]) -> list[Picture]:
    """Plot the effects of one question, in as many pictures as it takes; meant to run within ``STYLE``.

    Args:
        question: The question.
        studies: The studies by name of their recipe.

    Returns:
        The pictures; none where no row has an effect.

    """
    pages = _pages([_lines(setting, studies[setting.recipe]) for setting in question.settings])
    ends = (
        extent([verdict.as_effect for page in pages for _, verdict in page if verdict is not None]) if pages else (0, 0)
    )
    absent = sum(verdict.effect is None for setting in question.settings for verdict in setting.rows)
    how = (
        "A row a method, under the recipe, what is forgotten and the family of the method. Intervals hold together within a study, not over "
        "studies. Right of the line the later side does better, as the paper says, and an arrow is an interval that goes on. A star marks updates "
        "that were counted up to the end of the paths, because some never reached the target; net wins of the later side stand beside."
    )
    if absent:
        how += f" {plural(absent, 'row')} without an effect {'stands' if absent == 1 else 'stand'} in the table alone."
    pictures = []
    for place, page in enumerate(pages, 1):
        part = (str(place), f", {place} of {len(pages)}") if len(pages) > 1 else ("", "")
        name = slug(question.claim, question.reading, question.unit, *filter(None, part[:1]))
        figure = _figure(page, question.settings[0].rows[0].as_effect, ends)
        pictures.append(Picture(name, f"{title(question)}{part[1]}", how, figure))
    return pictures


def _pages(settings: Sequence[list[Line]]) -> list[list[Line]]:
    """Return the lines of settings page by page; a setting stays whole where it fits on one."""
    pages: list[list[Line]] = []
    for lines in filter(None, settings):
        if not pages or len(pages[-1]) + len(lines) > MOST:
            pages.append([])
        pages[-1] += lines
    return pages


def _figure(lines: Sequence[Line], like: Effect, ends: tuple[float, float]) -> Figure:
    figure = Figure(figsize=(WIDTH, 1.1 + LINE * len(lines)), layout="constrained")
    _draw(figure.subplots(), lines, like, ends)
    words = [word for word in MARKS if any(verdict and verdict.verdict == word for _, verdict in lines)]
    handles = [Line2D([], [], linestyle="-", markersize=4.5, label=word, **MARKS[word]) for word in words]
    figure.legend(handles=handles, loc="outside lower center", ncols=len(handles))
    return figure


def _lines(setting: Setting, study: Evidence) -> list[Line]:
    """Return the rows of a setting that have an effect, from top to bottom under its name."""
    known = [verdict for verdict in setting.rows if verdict.effect is not None]
    if not known:
        return []
    rows: list[Line] = [
        (study.called(one.setting.method) + ("*" if one.as_effect.cut_at is not None else ""), one) for one in known
    ]
    return [(f"{setting.recipe}, {study.called(setting.forget)}, {setting.family}", None), *rows]


def _draw(axes: Axes, lines: Sequence[Line], like: Effect, ends: tuple[float, float]) -> None:
    ratios = like.scale == "log ratio"
    rows = [(place, verdict) for place, (_, verdict) in enumerate(lines) if verdict is not None]
    axes.axvline(1 if ratios else 0, color="#000000", linewidth=0.8, zorder=1)
    for place, verdict in rows:
        row(axes, place, verdict.verdict, verdict.as_effect, verdict.as_wins, ends)
    _labels(axes, lines)
    effect_axis(axes, *ends, ratios=ratios, ticks=6)
    axes.set_xlabel(f"{unit_of(like)}, above 1 agrees" if ratios else unit_of(like))


def _labels(axes: Axes, lines: Sequence[Line]) -> None:
    """Name the rows on the left, and settings inside, above their rows."""
    for place, (text, verdict) in enumerate(lines):
        if verdict is None:
            axes.annotate(
                text, (0, place), xycoords=axes.get_yaxis_transform(), va="center", fontweight="bold", **PLATE
            )
    axes.set_ylim(len(lines) - 0.5, -0.5)
    named = [(place, text) for place, (text, verdict) in enumerate(lines) if verdict is not None]
    axes.set_yticks([place for place, _ in named], [text for _, text in named])
    axes.tick_params("y", length=0)
    axes.spines["left"].set_visible(False)
