"""Seeds short of the target."""

from __future__ import annotations

import pytest


def test_survival_is_the_share_still_short_of_the_target(study, drawn):
    times = [10.0, 20.0, 20.0, 40.0, None, None, None, None]
    figure = drawn(study(lambda cell: times[cell.seed] if cell.stage == "pre_grok" else 5.0))[
        "survival-pre_grok-grokked-class"
    ]
    early, late = figure.axes[0].lines[:2]
    assert list(early.get_xdata()) == [0, 10, 20, 40, 100]
    assert list(early.get_ydata()) == pytest.approx([1, 7 / 8, 5 / 8, 4 / 8, 4 / 8])
    assert list(late.get_ydata()) == pytest.approx([1, 0, 0])
