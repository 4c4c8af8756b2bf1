"""Unlearning along the trajectory."""

from __future__ import annotations


def test_the_trajectory_needs_a_sweep(study, drawn):
    assert "trajectory" not in drawn(study())
    view = study(sweep={"unlearn": "gradient_ascent", "forget": "class", "points": 4, "seeds": 2})
    panel = drawn(view)["trajectory"].axes[0]
    swept = sorted({int(place.stage[5:]) for place in view.paths if place.stage.startswith("step-")})
    assert list(panel.lines[1].get_xdata()) == swept
