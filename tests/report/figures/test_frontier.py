"""Forgetting against damage."""

from __future__ import annotations

import numpy as np
import pytest

from ungrok.report.figures.drawing import COLORS


def lines(axes, color, width=None):
    return [ln for ln in axes.lines if ln.get_color() == color and (width is None or ln.get_linewidth() == width)]


def test_damage_is_read_where_ua_first_falls_to_a_level(study, drawn):
    figure = drawn(study())["frontier-class"]
    drops_of_ta_and_ra = lines(figure.axes[0], COLORS["grokked"], 1.4)
    assert len(drops_of_ta_and_ra) == 2
    for line in drops_of_ta_and_ra:
        drops = dict(zip(np.round(line.get_xdata(), 3), line.get_ydata(), strict=True))
        assert drops[0] == 0
        assert drops[0.5] == drops[1] == pytest.approx(0.1)
