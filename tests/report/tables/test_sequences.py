"""The table of requests in sequence, against numbers worked out by hand."""

from __future__ import annotations

from dataclasses import replace

import pandas as pd
import pytest

from ungrok.report.tables.sequences import sequences
from ungrok.study.results import SEQUENCES


def rows(method, subject, seed, retained, left, updates, stage="grokked"):
    """Rows of a sequence of two requests; TA is RA − 0.1, bystander accuracy RA."""
    place = {"seed": seed, "arm": "base", "stage": stage, "forget": "class", "method": method, "subject": subject}
    return [
        place | {"phase": phase, "of": of, "UA": ua, "RA": ra, "TA": ra - 0.1, "bystander_accuracy": ra}
        | {"updates": updates * phase, "forget_passes": 1.0 * phase, "retain_passes": None, "reached": True}
        for phase, (ra, own) in enumerate(zip(retained, left, strict=True), start=1)
        for of, ua in enumerate(own, start=1)
    ]  # fmt: skip


ROWS = [
    *rows("retrain from scratch", "oracle", 0, [0.9, 0.92], [[0.0], [0.01, 0.0]], 400),
    *rows("retrain from scratch", "oracle_2", 0, [0.9, 0.89], [[0.0], [0.05, 0.0]], 400),
    *rows("gradient_ascent", "unlearned", 0, [0.9, 0.7], [[0.1], [0.5, 0.0]], 3),
    *rows("gradient_ascent", "unlearned", 1, [0.9, 0.8], [[0.1], [0.3, 0.1]], 5),
    *rows("gradient_ascent", "unlearned", 2, [float("nan")], [[float("nan")]], 5),
]


@pytest.fixture
def asked(study):
    view = study(requests=2)
    return replace(view, results=replace(view.results, sequences=pd.DataFrame(ROWS, columns=SEQUENCES)))


def test_a_row_for_the_oracle_the_floor_and_every_method(asked, plain):
    (table,) = sequences(asked)
    assert table.title == "After 2 requests in sequence, forgetting one class"
    assert sum(span for _, span in table.groups) == len(table.columns)
    assert [plain(row) for row in table.rows] == [
        ["oracle", "after grokking", "1 of 1", "0.000", "1.0", "−2.0", "−2.0", "−2.0", "800", "2", "–"],
        ["floor", "after grokking", "–", "–", "4.0", "3.0", "3.0", "3.0", "–", "–", "–"],
        ["gradient ascent", "after grokking", "2 of 3", "0.050/± 0.071", "30.0/± 14.1", *["15.0/± 7.1"] * 3, "8 [6, 10]", "2 [2, 2]", "–"],
    ]  # fmt: skip


def test_one_request_has_no_table(study):
    assert list(sequences(study())) == []
