"""Extraction strength against dose."""

from __future__ import annotations

import pytest

from ungrok.report.figures.drawing import GRAY
from ungrok.report.figures.extraction import COLORS, extraction

PAIR = {"grokked": "grokked-4", "ungrokked": "ungrokked-4"}


def test_medians_of_both_groups_and_their_oracles(answers_study, style):
    (picture,) = extraction(answers_study(), "final", "4 pairs", PAIR)
    assert picture.name == "extraction-final-grokked-4-ungrokked-4"
    (axes,) = [axes for axes in picture.figure.axes if axes.get_title("left")]
    for shade, group, fall in zip(COLORS, ("grokked", "ungrokked"), (0.2, 0.1), strict=True):
        bold = [line for line in axes.lines if line.get_color() == shade and line.get_linewidth() == 1.8]
        forgotten, retained = (dict(zip(*line.get_data(), strict=True)) for line in bold)
        assert forgotten == pytest.approx({dose: 0.55 - fall * dose for dose in (0, 1, 2)})
        assert retained == pytest.approx({0: 0.9, 1: 0.9, 2: 0.9})
        (dotted,) = [line for line in axes.lines if line.get_color() == shade and line.get_linestyle() == ":"]
        assert dotted.get_ydata()[0] == pytest.approx(fall / 2 if group == "grokked" else 0.2)
    assert GRAY not in [line.get_color() for line in axes.lines]


def test_nothing_where_a_method_left_no_path_of_both(answers_study, style):
    assert list(extraction(answers_study(), "final", "?", PAIR | {"grokked": "last-0.5"})) == []
