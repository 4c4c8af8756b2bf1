"""Tables of verdicts against numbers worked out by hand."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest

from ungrok.report.tables import verdicts
from ungrok.study.claims import Effect, Note


def test_the_headline_holds_every_verdict_as_given(study):
    view = study()
    table, matched = verdicts.headline(view)
    assert table.title == "pre_grok → grokked, forget split class, at UA ≤ 0.1"
    assert matched.title == "pre_grok → grokked, forget split class, at the matched dose"
    (row,) = table.rows
    assert len(row) == len(table.columns) == sum(span for _, span in table.groups)
    given = {(v.claim.kind, v.metric, str(v.at)): v for v in view.verdicts}
    efficiency = given["efficiency", "updates", "UA ≤ 0.1"]
    assert (efficiency.word, row[1].tone) == ("refuted", "refuted")
    mean = sum(math.log((10 + s) / (30 + s)) for s in range(8)) / 8
    assert row[1].lines[:2] == ("refuted", f"−{-mean:.2f}")
    assert row[1].lines[3] == f"{math.exp(-mean):.2g}× more updates"
    words = [given["collateral", n, "UA ≤ 0.1"].word for n in ("RA", "TA")]
    assert [cell.tone for cell in row[2:4]] == words


def test_an_effect_cut_off_at_the_budget_says_so(study, plain, from_pre):
    view = study(from_pre([40.0] * 8))
    (row,) = next(verdicts.headline(view)).rows
    assert plain(row)[1] == "refuted/−60/[−60, −60]/updates/restricted to 100"


@pytest.mark.parametrize(
    ("ends", "verdict", "said"),
    [
        ((0.1, 0.3), "inconclusive", "adjusted p = 0.07"),
        ((-0.3, -0.1), "inconclusive", "adjusted p = 0.07"),
        ((-0.1, 0.3), "inconclusive", None),
        ((-math.inf, math.inf), "inconclusive", None),
        ((0.1, 0.3), "supported", None),
    ],
)
def test_an_interval_on_one_side_of_zero_that_decides_nothing_says_why(study, ends, verdict, said):
    given = replace(study().verdicts[0], word=verdict, effect=Effect(0.2, ends, "accuracy"), p_value=0.07)
    lines = verdicts._verdict_cell(given).lines
    assert lines[3:] == ((said,) if said else ())


@pytest.mark.parametrize(
    ("code", "short"), [("not_reached", "target not reached"), ("no_pairs", "no seed has both stages")]
)
def test_without_an_effect_the_first_reason_stands_in_the_cell(study, code, short):
    notes = (Note(code, {"before": 0, "after": 1, "pairs": 2}), Note("across_zero"))
    given = replace(study().verdicts[0], word="inconclusive", effect=Effect(), notes=notes)
    assert verdicts._verdict_cell(given).lines == ("inconclusive", short)


def test_every_verdict_stands_under_its_claim(study):
    view = study(unlearn=[{"kind": "fisher"}], claims={"compare": [["pre_grok", "grokked"]], "targets": [0.1]})
    tables = [table for _, table in verdicts.all_verdicts(view)]
    assert [table.title for table in tables] == [
        "efficiency",
        "collateral damage",
        "stability",
        "oracle gap",
        "the paper's reading",
    ]
    assert sum(len(table.rows) for table in tables) == len(view.verdicts)
    assert tables[0].how == "From the later stage, fewer updates (or less strength) reach a target level of forgetting."


def test_too_few_seeds_leave_the_interval_unbounded(study, plain):
    view = study(seeds=[0, 1, 2, 3, 4])
    (row,) = next(verdicts.headline(view)).rows
    assert plain(row)[1].split("/")[2] == "[−∞, ∞]"
    counts, table = next(iter(verdicts.all_verdicts(view)))
    assert counts == "0 supported, 0 refuted, 2 inconclusive"
    assert plain(table.rows[0])[6] == "[−∞, ∞]"
    assert "too few seeds" in plain(table.rows[0])[-1]


def test_columns_without_a_verdict_are_left_out(study, plain):
    (table,) = verdicts.headline(study(options={"absent": lambda cell: cell.stage == "grokked"}))
    assert table.columns == ["method", "updates"]
    assert [plain(row) for row in table.rows] == [["gradient_ascent", "inconclusive/no seed has both stages"]]


def test_the_answer_counts_class_like_splits_only(study):
    forget = [{"kind": "class"}, {"kind": "classes", "classes": 2, "fraction": 0.5}, {"kind": "random", "size": 20}]
    view = study(forget=forget)
    assert verdicts.class_like(view) == ["class", "classes-2-0.5"]
    counts = {claim.kind: words for claim, words in verdicts.answer(view).items()}
    assert counts["efficiency"] == {"supported": 0, "refuted": 2, "inconclusive": 0}
    assert sum(counts["collateral"].values()) == 6
    assert sum(counts["paper"].values()) == 6


def test_without_class_like_splits_all_count(study):
    assert verdicts.class_like(study(forget=[{"kind": "random", "size": 20}])) == ["random-20"]


def test_without_a_number_the_oracle_is_the_primary_target(study):
    view = study(claims={"compare": [["pre_grok", "grokked"]], "targets": ["oracle"]})
    assert view.primary == "oracle"
    counts = {claim.kind: words for claim, words in verdicts.answer(view).items()}
    assert counts["efficiency"] == {"supported": 0, "refuted": 1, "inconclusive": 0}
