"""Tables of measures: numbers beside their nulls, claims beside measures, predictions as computed."""

from __future__ import annotations

import math
import statistics
from dataclasses import replace

from ungrok.report.mechanism import Mechanism
from ungrok.report.tables.mechanism import tables

ARMS = {"slow": {"trajectory": {"batch_size": 32}}}
STAGES = ["before grokking", "after grokking"]
ANALYZE = [{"kind": "gradient_alignment"}, {"kind": "weight_norm"}]


def is_late(stage):
    return 0.0 if stage == "pre_grok" else 1.0


def lines(cell):
    return cell if isinstance(cell, str) else list(cell.lines)


def effects_of(view, comparison):
    """Return the effects on updates at the headline's target, at the same rate."""
    rows = [
        v for v in view.verdicts if (v.reading, v.metric, v.comparison.label) == ("same_rate", "updates", comparison)
    ]
    values = [v.effect.value for v in rows if str(v.at) == "UA ≤ 0.1" and v.effect.value is not None]
    assert values
    return values


def median_and_signs(effects):
    middle = f"×\N{NO-BREAK SPACE}{math.exp(statistics.median(effects)):.2g}"
    return [middle, f"agrees in {sum(effect > 0 for effect in effects)} of {len(effects)}"]


def test_values_stand_beside_their_nulls_and_changes_have_intervals(measured_study):
    together, values, _ = tables(Mechanism(measured_study))
    assert values.columns == ["measure", "on", "unit", *STAGES, *(f"slow, {stage}" for stage in STAGES)]
    cosine, norm = values.rows
    assert cosine[:3] == ["gradient cosine", "forget|retain", "1"]
    assert lines(cosine[3]) == ["0.904 ± 0.00245", "permuted [0.8,\xa00.95], outside in 0 of 8"]
    assert lines(cosine[4])[1] == "permuted [0.8,\xa00.95], outside in 8 of 8"
    assert lines(norm[3]) == ["3 ± 0"]
    change = next(row for row in together.rows if row[1] == "gradient cosine")
    assert lines(change[3]) == ["−0.4", "[−0.4,\xa0−0.4]"]


def test_an_estimate_shows_the_standard_error_of_its_probes(study, measures, with_measures):
    base = study(analyze=[{"kind": "curvature"}])
    one = with_measures(
        base,
        *(measures(base, name, lambda seed, arm, stage, size=size: size, analysis="curvature") for name, size in
          (("hessian_trace", 3.0), ("hessian_trace_error", 0.5))),
    )  # fmt: skip
    values = next(t for t in tables(Mechanism(one)) if t.title.startswith("Measures of mechanism"))
    assert [(row[0], lines(row[3])) for row in values.rows] == [("hessian trace", ["3 ± 0", "estimated ± 0.5"])]


def test_a_null_of_few_draws_has_no_quantiles(measured_study):
    table = measured_study.results.mechanism.copy()
    table.loc[table["null"] != "", "draws"] = 1.0
    few = replace(measured_study, results=replace(measured_study.results, mechanism=table))
    values = next(t for t in tables(Mechanism(few)) if t.title.startswith("Measures of mechanism"))
    assert lines(values.rows[0][3])[1] == "permuted 0.875 (1 draw)"


def test_claims_and_measures_stand_in_one_table_one_column_per_comparison(study, measures, with_measures):
    compare = [["pre_grok", "grokked"], ["grokked", {"arm": "slow", "stage": "grokked"}]]
    base = study(analyze=ANALYZE, arms=ARMS, claims={"compare": compare, "targets": [0.1]})
    one = with_measures(
        base, measures(base, "gradient_cosine", lambda seed, arm, stage: seed + is_late(stage) + 5 * (arm == "slow"))
    )
    table = next(tables(Mechanism(one)))
    assert table.columns == [
        "",
        "what",
        "on",
        "before grokking → after grokking",
        "after grokking → slow, after grokking",
    ]
    by_name = {row[1]: row for row in table.rows}
    assert [lines(cell)[0] for cell in by_name["gradient cosine"][3:]] == ["1", "5"]
    effects = effects_of(one, "grokked → slow/grokked")
    assert lines(by_name["efficiency, same rate"][4]) == median_and_signs(effects)


def test_measures_of_two_forget_splits_are_compared(study, measures, with_measures):
    splits = [{"kind": "classes", "name": name, "classes": 1, "fraction": 1.0} for name in ("early", "late")]
    sides = [{"stage": "grokked", "forget": name} for name in ("early", "late")]
    base = study(analyze=ANALYZE, forget=splits, claims={"compare": [sides], "targets": [0.1]})
    one = with_measures(
        base,
        measures(base, "gradient_cosine", lambda seed, arm, stage: 0.1 * seed, forget="early"),
        measures(base, "gradient_cosine", lambda seed, arm, stage: 0.1 * seed + 2 + is_late(stage), forget="late"),
    )
    *_, table = [t for t in tables(Mechanism(one)) if t.title.startswith("Arms, measures and claims")]
    assert table.columns == ["", "what", "on", "early → late, after grokking"]
    by_name = {row[1]: row for row in table.rows}
    assert lines(by_name["gradient cosine"][3]) == ["3", "[3,\xa03]"]
    effects = effects_of(one, "grokked/early → grokked/late")
    assert lines(by_name["efficiency, same rate"][3]) == median_and_signs(effects)


def test_what_is_predicted_is_what_was_computed(measured_study):
    part = Mechanism(measured_study)
    table = list(tables(part))[2]
    own = part.mediation[(part.mediation["measure"] == "gradient_cosine") & (part.mediation["outcome"] == "updates")]
    row = next(r for r in table.rows if r[0] == "gradient cosine")
    assert row[7] == f"{own['rank_correlation'].item():.2f}".replace("-", "−")
    assert row[9:11] == [f"{own['permutation_p'].item():.3f}", own["answer"].item()]
    assert part.sentences()[0].startswith("gradient cosine: does it predict beyond test accuracy? damage: ")


def test_texts_hold_no_code(measured_study):
    assert not [table for table in tables(Mechanism(measured_study)) if "{" in table.title + table.how]


def test_a_pair_of_swapped_seeds_is_one_observation(swapped_study, measures, with_measures):
    """The early group has 0.1 more, and what its examples alone are worth, which cancels in the pair."""
    base, planted = swapped_study
    one = with_measures(
        base,
        measures(base, "gradient_cosine", lambda *_: 0.0, forget="late-6"),
        measures(base, "gradient_cosine", lambda seed, *_: 0.1 + planted(seed), forget="early-6"),
    )
    *_, table = [t for t in tables(Mechanism(one)) if t.title.startswith("Arms, measures and claims")]
    row = next(row for row in table.rows if row[1] == "gradient cosine")
    assert lines(row[3]) == ["0.1", "[0.1,\xa00.1]"]
    assert "over swapped pairs of seeds" in table.how
