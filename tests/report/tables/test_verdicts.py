"""Tables of verdicts against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ungrok.report.tables import verdicts
from ungrok.report.tables.table import Cell
from ungrok.study.claims import Effect, Note, Wins

TITLES = [
    "efficiency: strength, earlier ÷ later",
    "efficiency: function distance on retained data, earlier ÷ later",
    "collateral damage: percentage points, above 0 agrees",
    "stability: standard deviations, earlier ÷ later",
    "oracle gap: percentage points, above 0 agrees",
    "the paper's reading: percentage points, above 0 agrees",
    "the paper's reading: 1/accuracy, above 0 agrees",
]


def column(table, start):
    (place,) = [i for i, head in enumerate(table.columns) if head.startswith(start)]
    return place


def test_the_headline_has_a_row_a_method_with_ratios_and_points(study, plain):
    """From pre_grok 10 + seed updates, 20 more from grokked; both lose 0.1 of bystander accuracy, 0.05 of it beyond the oracle."""
    view = study(unlearn=[{"kind": "gradient_ascent"}, {"kind": "neggrad_plus"}])
    (table,) = verdicts.headline(view)
    assert table.title == "before grokking → after grokking, forgetting one class, at UA ≤ 0.1"
    assert [row[0] for row in table.rows] == ["gradient ascent", "NegGrad+"]
    assert table.columns[column(table, "updates at the same")] == "updates at the same rate, earlier ÷ later"
    damage = column(table, "damage")
    assert table.columns[damage] == "damage beyond the oracle, percentage points, earlier − later"
    mean = sum(math.log((10 + seed) / (30 + seed)) for seed in range(8)) / 8
    row = plain(table.rows[0])
    word, ratio, interval = row[column(table, "updates at the same")].split("/")
    assert (word, ratio) == ("refuted", f"× {math.exp(mean):.2g}")
    low, high = (float(end) for end in interval.strip("[]").split(", "))
    assert low < math.exp(mean) < high < 1
    assert row[damage].split("/")[1:] == ["0.0", "[0.0, 0.0]"]
    assert row[-1] == "8"


def test_what_has_no_value_says_why_in_one_cell(study):
    unlearn = [{"kind": "gradient_ascent"}, {"kind": "nabla_tau"}, {"kind": "scrub"}]
    (table,) = verdicts.headline(study(lambda cell: None if cell.method == "scrub" else 20.0, unlearn=unlearn))
    same = column(table, "updates at the same")
    assert table.rows[1][same] == Cell(("stops by itself",), reason=True)
    censored = table.rows[2][same]
    assert (censored.lines, censored.tone, censored.reason) == (
        ("inconclusive", "everything censored"), "inconclusive", True,
    )  # fmt: skip


def test_net_wins_stand_where_a_target_was_not_always_reached(study, plain, from_pre):
    """40 updates before; after grokking all 100 are spent in vain."""
    (table,) = verdicts.headline(study(from_pre([40.0] * 8)))
    assert plain(table.rows[0])[column(table, "updates at the same")] == "refuted/× 0.4/[0.4, 0.4]/net wins −8 of 8"
    cut = Effect(-1.0, unit="updates", scale="log ratio", cut_at=100.0)
    assert verdicts.net_wins(cut, Wins(3, 1, 4)) == ["net wins +2 of 8"]
    assert verdicts.net_wins(cut, Wins(2, 2, 0)) == ["net wins 0 of 4"]
    assert verdicts.net_wins(replace(cut, cut_at=None), Wins(3, 1, 4)) == verdicts.net_wins(cut, None) == []


@pytest.mark.parametrize(
    ("code", "short"), [("not_reached", "target not reached"), ("no_pairs", "no seed has both stages")]
)
def test_without_an_effect_the_first_reason_stands_in_the_cell(study, code, short):
    notes = (Note(code, {"before": 0, "after": 1, "pairs": 2}), Note("across_zero"))
    view = study()
    given = [replace(v, word="inconclusive", effect=replace(v.effect, value=None), notes=notes) for v in view.verdicts]
    (table,) = verdicts.headline(replace(view, verdicts=given))
    assert [cell.lines for cell in table.rows[0][1:-1]] == [("inconclusive", short)] * (len(table.columns) - 2)
    assert len(table.columns) > 2


def test_every_verdict_stands_under_its_claim_in_a_table_of_one_unit(study):
    view = study(unlearn=[{"kind": "fisher"}], claims={"compare": [["pre_grok", "grokked"]], "targets": [0.1]})
    tables = list(verdicts.all_verdicts(view, "later stage"))
    titles = [table.title for table in tables]
    assert titles == TITLES
    assert sum(len(table.rows) for table in tables) == len(view.verdicts) > 0
    assert tables[0].how.startswith(
        "From the later stage, fewer updates (or less strength) reach a target level of forgetting. 1 row"
    )
    # One comparison and one forget split need no columns.
    assert tables[0].columns[:3] == ["method", "metric", "at"]


def test_columns_name_comparison_and_split_where_there_are_several(study):
    view = study(forget=[{"kind": "class"}, {"kind": "classes", "classes": 2, "fraction": 0.5}])
    first = next(verdicts.all_verdicts(view, "later stage"))
    assert first.columns[:3] == ["forget split", "method", "metric"]
    assert {row[0] for row in first.rows} == {"one class", "half of two classes"}
    assert first.keys == 4


def test_too_few_seeds_leave_the_interval_unbounded(study, plain):
    view = study(seeds=[0, 1, 2, 3, 4])
    (table,) = verdicts.headline(view)
    assert plain(table.rows[0])[column(table, "updates at the same")].split("/")[0::2] == ["exploratory", "[0, ∞]"]
    every = next(verdicts.all_verdicts(view, "later stage"))
    assert plain(every.rows[0])[column(every, "interval")] == "[0, ∞]"
    assert "under six seeds" in plain(every.rows[0])[-1]


def test_without_both_stages_there_is_no_headline(study):
    view = study(options={"absent": lambda cell: cell.stage == "grokked"})
    assert list(verdicts.headline(view)) == []
    assert [v.note for v in view.verdicts] == ["no seed has both stages"]
