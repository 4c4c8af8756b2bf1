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


def test_sides_that_differ_only_in_what_is_forgotten_are_told_apart(study, drawn):
    sides = [[{"stage": "grokked", "forget": split} for split in ("class", "random-20")]]
    rules = [{"kind": "class"}, {"kind": "random", "size": 20}]
    figures = drawn(study(forget=rules, claims={"compare": sides}))
    legends = [figures[name].legends[0] for name in figures if name.startswith("survival")]
    names = [[text.get_text() for text in legend.get_texts()] for legend in legends]
    ((early, late),) = names
    assert early != late
