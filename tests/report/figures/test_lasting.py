"""Figures of forgetting that lasts: the frontier against a slow version, and lines that hold the numbers of the table."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pandas as pd
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from ungrok.report.figures.drawing import COLORS
from ungrok.report.figures.lasting import judged_by, lasting, lasting_damage

EIGHT = [{"kind": "scrub", "name": f"method_{i}"} for i in range(8)]


@pytest.fixture(autouse=True)
def _styled(style):
    """Draw as reports are drawn."""


def drawn(view):
    return {picture.name: picture for picture in lasting(view)}


def lines(axes, style):
    return {line.get_color(): line.get_xydata() for line in axes.lines if line.get_linestyle() == style}


def test_a_place_counts_at_the_larger_of_its_ua_before_and_after():
    rows = pd.DataFrame({"UA": [0.0, 0.3, 0.0, np.nan], "UA_after": [0.9, 0.1, 0.1, 0.0]})
    damage = np.array([0.1, 0.2, 0.4, 0.0])
    levels = np.array([1.0, 0.5, 0.2, 0.0])
    assert lasting_damage(rows, damage, levels)[:3].tolist() == [0.1, 0.2, 0.4]
    assert np.isnan(lasting_damage(rows, damage, levels)[3])
    assert np.isnan(lasting_damage(rows.iloc[:0], damage[:0], levels)).all()


@settings(max_examples=60, derandomize=True)
@given(
    st.lists(st.tuples(*[st.sampled_from([0.0, 0.05, 0.1, 0.5, 1.0])] * 2, st.floats(-1, 1)), min_size=1, max_size=6)
)
def test_the_frontier_is_that_of_the_slow_version(places):
    rows = pd.DataFrame([place[:2] for place in places], columns=["UA", "UA_after"])
    for level in (1.0, 0.5, 0.1, 0.0):
        held = [damage for ua, after, damage in places if max(ua, after) <= level]
        (fast,) = lasting_damage(rows, np.array([place[2] for place in places]), np.array([level]))
        assert fast == min(held) if held else np.isnan(fast)


def test_damage_is_judged_by_bystanders_else_by_test_accuracy():
    rows = pd.DataFrame(
        {"bystander_accuracy": [0.5], "TA": [0.5], "oracle_bystander_accuracy": [None], "oracle_TA": [0.7]}
    )
    assert judged_by(rows) == ("TA", True)
    assert judged_by(rows.assign(oracle_bystander_accuracy=0.8)) == ("bystander_accuracy", True)
    assert judged_by(rows.assign(oracle_TA=None)) == ("bystander_accuracy", False)


def test_the_frontier_holds_the_least_damage_of_every_level(attacked_study):
    """Repairs bring back 0.9, 0.5 and 0.05 or 0.4, at 15, 25 and 35 points beyond the oracle's bystander accuracy, and 5 after the repair."""
    figures = drawn(attacked_study(["prune"]))
    axes = figures["lasting-frontier-class"].figure.axes[0]
    early = dict(np.round(lines(axes, "-")[COLORS["pre_grok"]], 6).tolist())
    assert [early[level] for level in (0.1, 0.5, 0.95)] == [15, 25, 35]
    assert np.isnan(early[1.0])
    late = dict(np.round(lines(axes, "-")[COLORS["grokked"]], 6).tolist())
    assert late[0.6] == 35
    assert np.isnan(late[0.65])
    after = lines(axes, "--")[COLORS["grokked"]]
    assert after[np.isfinite(after[:, 1]), 1] == pytest.approx(5)
    assert figures["lasting-frontier-class"].section == "lasting"
    assert "in bystander accuracy" in figures["lasting-frontier-class"].how


def test_all_rates_share_a_frontier_and_the_path_is_that_of_the_recipe(attacked_study):
    view = attacked_study(["prune"], unlearn=[{"kind": "gradient_ascent", "lr": {"auto": 0.001}}])
    table = view.results.lasting
    cheap = table.assign(method="gradient_ascent lr=0.002", bystander_accuracy=0.84)
    figures = drawn(replace(view, results=replace(view.results, lasting=pd.concat([table, cheap]))))
    early = lines(figures["lasting-frontier-class"].figure.axes[0], "-")[COLORS["pre_grok"]]
    assert early[np.isfinite(early[:, 1]), 1] == pytest.approx(1)
    after = lines(figures["lasting-repair-class"].figure.axes[0], "--")[COLORS["pre_grok"]]
    assert after.tolist() == [[20, 0.9], [50, 0.5], [100, 0.05]]


def test_ua_before_and_after_the_repair_stand_in_one_panel(attacked_study):
    axes = drawn(attacked_study(["prune"]))["lasting-repair-class"].figure.axes[0]
    after = lines(axes, "--")
    assert after[COLORS["grokked"]].tolist() == [[20, 0.9], [50, 0.5], [100, 0.4]]
    assert lines(axes, "-")[COLORS["grokked"]][-1].tolist() == [100, 0]
    points = [line.get_xydata() for line in axes.lines if line.get_marker() == "."]
    assert [len(one) for one in points] == [3 * 8, 3 * 8]


def test_without_an_oracle_damage_is_counted_from_the_start(attacked_study):
    """Paths start at a bystander accuracy of 0.9."""
    view = attacked_study(["prune"], oracle=False)
    figure = drawn(view)["lasting-frontier-class"].figure
    early = lines(figure.axes[0], "-")[COLORS["pre_grok"]]
    assert early[0].tolist() == pytest.approx([0, 20])
    assert figure._supylabel.get_text() == "lost since the start,\npercentage points"


@pytest.mark.parametrize("stages", [["grokked"], ["pre_grok", "grokked"]])
@pytest.mark.parametrize("unlearn", [EIGHT[:1], EIGHT[:3], EIGHT], ids=["one", "three", "eight"])
def test_everything_can_be_read(attacked_study, legible, unlearn, stages):
    compare = {"claims": {"targets": [0.1]}} if len(stages) == 1 else {}
    figures = drawn(attacked_study(["prune"], stages=stages, unlearn=unlearn, **compare))
    assert list(figures) == ["lasting-frontier-class", "lasting-repair-class"]
    for name, picture in figures.items():
        legible(name, picture.figure)


def test_nothing_is_drawn_where_nothing_was_tried(study):
    assert drawn(study()) == {}
