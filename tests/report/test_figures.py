"""Figures: the numbers drawn, the colors, and that no text is cut off or covered."""

from __future__ import annotations

import itertools

import matplotlib as mpl
import numpy as np
import pytest
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.text import Text

from ungrok.report import figures


@pytest.fixture(autouse=True)
def style():
    with mpl.rc_context(figures.STYLE):
        yield


def drawn(view):
    return {picture.name: picture.figure for picture in figures.pictures(view)}


def texts(figure):
    """Return the visible texts of a drawn figure with their extents."""
    FigureCanvasAgg(figure).draw()
    renderer = figure.canvas.get_renderer()
    found = [t for t in figure.findobj(Text) if t.get_visible() and t.get_text().strip()]
    return [(t, t.get_window_extent(renderer)) for t in found]


MANY = [{"kind": "neggrad_plus", "lr": [1e-4, 1e-3]}, *({"kind": "scrub", "name": f"method_{i}"} for i in range(8))]


@pytest.mark.parametrize(
    "changes",
    [
        {},
        {"unlearn": MANY},
        {"stages": ["pre_grok", "memorized", "step-200", "grokked", "final"], "unlearn": [{"kind": "fisher"}]},
        {"arms": {"slow": {"trajectory": {"batch_size": 32}}, "wide": {"model": {"width": 64}}}},
        {"along": {"unlearn": "gradient_ascent", "forget": "class", "points": 5, "seeds": 2}},
    ],
    ids=["plain", "many-methods", "many-stages", "arms", "along"],
)
def test_nothing_is_cut_off_covered_or_too_small(study, changes):
    for name, figure in drawn(study(lambda cell: 40.0 if cell.seed else None, **changes)).items():
        assert all(text.get_fontsize() >= 8 for text, _ in texts(figure)), name
        ticks = {
            text
            for axes in figure.axes
            for axis in (axes.xaxis, axes.yaxis)
            for text in axis.get_ticklabels(which="both")
        }
        labels = [box.padded(-1) for text, box in texts(figure) if text not in ticks]
        assert not any(a.overlaps(b) for a, b in itertools.combinations(labels, 2)), name
        parts = [*figure.axes, *figure.legends]
        boxes = [box.padded(-2) for box in (part.get_tightbbox() for part in parts) if box is not None]
        for box in boxes:
            assert min(box.x0, box.y0) >= -2, name
            assert box.x1 <= figure.bbox.x1 + 2, name
            assert box.y1 <= figure.bbox.y1 + 2, name
        assert not any(a.overlaps(b) for a, b in itertools.combinations(boxes, 2)), name


def test_arms_stand_three_side_by_side(study):
    figures = drawn(study(arms={f"arm-{n}": {"trajectory": {"batch_size": 32 + n}} for n in range(4)}))
    shown = [figures[name] for name in figures if name.startswith("training")]
    assert [len(figure.axes) // 3 for figure in shown] == [3, 2]
    assert max(figure.get_figwidth() for figure in shown) < 8, (
        "wider figures are shrunk on the page until nobody can read them"
    )
    heads = [axes.get_title("left") for figure in shown for axes in figure.axes if axes.get_title("left")]
    assert heads == ["base", "arm-0", "arm-1", "arm-2", "arm-3"]


def test_labels_of_stages_never_meet(study):
    view = study(stages=["pre_grok", "memorized", "step-101", "grokked", "final"])
    figure = drawn(view)["training"]
    stages = [box for text, box in texts(figure) if text.get_text().split()[0] in view.stages]
    assert len(stages) == 5
    assert not any(a.overlaps(b) for a, b in itertools.combinations(stages, 2))


def test_a_stage_has_one_color_everywhere(study):
    view = study()
    assert figures.color(view, "grokked") == figures.COLORS["grokked"]
    for name, figure in drawn(view).items():
        for entry in (line for legend in figure.legends for line in legend.get_lines()):
            if entry.get_label() in figures.COLORS:
                assert entry.get_color() == figures.COLORS[entry.get_label()], name
    others = study(stages=["pre_grok", "step-200", "step-300"], claims={})
    assert len({figures.color(others, stage) for stage in others.stages}) == 3


def lines(axes, color, width=None):
    return [ln for ln in axes.lines if ln.get_color() == color and (width is None or ln.get_linewidth() == width)]


def test_the_bold_line_is_the_median_over_seeds(study):
    figure = drawn(study(lambda cell: 10.0 if cell.seed < 5 else 60.0))["dose-class"]
    (bold,) = lines(figure.axes[0], figures.COLORS["grokked"], 1.8)
    at = dict(zip(bold.get_xdata(), bold.get_ydata(), strict=True))
    assert (at[1], at[10], at[60]) == (1, 0, 0)


def test_nothing_is_drawn_beyond_divergence(study):
    figure = drawn(study(lambda cell: None, options={"diverges": True}))["dose-class"]
    (bold,) = lines(figure.axes[0], figures.COLORS["grokked"], 1.8)
    assert np.isnan(bold.get_ydata()[-1])
    crosses = [ln for ln in figure.axes[0].lines if ln.get_marker() == "x"]
    assert {float(ln.get_xdata()[0]) for ln in crosses} == {50.0}
    assert "diverged" in {t.get_text() for legend in figure.legends for t in legend.get_texts()}


def test_paths_that_never_reach_the_target_are_counted(study):
    figure = drawn(study(lambda cell: None if cell.seed < 3 and cell.stage == "grokked" else 20.0))["dose-class"]
    words = {(t.get_text(), t.get_color()) for t, _ in texts(figure)}
    assert ("3/8", figures.COLORS["grokked"]) in words
    assert not any(text.endswith("/8") and color == figures.COLORS["pre_grok"] for text, color in words)


def test_survival_is_the_share_still_short_of_the_target(study):
    times = [10.0, 20.0, 20.0, 40.0, None, None, None, None]
    figure = drawn(study(lambda cell: times[cell.seed] if cell.stage == "pre_grok" else 5.0))[
        "survival-pre_grok-grokked-class"
    ]
    early, late = figure.axes[0].lines[:2]
    assert list(early.get_xdata()) == [0, 10, 20, 40, 100]
    assert list(early.get_ydata()) == pytest.approx([1, 7 / 8, 5 / 8, 4 / 8, 4 / 8])
    assert list(late.get_ydata()) == pytest.approx([1, 0, 0])


def test_damage_is_read_where_ua_first_falls_to_a_level(study):
    figure = drawn(study())["frontier-class"]
    for line in lines(figure.axes[0], figures.COLORS["grokked"], 1.4):
        drops = dict(zip(np.round(line.get_xdata(), 3), line.get_ydata(), strict=True))
        assert drops[0] == 0
        assert drops[0.5] == drops[1] == pytest.approx(0.1)


def test_the_trajectory_needs_a_sweep(study):
    assert "trajectory" not in drawn(study())
    view = study(along={"unlearn": "gradient_ascent", "forget": "class", "points": 4, "seeds": 2})
    panel = drawn(view)["trajectory"].axes[0]
    swept = sorted({int(stage[5:]) for _, stage, _, _ in view.paths if stage.startswith("step-")})
    assert list(panel.lines[1].get_xdata()) == swept


def test_robust_accuracy_is_drawn_beside_the_others(study):
    view = study()
    halved = view.results.curves["validation_accuracy"] / 2
    view.results.curves["adversarial_pgd_l2_accuracy"] = halved
    figure = drawn(view)["training"]
    (dotted,) = [
        line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":" and len(line.get_xdata()) > 2
    ]
    by_step = view.results.curves.groupby("step")["validation_accuracy"].median() / 2
    assert np.allclose(dotted.get_ydata(), by_step.loc[dotted.get_xdata()])
    assert "validation under pgd_l2" in [text.get_text() for text, _ in texts(figure)]
