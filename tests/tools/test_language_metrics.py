"""The table of values in docs/language.md is that of the script, as far as no model has to be trained for it."""

from __future__ import annotations

from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
SOURCE = ROOT / "tools" / "language_metrics.py"
COMPARED = ("forget_quality", "forget_ks", "reference_auc", "privleak")
"""Metrics that need the oracle, which takes a minute to train."""


def documented():
    """Return the table by metric and model, as text."""
    lines = (ROOT / "docs" / "language.md").read_text(encoding="utf-8").splitlines()
    start = next(i for i, line in enumerate(lines) if line.startswith("| metric | uniform |"))
    head, _, *rows = [line.strip("| ").split(" | ") for line in lines[start : lines.index("", start)]]
    return {row[0].strip("`"): dict(zip(head[1:], row[1:], strict=True)) for row in rows}


def test_the_page_has_every_metric_and_every_model(script):
    table = documented()
    assert tuple(table) == script.ROWS
    assert all(list(row) == list(script.MODELS) for row in table.values())


@pytest.fixture(scope="module")
def rows(script):
    return script.measured(["uniform", "broken", "untrained"])


@pytest.mark.parametrize("model", ["uniform", "broken"])
def test_values_of_models_without_weights_are_those_of_the_page(script, rows, model):
    page = {name: row[model] for name, row in documented().items() if name not in COMPARED}
    assert {name: script.text(rows[model], name) for name in page} == page


def test_values_of_an_untrained_model_are_nearly_those_of_the_page(script, rows):
    """Rounding differs from machine to machine."""
    for name, row in documented().items():
        if name not in COMPARED:
            assert float(script.text(rows["untrained"], name)) == pytest.approx(float(row["untrained"]), abs=0.03)


def test_what_follows_without_measuring(script, rows):
    """Of V tokens alike the first is the choice, which pads and is no answer; wrong answers are as likely as true ones."""
    uniform, vocabulary = rows["uniform"], 512
    assert uniform["probability_forget"] == pytest.approx(1 / vocabulary)
    assert (uniform["UA"], uniform["extraction_forget"], uniform["fluency_forget"]) == (0, 0, 0)
    assert (uniform["truth_ratio_forget"], uniform["R_forget"]) == pytest.approx((1, 1))
    assert (uniform["loss_auc"], uniform["min_k_auc"], uniform["min_k_plus_plus_auc"]) == (0.5, 0.5, 0.5)
    assert uniform["ES_forget"] > 0
    assert rows["broken"]["UA"] > 0
