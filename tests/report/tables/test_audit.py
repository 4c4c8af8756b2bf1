"""The tables of an audit hold the numbers of its file."""

from __future__ import annotations

import pytest

from ungrok.report.tables.audit import audit_tables
from ungrok.study.names import Names


@pytest.fixture
def tables(audited):
    recipe, content = audited
    return {table.title: table for table in audit_tables(content, Names(recipe))}


def test_privacy_names_both_sides_and_the_word(audited, tables):
    (told,) = audited[1]["privacy"]["rows"]
    (row,) = tables["Privacy: U-LiRA at both stages"].rows
    assert row[:5] == ["at memorization", "at the end", "one class", "NegGrad+", "16"]
    assert row[5] == "100 % → 100 %"
    assert row[6:9] == [f"{told[name]:.3f}" for name in ("earlier", "later", "effect")]
    assert row[9] == f"[{told['interval'][0]:.3f},\N{NO-BREAK SPACE}{told['interval'][1]:.3f}]".replace("-", "−")
    assert row[11] == told["word"] == "supported"


def test_planted_truths_stand_with_their_null_and_the_word(audited, tables):
    for told, row in zip(audited[1]["planted"], tables["Measures on planted truths"].rows, strict=True):
        retrain, half, identity = told["truths"]
        assert row[3] == "4"
        assert [cell.split()[0] for cell in row[4:7]] == [f"{one['excess']:.3f}" for one in (retrain, half, identity)]
        assert row[7:] == [f"{retrain['null']:.3f}", told["words"]]


def test_measures_stand_with_interval_null_and_models_needed(audited, tables):
    for told, row in zip(audited[1]["rows"], tables["Measures of unlearned models"].rows, strict=True):
        assert row[3:6] == ["NegGrad+", "8", f"{told['value']:.3f}"]
        assert row[9].startswith(f"{told['null']['mean']:.3f} [{told['null']['interval'][0]:.3f},")
        models = told["needed"]["models"]
        assert row[10].startswith("–" if models is None else str(models))


def test_accuracies_of_shadows_are_those_counted_by_hand(audited, tables):
    rows = tables["Shadow models"].rows
    assert [row[3] for row in rows[:3]] == ["nothing unlearned", "never saw the forget set", "NegGrad+"]
    assert [row[1] for row in rows] == ["16 of 16"] * 6
    for row, told in zip(rows, audited[1]["accuracies"], strict=True):
        assert row[5:8] == [f"{told[name]:.3f}" for name in ("forget_set", "retain", "test")]
    told = audited[1]["accuracies"]
    assert [row[8] for row in rows[:3]] == ["–", "–", f"{told[2]['down']} of 8"]


def test_memorization_and_entanglement_have_a_row_a_stage(audited, tables):
    for row, told in zip(tables["Memorization"].rows, audited[1]["memorization"], strict=True):
        assert row[1:4] == ["16", str(told["examples"]), f"{told['mean']:.3f}"]
    assert [row[:3] for row in tables["Entanglement"].rows] == [
        [stage, "one class", "8"] for stage in ("at memorization", "at the end")
    ]


def test_a_study_without_an_audit_has_none(audited):
    assert list(audit_tables({}, Names(audited[0]))) == []
