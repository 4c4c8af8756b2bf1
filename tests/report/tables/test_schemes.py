"""Tables of schemes, against rows worked out by hand; those of a whole study are in ``study/test_scheme_costs``."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd

from ungrok.report.tables.schemes import schemes
from ungrok.study.results_schemes import SCHEMES


def row(seed, hit, passes):
    accuracies = {
        f"{prefix}{name}": value
        for prefix, value in (("", 0.5), ("before_", 0.75), ("oracle_", 0.8))
        for name in ("UA", "RA", "TA")
    }
    numbers = {
        "members": 5,
        "hit": hit,
        "training_passes": 100.0,
        "passes": passes,
        "training_seconds": 10.0,
        "seconds": 3.0,
    }
    return {"seed": seed, "scheme": "sisa", "forget": "class", "diverged": False} | numbers | accuracies  # fmt: skip


def test_training_and_requests_are_priced_together(study, plain):
    view = study()
    view = replace(
        view, results=replace(view.results, schemes=pd.DataFrame([row(0, 3, 30.0), row(1, 5, 50.0)], columns=SCHEMES))
    )
    (table,) = schemes(view)
    assert [plain(line) for line in table.rows] == [
        ["SISA", "one class", "2", "4 of 5", "100", "40", "140", "10", "3", *["0.750"] * 3, *["0.500"] * 3, *["0.800"] * 3]
    ]  # fmt: skip
    assert sum(span for _, span in table.groups) == len(table.columns) == len(table.rows[0])


def test_no_table_without_schemes(study):
    assert list(schemes(study())) == []
