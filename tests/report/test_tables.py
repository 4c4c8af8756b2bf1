"""Tables against numbers worked out by hand."""

from __future__ import annotations

import math

import pytest

from ungrok.report import tables

NBSP = "\N{NO-BREAK SPACE}"


def plain(row):
    """Return a row's cells as text, lines parted by a slash."""
    return [(cell if isinstance(cell, str) else "/".join(cell.lines)).replace(NBSP, " ") for cell in row]


def from_pre(times, later=None):
    """Reach the target from pre_grok at the given times (None: never), from any other stage at ``later``."""
    return lambda cell: times[cell.seed] if cell.stage == "pre_grok" else later


def test_the_headline_holds_every_verdict_as_given(study):
    view = study()
    table, matched = tables.headline(view)
    assert table.title == "pre_grok → grokked, forget split class, at UA ≤ 0.1"
    assert matched.title == "pre_grok → grokked, forget split class, at the matched dose"
    (row,) = table.rows
    assert len(row) == len(table.columns) == sum(span for _, span in table.groups)
    given = {(v["claim"], v["setting"]["metric"], v["setting"]["at"]): v for v in view.verdicts}
    efficiency = given["efficiency", "updates", "UA ≤ 0.1"]
    assert (efficiency["verdict"], row[1].tone) == ("refuted", "refuted")
    mean = sum(math.log((10 + s) / (30 + s)) for s in range(8)) / 8
    assert row[1].lines[:2] == ("refuted", f"−{-mean:.2f}")
    assert row[1].lines[3] == f"{math.exp(-mean):.2g}× more updates"
    words = [given["collateral", n, "UA ≤ 0.1"]["verdict"] for n in ("RA", "TA")]
    assert [cell.tone for cell in row[2:4]] == words


def test_an_effect_cut_off_at_the_budget_says_so(study):
    view = study(from_pre([40.0] * 8))
    (row,) = next(tables.headline(view)).rows
    assert plain(row)[1] == "refuted/−60/[−60, −60]/updates/restricted to 100"


@pytest.mark.parametrize(
    ("ends", "verdict", "said"),
    [
        ((0.1, 0.3), "inconclusive", "adjusted p = 0.07"),
        ((-0.3, -0.1), "inconclusive", "adjusted p = 0.07"),
        ((-0.1, 0.3), "inconclusive", None),
        ((None, None), "inconclusive", None),
        ((0.1, 0.3), "supported", None),
    ],
)
def test_an_interval_on_one_side_of_zero_that_decides_nothing_says_why(ends, verdict, said):
    given = {
        "verdict": verdict,
        "unit": "accuracy",
        "effect": 0.2,
        "ci_low": ends[0],
        "ci_high": ends[1],
        "p_value": 0.07,
    }
    lines = tables._verdict_cell(given).lines
    assert lines[3:] == ((said,) if said else ())


def test_too_few_seeds_leave_the_interval_unbounded(study):
    view = study(seeds=[0, 1, 2, 3, 4])
    (row,) = next(tables.headline(view)).rows
    assert plain(row)[1].split("/")[2] == "[−∞, ∞]"
    counts, table = next(iter(tables.all_verdicts(view)))
    assert counts == "0 supported, 0 refuted, 2 inconclusive"
    assert plain(table.rows[0])[6] == "[−∞, ∞]"
    assert "too few seeds" in plain(table.rows[0])[-1]


def test_columns_without_a_verdict_are_left_out(study):
    (table,) = tables.headline(study(options={"absent": lambda cell: cell.stage == "grokked"}))
    assert table.columns == ["method", "updates"]
    assert [plain(row) for row in table.rows] == [["gradient_ascent", "inconclusive/no seed has both stages"]]


def test_the_answer_counts_class_like_splits_only(study):
    forget = [{"kind": "class"}, {"kind": "classes", "classes": 2, "fraction": 0.5}, {"kind": "random", "size": 20}]
    view = study(forget=forget)
    assert tables.class_like(view) == ["class", "classes-2-0.5"]
    counts = tables.answer(view)
    assert counts["efficiency"] == {"supported": 0, "refuted": 2, "inconclusive": 0}
    assert sum(counts["collateral"].values()) == 6
    assert sum(counts["paper"].values()) == 6


def test_without_class_like_splits_all_count(study):
    assert tables.class_like(study(forget=[{"kind": "random", "size": 20}])) == ["random-20"]


@pytest.mark.parametrize(
    ("times", "median", "spread"),
    [
        ([10.0, 20.0, 30.0, 40.0, 50.0, 60.0, 70.0, 80.0], "45", "[10, 80]"),
        ([10.0, 20.0, 30.0, 40.0, 50.0, None, None, None], "45", "[10, > 100]"),
        # Half reached: the median lies above the last time, and that is all that is known.
        ([10.0, 20.0, 30.0, 40.0, None, None, None, None], "> 40", "[10, > 100]"),
        ([10.0, None, None, None, None, None, None, None], "> 100", "[10, > 100]"),
        ([None] * 8, "> 100", ""),
    ],
)
def test_medians_of_updates_respect_censoring(study, times, median, spread):
    (table,) = tables.updates_to_target(study(from_pre(times, 5.0)))
    row = plain(table.rows[0])
    reached = sum(time is not None for time in times)
    assert row[:2] == ["gradient_ascent", "pre_grok"]
    assert row[2] == "/".join(part for part in (median, spread) if part)
    assert row[3:6] == [f"{reached} of 8", "0", str(8 - reached)]


def test_paths_with_nothing_to_forget_are_counted_apart(study):
    (table,) = tables.updates_to_target(study(options={"ua0": 0.05}))
    assert plain(table.rows[0])[2:6] == ["–", "0 of 8", "8", "0"]


def test_the_oracle_gap_stands_beside_its_noise_floor(study):
    (table,) = tables.oracle_gaps(study())
    oracle, _, early, late = map(plain, table.rows)
    # |0.2 − 0.26|, |1 − 0.97| and |0.8 − 0.8| over three, from the one seed that has a second oracle.
    assert oracle[:3] + oracle[6:7] == ["oracle", "pre_grok", "–", "0.030/n = 1"]
    assert early[2:7] == ["8 of 8", "0.000/± 0.000", "0.900/± 0.000", "0.800/± 0.000", "0.067/± 0.000"]
    assert late[:2] == ["gradient_ascent", "grokked"]


def test_methods_are_ranked_by_their_gap_where_rewinding_leads(study):
    """At dose 50, the rewound place, finetune has reached 0.2/3 and gradient_ascent still stands at 0.8/3, as at the start."""
    view = study(
        lambda cell: 10.0 if cell.method == "finetune" else 80.0,
        unlearn=[{"kind": "gradient_ascent"}, {"kind": "finetune"}],
    )
    (table,) = tables.ranking(view)
    assert [text for text, _ in table.groups] == ["", "pre_grok", "grokked"]
    first, second, nothing = map(plain, table.rows)
    assert first[:6] == ["finetune", "1", "0.067/± 0.000", "0.000/± 0.000", "1", "0.067/± 0.000"]
    assert second[:6] == ["gradient_ascent", "2", "0.267/± 0.000", "1.000/± 0.000", "1", "0.067/± 0.000"]
    assert nothing[:6] == ["none", "2", "0.267/± 0.000", "1.000/± 0.000", "3", "0.267/± 0.000"]
    assert first[6:] == first[1:6]


def test_one_method_is_not_ranked(study):
    assert list(tables.ranking(study())) == []


def test_seeds_that_diverged_are_counted_in_the_oracle_gap(study):
    (table,) = tables.oracle_gaps(study(lambda cell: None, options={"diverges": True}))
    assert plain(table.rows[2])[2:4] == ["0 of 8", "–"]


def test_learning_rates_are_chosen_on_validation_accuracy(study):
    view = study(
        lambda cell: None if cell.method.endswith("0.1") and cell.seed < 4 else 20.0,
        unlearn=[{"kind": "gradient_ascent", "lr": [0.1, 0.001, 0.01]}, {"kind": "finetune"}],
    )
    rows = view.results.rows
    gentle = (rows["method"] == "gradient_ascent lr=0.01") & (rows["dose"] >= 20)
    rows.loc[gentle, "validation_accuracy"] = 0.88
    rows.loc[rows["method"] == "gradient_ascent lr=0.1", "validation_accuracy"] = 0.9
    (table,) = tables.learning_rates(view)
    assert tables.families(view.recipe.unlearn_labels()).keys() == {"gradient_ascent"}
    assert list(table.columns[2:5]) == ["lr 0.001", "lr 0.01", "lr 0.1"]
    row = plain(table.rows[0])
    # 0.1 costs nothing, but half of the seeds are not most of them; 0.01 costs 0.02 and 0.001 costs 0.1.
    assert row[2:5] == ["20 (8 of 8)", "20 (8 of 8)", "> 20 (4 of 8)"]
    assert row[5:] == ["0.01", "20/[20, 20]", "8 of 8", "0.020", "0.100"]


def test_no_rate_is_chosen_where_none_reaches_the_target(study):
    (table,) = tables.learning_rates(study(lambda cell: None, unlearn=[{"kind": "finetune", "lr": [0.1, 0.01]}]))
    assert plain(table.rows[0])[4:] == ["none in most seeds", "–", "–", "–", "–"]


def test_transitions_give_the_interval_that_the_grid_leaves_open(study):
    table = tables.transitions(study(options={"absent": lambda cell: cell.stage == "grokked" and cell.seed == 1}))
    assert plain(table.rows[0]) == [
        "base", "0", "grokked", "(10, 50]", "(200, 400]", "8.00×", "141 (0.90)", "100", "400", "0.940",
    ]  # fmt: skip
    assert plain(table.rows[1])[2:6] == ["memorized_only", "(10, 50]", "–", "–"]
    assert plain(table.rows[1])[8] == "–"


def test_grok_rates_have_wilson_intervals(study):
    view = study(options={"absent": lambda cell: cell.stage == "grokked" and cell.seed < 3})
    all_data, oracles = map(plain, tables.grok_rates(view).rows)
    k, n, z = 5, 8, 1.959964
    middle = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * math.sqrt(k * (n - k) / n + z**2 / 4)
    assert all_data[2:] == ["5 of 8", "0.62", f"[{middle - half:.2f}, {middle + half:.2f}]", "3 memorized_only"]
    assert oracles[1:3] == ["oracles, without class", "7 of 8"]


def test_extra_training_is_paid_back_by_cheaper_requests(study):
    # 300 more steps at 0.01 s cost 3 s; one update less at 0.5 s saves 0.5 s a request: six requests.
    view = study(lambda cell: 12.0 if cell.stage == "pre_grok" else 11.0)
    assert plain(tables.training_cost(view).rows[0])[1:] == ["8", "300 [300, 300]", "3 [3, 3]"]
    row = plain(tables.request_cost(view).rows[0])
    assert row[2:] == ["gradient_ascent", "8 of 8", "12", "11", "0.5", "0.5", "6"]


def test_extra_training_is_never_paid_back_by_dearer_requests(study):
    row = plain(tables.request_cost(study()).rows[0])
    assert row[4:] == ["13.5", "33.5", "0.5", "−10", "never: the later stage needs more"]


def test_cost_is_taken_from_seeds_that_reached_from_both(study):
    row = plain(tables.request_cost(study(from_pre([10.0] * 3 + [None] * 5, 4.0))).rows[0])
    assert row[3:6] == ["3 of 8", "10", "4"]
    row = plain(tables.request_cost(study(from_pre([None] * 8, 4.0))).rows[0])
    assert row[-1] == "never reached from both"


@pytest.mark.parametrize(
    ("extra", "saved", "shown"),
    [
        (3.0, 0.5, "6"), (3.1, 0.5, "7"), (4000.0, 1.0, "4,000"), (0.0, 1.0, "at once"), (math.nan, 1.0, "–"),
        (3.0, 0.0, "never: both need the same"), (3.0, -1.0, "never: the later stage needs more"),
    ],
)  # fmt: skip
def test_breaking_even(extra, saved, shown):
    assert tables.break_even(extra, saved) == shown


def test_one_shot_methods_cost_no_updates(study):
    view = study(unlearn=[{"kind": "fisher"}])
    assert view.one_shot("fisher")
    assert tables.request_cost(view) is None


def test_warnings_name_what_is_missing_coarse_or_diverged(study):
    found = tables.warnings(study(options={"absent": lambda cell: cell.stage == "grokked" and cell.seed < 3}))
    assert (
        "Stage grokked is missing in 3 of 8 seeds (memorized_only); these seeds are in no comparison with it." in found
    )
    assert any("below 20 updates (gradient_ascent)" in text for text in found)
    found = tables.warnings(study(lambda cell: None, options={"diverges": True}))
    assert found == [
        "Unlearning paths that ended in non-finite numbers: gradient_ascent from grokked 8 of 8; gradient_ascent from pre_grok 8 of 8."
    ]


def test_without_a_number_the_oracle_is_the_primary_target(study):
    view = study(claims={"compare": [["pre_grok", "grokked"]], "targets": ["oracle"]})
    assert view.primary == "oracle"
    assert tables.answer(view)["efficiency"] == {"supported": 0, "refuted": 1, "inconclusive": 0}


def test_provenance_is_flattened():
    made = {"versions": {"torch": "2.13"}, "gpu": None, "threads_per_job": 1}
    assert tables.provenance(made).rows == [["versions torch", "2.13"], ["gpu", "–"], ["threads per job", "1"]]
