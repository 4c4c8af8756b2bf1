"""UA against dose."""

from __future__ import annotations

import numpy as np

from ungrok.report.figures.drawing import COLORS


def lines(axes, color, width=None):
    return [ln for ln in axes.lines if ln.get_color() == color and (width is None or ln.get_linewidth() == width)]


def test_the_bold_line_is_the_median_over_seeds(study, drawn):
    figure = drawn(study(lambda cell: 10.0 if cell.seed < 5 else 60.0))["dose-class"]
    (bold,) = lines(figure.axes[0], COLORS["grokked"], 1.8)
    at = dict(zip(bold.get_xdata(), bold.get_ydata(), strict=True))
    assert (at[1], at[10], at[60]) == (1, 0, 0)


def test_nothing_is_drawn_beyond_divergence(study, drawn):
    figure = drawn(study(lambda cell: None, options={"diverges": True}))["dose-class"]
    (bold,) = lines(figure.axes[0], COLORS["grokked"], 1.8)
    assert np.isnan(bold.get_ydata()[-1])
    crosses = [ln for ln in figure.axes[0].lines if ln.get_marker() == "x"]
    assert {float(ln.get_xdata()[0]) for ln in crosses} == {50.0}
    assert "diverged" in {t.get_text() for legend in figure.legends for t in legend.get_texts()}


def test_paths_that_never_reach_the_target_are_counted(study, drawn, texts):
    figure = drawn(study(lambda cell: None if cell.seed < 3 and cell.stage == "grokked" else 20.0))["dose-class"]
    words = {(t.get_text(), t.get_color()) for t, _ in texts(figure)}
    assert ("3/8", COLORS["grokked"]) in words
    assert not any(text.endswith("/8") and color == COLORS["pre_grok"] for text, color in words)
