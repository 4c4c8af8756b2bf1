"""Figures of attacks after unlearning: their curves hold the numbers of the table, and can be read whatever was attacked."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest
from scipy import stats

from ungrok.report.attacks import Attacks
from ungrok.report.figures.drawing import COLORS
from ungrok.report.figures.stress import stress

EIGHT = [{"kind": "scrub", "name": f"method_{i}"} for i in range(8)]
THREE = [{"kind": "gradient_ascent"}, {"kind": "neggrad_plus"}, {"kind": "finetune", "name": "a long name of a method"}]


def drawn(view):
    return {picture.name: picture for picture in stress(Attacks(view))}


def lines(axes):
    """Return the curves of a panel by color, without the mark of the worst gap."""
    return {line.get_color(): line.get_xydata() for line in axes.lines if len(line.get_xydata()) > 1}


@pytest.fixture(autouse=True)
def _styled(style):
    """Draw as reports are drawn."""


def test_a_panel_holds_the_three_means_at_the_setting_that_brings_most_back(attacked_study):
    """Relearning with forgotten data brings back 0.6 from 10 updates on before grokking; the seeds' mean is 0.035."""
    (picture,) = drawn(attacked_study(["relearn"])).values()
    early, late = picture.figure.axes
    curves = lines(early)
    assert curves[COLORS["pre_grok"]] == pytest.approx(np.array([[0, 0.035], [1, 0.035], [10, 0.635], [100, 0.635]]))
    assert curves["#000000"] == pytest.approx(np.array([[0, 0.035], [1, 0.035], [10, 0.035], [100, 0.135]]))
    assert curves["#888888"][:, 1] == pytest.approx(0.9)
    assert lines(late)[COLORS["grokked"]][2] == pytest.approx([10, 0.835])
    marks = [line.get_xydata()[0] for line in early.lines if len(line.get_xydata()) == 1]
    assert marks == [pytest.approx([10, 0.635])]
    assert [text.get_text() for text in early.texts] == ["share 10 %, rate 0.02"]
    assert (early.get_ylabel(), late.get_ylabel()) == ("UA, before grokking", "UA, after grokking")


def test_the_band_is_students_interval_of_the_mean(attacked_study):
    (picture,) = drawn(attacked_study(["relearn"])).values()
    band = picture.figure.axes[0].collections[-1].get_paths()[0].vertices
    low, high = stats.t.interval(0.95, 7, 0.635, stats.sem([0.6 + seed / 100 for seed in range(8)]))
    assert [band[band[:, 0] == 10][:, 1].min(), band[band[:, 0] == 10][:, 1].max()] == pytest.approx([low, high])
    assert "95% interval of the mean, point by point (Student's t)" in picture.how


def test_one_method_has_one_figure_and_several_have_one_for_each_attack(attacked_study):
    alone = drawn(attacked_study())
    assert list(alone) == ["stress-all-class"]
    axes = alone["stress-all-class"].figure.axes
    assert [one.get_title(loc="left") for one in axes if one.get_title(loc="left")] == [
        "relearning", "quantization", "interpolation to the\noriginal", "linear probe", "pruning", "weight noise",
    ]  # fmt: skip
    several = drawn(attacked_study(["relearn", "prune"], unlearn=THREE))
    assert list(several) == ["stress-relearn-class", "stress-prune-class"]
    titles = [one.get_title(loc="left") for one in several["stress-prune-class"].figure.axes]
    assert titles[:3] == ["gradient ascent", "NegGrad+", "a long name of a\nmethod"]
    assert several["stress-prune-class"].title == "UA under pruning, unlearned to UA ≤ 0.1, forgetting one class"
    assert {picture.section for picture in several.values()} == {"stress"}


def test_bits_fall_to_the_right_and_walks_have_no_mark(attacked_study):
    view = attacked_study(["quantize", "interpolate_original"], unlearn=THREE)
    figures = drawn(view)
    axes = figures["stress-quantize-class"].figure.axes[0]
    assert lines(axes)[COLORS["pre_grok"]][:, 0].tolist() == [0, 1, 2]
    assert [axes.xaxis.get_major_formatter()(place) for place in (0, 1, 2)] == ["32", "8", "2"]
    walk = figures["stress-interpolate_original-class"].figure.axes[0]
    assert all(len(line.get_xydata()) > 1 for line in walk.lines)


def test_without_an_oracle_there_are_two_curves_and_it_is_said(attacked_study):
    (picture,) = drawn(attacked_study(["relearn"], oracle=False)).values()
    assert set(lines(picture.figure.axes[0])) == {COLORS["pre_grok"], "#888888"}
    assert "No oracle stands beside" in picture.how
    labels = [text.get_text() for text in picture.figure.legends[0].get_texts()]
    assert labels == ["unlearned, before grokking", "unlearned, after grokking", "original", "highest UA"]


@pytest.mark.parametrize("oracle", [True, False])
@pytest.mark.parametrize("stages", [["grokked"], ["pre_grok", "grokked"]])
@pytest.mark.parametrize("unlearn", [[{"kind": "gradient_ascent"}], THREE, EIGHT], ids=["one", "three", "eight"])
def test_everything_can_be_read(attacked_study, legible, unlearn, stages, oracle):
    compare = {"claims": {"targets": [0.1]}} if len(stages) == 1 else {}
    figures = drawn(
        attacked_study(
            ["relearn", "prune", "linear_probe", "weight_noise"],
            oracle=oracle,
            stages=stages,
            unlearn=unlearn,
            **compare,
        )
    )
    assert len(figures) == (1 if len(unlearn) == 1 else 4)
    for name, picture in figures.items():
        legible(name, picture.figure)


def test_a_side_that_never_reached_the_place_says_so(attacked_study, legible):
    view = attacked_study(["prune"], unlearn=THREE)
    table = view.results.stress
    lacking = (table["method"] == "gradient_ascent") & (table["stage"] == "grokked")
    (picture,) = drawn(replace(view, results=replace(view.results, stress=table[~lacking]))).values()
    early, late = picture.figure.axes[0], picture.figure.axes[3]
    assert [text.get_text() for text in late.texts] == ["never reached"]
    assert (early.get_xlabel(), late.get_xlabel()) == ("share of weights set to 0", "")
    assert not late.lines
    legible("lacking", picture.figure)


def test_one_seed_has_lines_without_bands(attacked_study):
    (picture,) = drawn(attacked_study(["relearn"], seeds=[3])).values()
    axes = picture.figure.axes[0]
    assert len(lines(axes)) == 3
    assert not any(
        np.isfinite(path.vertices).all() and len(path.vertices)
        for band in axes.collections
        for path in band.get_paths()
    )


def test_nothing_is_drawn_where_nothing_was_attacked(study):
    assert drawn(study()) == {}
