"""The figure of the search for rates."""

from __future__ import annotations

from dataclasses import replace

import pytest

from ungrok.report.figures.drawing import COLORS
from ungrok.report.figures.rates import rate_search, tried


def test_every_seed_has_a_point_per_rate_and_one_chosen(searched):
    """Twice the rate halves the updates and loses 0.1 of validation accuracy, half of it beyond the oracle: too much."""
    view = searched({0.5: 2.0, 2.0: 0.5}, lost={0.5: 0.0, 1.0: 0.0, 2.0: 0.1})
    one = tried(view, "base", "pre_grok", "class", "gradient_ascent")
    assert one.seeds == 8
    assert dict(one.median("updates")) == {0.0005: 27.0, 0.001: 13.5, 0.002: 6.75}
    assert dict(one.median("damage")) == pytest.approx({0.0005: -0.05, 0.001: -0.05, 0.002: 0.05})
    assert sorted(one.table.loc[one.table["chosen"], "rate"]) == [0.001] * 8


def test_lines_are_medians_where_half_of_the_seeds_get_there(searched, style):
    view = searched({0.5: None, 2.0: 0.5})
    (picture,) = rate_search(view, "base", "class")
    assert picture.title == "Search for learning rates, forgetting one class"
    updates, damage = picture.figure.axes
    (line, *_) = [line for line in updates.lines if line.get_color() == COLORS["pre_grok"]]
    assert dict(zip(line.get_xdata(), line.get_ydata(), strict=True)) == {0.001: 13.5, 0.002: 6.75}
    accepted = [line for line in damage.lines if line.get_linestyle() == "--"]
    assert [float(line.get_ydata()[0]) for line in accepted] == [2.0]


def test_without_a_search_there_is_no_figure(study, style):
    assert list(rate_search(study(), "base", "class")) == []
    assert list(rate_search(study(claims={"targets": ["oracle"]}), "base", "class")) == []


def without_anything_to_forget(view, *stages):
    rows = view.results.rows.copy()
    own = rows["stage"].isin(stages)
    rows.loc[own, "UA"], rows.loc[own, "reached_0.1"] = 0.05, True
    return replace(view, results=replace(view.results, rows=rows))


def test_a_stage_with_nothing_to_forget_took_no_updates_at_any_rate(searched, style):
    """Its paths stand at the target before the first update, which has no place on a logarithmic axis."""
    view = without_anything_to_forget(searched({0.5: 2.0, 2.0: 0.5}), "pre_grok")
    one = tried(view, "base", "pre_grok", "class", "gradient_ascent")
    assert (len(one.table), one.seeds, len(one.median("updates"))) == (0, 0, 0)
    assert tried(view, "base", "grokked", "class", "gradient_ascent").seeds == 8
    (picture,) = rate_search(view, "base", "class")
    drawn = [line for line in picture.figure.axes[0].lines if len(line.get_xdata())]
    assert {line.get_color() for line in drawn} == {COLORS["grokked"]}
    assert min(float(value) for line in drawn for value in line.get_ydata()) > 0


def test_where_no_stage_has_anything_to_forget_there_is_no_figure(searched, style):
    view = without_anything_to_forget(searched({0.5: 2.0, 2.0: 0.5}), "pre_grok", "grokked")
    assert list(rate_search(view, "base", "class")) == []
