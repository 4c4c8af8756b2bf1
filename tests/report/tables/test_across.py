"""Tables over studies."""

from __future__ import annotations

import math

import pytest

from ungrok.report.across import questions
from ungrok.report.tables.across import of_study, rows_of, spread_of, studies, summary, title, transitioned, without
from ungrok.report.tables.table import Cell

SPACE = "\N{NO-BREAK SPACE}"


def test_a_question_is_called_by_what_is_compared(evidence, filed):
    rows = [
        filed(),
        filed(unit="log ratio of strength"),
        filed(reading="own_rate"),
        filed(claim="new_claim", reading=""),
    ]
    assert [title(one) for one in questions([evidence("digits", *rows)])] == [
        "updates at the same rate", "strength at the same rate", "updates at its own rate", "new claim",
    ]  # fmt: skip


def test_studies_are_listed_with_what_they_were_made_with(evidence):
    one = evidence("digits", transitions={"base": {"grokked": 2, "memorized_only": 1}, "sam": {"grokked": 3}})
    assert transitioned(one) == "2 of 3"
    assert studies([one]).rows == [
        ["digits", "3", "2 of 3", "2026-12-01", "66bf1ea7", "cpu: AMD EPYC, 2 workers", "0123abcd"]
    ]


def test_the_spread_of_ratios_is_a_factor_and_that_of_accuracies_is_in_points(evidence, filed):
    two, three = math.log(2), math.log(3)
    ratios = [evidence(name, filed(effect=effect)) for name, effect in (("a", -two), ("b", two), ("c", three))]
    (asked,) = questions(ratios)
    assert spread_of(asked.whole, asked) == [f"×{SPACE}2", f"×{SPACE}0.5 to ×{SPACE}3", "factor 2.6"]
    accuracies = {"claim": "collateral", "reading": "", "unit": "accuracy"}
    (asked,) = questions([evidence(n, filed(**accuracies, effect=e)) for n, e in (("a", 0.01), ("b", 0.03))])
    assert spread_of(asked.whole, asked) == ["2.0", "1.0 to 3.0", "1.4"]


def test_the_summary_counts_settings_and_keeps_units_apart(evidence, filed):
    damage = {"claim": "collateral", "reading": "", "unit": "accuracy", "effect": 0.02, "ci_low": 0.01, "ci_high": 0.03}
    every = [evidence("a", filed(), filed(**damage, verdict="supported")), evidence("b", filed(verdict="inconclusive"))]
    ratios, differences = summary(questions(every))
    assert ratios.rows == [
        [
            "updates at the same rate",
            "0",
            "1",
            "0",
            "1",
            "0",
            f"×{SPACE}0.18",
            f"×{SPACE}0.18 to ×{SPACE}0.18",
            "factor 1",
            "a, b",
        ]
    ]
    assert differences.columns[6] == "median, percentage points, above 0 agrees"
    assert differences.rows == [["damage beyond the oracle", "1", "0", "0", "0", "0", "2.0", "2.0 to 2.0", "–", "–"]]


def test_what_is_left_without_each_recipe(evidence, filed):
    every = [evidence("a", filed()), evidence("b", filed(verdict="inconclusive", effect=0.0, ci_high=1.0))]
    (asked,) = questions(every)
    assert [row[:6] for row in without(asked).rows] == [["a", "0", "0", "0", "1", "0"], ["b", "0", "1", "0", "0", "0"]]
    assert [row[6] for row in without(asked).rows] == [f"×{SPACE}1", f"×{SPACE}0.18"]
    assert without(questions(every[:1])[0]) is None


def test_every_row_stands_with_its_setting_and_notes(evidence, filed):
    row = filed(notes=[{"code": "coarse", "text": "median of only 7 updates"}])
    one = evidence("digits", row)
    (asked,) = questions([one])
    (cells,) = rows_of(asked, {"digits": one}).rows
    assert cells[:6] == ["digits", "one class", "ascent", "gradient ascent", "pre_grok → grokked", f"×{SPACE}0.18"]
    assert cells[6:8] == [f"[0.15,{SPACE}0.22]", "10"]
    assert [cell.lines for cell in cells[8:]] == [("refuted",), ("median of only 7 updates",)]


@pytest.fixture
def two_splits(evidence, filed):
    """Return a study with two forget splits, and two questions on the first."""
    points = {
        "claim": "collateral",
        "reading": "",
        "unit": "accuracy",
        "effect": -0.02,
        "ci_low": -0.03,
        "ci_high": None,
    }
    nothing = {"effect": None, "ci_low": None, "ci_high": None, "p_value": None, "verdict": "inconclusive"}
    lost = filed(**nothing, method="scrub", notes=[{"code": "no_pairs", "text": "no seed has both stages"}])
    return evidence("digits", filed(**points), filed(), lost, filed(forget="half"))


def test_a_study_is_a_table_per_split_with_a_column_per_question(two_splits):
    first, second = of_study(two_splits)
    assert (first.title, second.title) == (
        "pre_grok → grokked, forgetting one class",
        "pre_grok → grokked, forgetting half",
    )
    assert first.columns == ["method", "updates at the same rate", "damage beyond the oracle"]
    assert first.rows == [
        [
            "gradient ascent",
            Cell(("refuted", f"×{SPACE}0.18", f"[0.15,{SPACE}0.22]"), "refuted"),
            Cell(("refuted", f"−2.0{SPACE}pp", f"[−3.0,{SPACE}∞]"), "refuted"),
        ],
        ["scrub", Cell(("inconclusive", "no seed has both stages"), "inconclusive", reason=True), "–"],
    ]
    assert second.columns == ["method", "updates at the same rate"]
