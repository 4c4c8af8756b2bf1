"""Training curves with their stages."""

from __future__ import annotations

import itertools

import numpy as np


def test_arms_stand_three_side_by_side(study, drawn):
    figures = drawn(study(arms={f"arm-{n}": {"trajectory": {"batch_size": 32 + n}} for n in range(4)}))
    shown = [figures[name] for name in figures if name.startswith("training")]
    assert [len(figure.axes) // 3 for figure in shown] == [3, 2]
    assert max(figure.get_figwidth() for figure in shown) < 8, (
        "wider figures are shrunk on the page until nobody can read them"
    )
    heads = [axes.get_title("left") for figure in shown for axes in figure.axes if axes.get_title("left")]
    assert heads == ["base", "arm-0", "arm-1", "arm-2", "arm-3"]


def test_labels_of_stages_never_meet(study, drawn, texts):
    view = study(stages=["pre_grok", "memorized", "step-101", "grokked", "final"])
    figure = drawn(view)["training"]
    stages = [
        box
        for text, box in texts(figure)
        if any(text.get_text().startswith(view.names.stage(stage)) for stage in view.stages)
    ]
    assert len(stages) == 5
    assert not any(a.overlaps(b) for a, b in itertools.combinations(stages, 2))


def test_robust_accuracy_is_drawn_beside_the_others(study, drawn, texts):
    view = study(trajectory={"steps": 1000, "robustness": {"attacks": [{"kind": "pgd_l2"}]}})
    halved = view.results.curves["validation_accuracy"] / 2
    view.results.curves["adversarial_pgd_l2_accuracy"] = halved
    figure = drawn(view)["training"]
    (dotted,) = [
        line for line in figure.axes[0].get_lines() if line.get_linestyle() == ":" and len(line.get_xdata()) > 2
    ]
    by_step = view.results.curves.groupby("step")["validation_accuracy"].median() / 2
    assert np.allclose(dotted.get_ydata(), by_step.loc[dotted.get_xdata()])
    assert "validation under pgd_l2" in [text.get_text() for text, _ in texts(figure)]
