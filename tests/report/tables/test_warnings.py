"""What limits the conclusions."""

from __future__ import annotations

from ungrok.report.tables import warnings


def test_warnings_name_what_is_missing_coarse_or_diverged(study):
    texts = warnings.warnings(study(options={"absent": lambda cell: cell.stage == "grokked" and cell.seed < 3}))
    assert (
        "The stage “after grokking” is missing in 3 of 8 seeds (memorized only); these seeds are in no comparison with it."
        in texts
    )
    assert any("below 20 updates (gradient ascent)" in text for text in texts)
    texts = warnings.warnings(study(lambda cell: None, options={"diverges": True}))
    assert texts == [
        "Unlearning paths that ended in non-finite numbers: gradient ascent after grokking 8 of 8; gradient ascent before grokking 8 of 8."
    ]


def test_warnings_name_the_methods_that_leave_models_as_they_were(study):
    texts = warnings.warnings(study(lambda cell: None if cell.stage == "grokked" or cell.seed < 2 else 50.0))
    assert texts[-1] == (
        "Unlearning paths along which UA, RA and TA never change: "
        "gradient ascent after grokking 8 of 8; gradient ascent before grokking 2 of 8."
    )
    assert not any("never change" in text for text in warnings.warnings(study(lambda cell: 50.0)))
