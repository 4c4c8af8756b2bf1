"""Claims on hand-made paths, against effects worked out by hand."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ungrok.study.claims import judge
from ungrok.study.loading import load
from ungrok.study.statistics import sign_flip, spread_ratio

BUDGET, DOSE = 100.0, 50.0
SEEDS = list(range(8))


def recipe(tiny, *overrides):
    return tiny(f"seeds={SEEDS}", "unlearn=[{kind: gradient_ascent}]", "claims.targets=[0.1, oracle]", *overrides)


def path(seed, stage, hit, *, ra=0.9, ta=0.8, ua0=1.0, oracle=0.2, end=None, method="gradient_ascent"):
    """Return the rows of a path that reaches UA 0 at update ``hit`` (None: never) with the RA and TA given."""
    doses = sorted({0.0, DOSE, BUDGET, *([hit] if hit else [])})
    rows = []
    for dose in doses:
        done = hit is not None and dose >= hit
        ua = ua0 if not done else 0.0
        if end is not None and dose >= DOSE:
            ua = end
        rows.append(
            {
                "seed": seed, "arm": "base", "stage": stage, "step": 1, "forget": "class", "method": method,
                "dose": float(dose), "updates": int(dose), "UA": ua, "RA": ra if done else 1.0,
                "TA": ta if done else 0.9, "bystander_accuracy": None, "validation_accuracy": 0.9,
                "reached_0.1": ua0 <= 0.1 or done,
                "reached_oracle": None if oracle is None else ua0 <= oracle or done,
                "rewound": dose == doses[-1], "diverged": False,
                "oracle_gap": None if oracle is None else abs(ua - oracle) / 3,
            }
        )  # fmt: skip
    return rows


def verdicts(recipe, *paths):
    rows = pd.DataFrame([row for rows in paths for row in rows])
    for flag in ("reached_0.1", "reached_oracle"):
        rows[flag] = rows[flag].astype("boolean")
    found = judge(rows, recipe, dict.fromkeys(recipe.unlearn_labels(), (BUDGET, DOSE)))
    assert all(
        list(v) == ["claim", "comparison", "setting", "effect", "unit", "ci_low", "ci_high", "n_seeds", "p_value",
                    "verdict", "note"]
        for v in found
    )  # fmt: skip
    return {(v["claim"], v["setting"]["metric"], v["setting"]["at"], v["setting"]["method"]): v for v in found}


def pick(found, claim, metric, at="UA ≤ 0.1", method="gradient_ascent"):
    return found[claim, metric, at, method]


def pairs(before, after, **kwargs):
    return [
        path(s, stage, hit[s], **kwargs) for stage, hit in (("pre_grok", before), ("grokked", after)) for s in SEEDS
    ]


def test_fewer_updates_after_grokking_support_efficiency(tiny):
    before, after = [40 + s for s in SEEDS], [20 + s for s in SEEDS]
    found = pick(verdicts(recipe(tiny), *pairs(before, after)), "efficiency", "updates")
    expected = sign_flip(np.log(np.array(before) / np.array(after)))
    assert found["effect"] == pytest.approx(expected.effect)
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert found["p_value"] == 2 / 2**8
    assert (found["unit"], found["verdict"], found["n_seeds"], found["note"]) == (
        "log ratio of updates", "supported", 8, "",
    )  # fmt: skip


def test_more_updates_after_grokking_refute_efficiency(tiny):
    found = pick(verdicts(recipe(tiny), *pairs([20] * 8, [40 + s for s in SEEDS])), "efficiency", "updates")
    assert found["verdict"] == "refuted"
    assert found["effect"] < -math.log(2) + 1e-9


def test_equal_updates_are_refuted_as_no_difference(tiny):
    found = pick(verdicts(recipe(tiny), *pairs([40] * 8, [40] * 8)), "efficiency", "updates")
    assert (found["effect"], found["verdict"]) == (0, "refuted")
    assert "no difference" in found["note"]


def test_censoring_turns_the_ratio_into_restricted_updates(tiny):
    found = pick(verdicts(recipe(tiny), *pairs([30] * 8, [None] * 4 + [60] * 4)), "efficiency", "updates")
    assert found["effect"] == pytest.approx(np.mean([30 - 100] * 4 + [30 - 60] * 4))
    assert found["unit"] == "updates, restricted to 100"
    assert "target not reached: 0 → 4 of 8" in found["note"]
    assert found["verdict"] == "refuted"


def test_censored_strengths_are_compared_in_logs(tiny):
    weak, strong = [1e-6] * 8, [1e-4] * 7 + [None]
    paths = [path(s, stage, hit[s]) for stage, hit in (("pre_grok", weak), ("grokked", strong)) for s in SEEDS]
    rows = [[{**row, "updates": None} for row in rows] for rows in paths]
    found = pick(verdicts(recipe(tiny), *rows), "efficiency", "strength")
    assert found["effect"] == pytest.approx((7 * math.log(1e-2) + math.log(1e-8)) / 8)
    assert found["unit"] == "log ratio of strength, restricted to 100"


def test_everything_censored_is_inconclusive(tiny):
    found = verdicts(recipe(tiny), *pairs([None] * 8, [None] * 8))
    notes = ("everything censored", "no pair in which both reached the target")
    for (claim, metric), note in zip((("efficiency", "updates"), ("collateral", "RA")), notes, strict=True):
        one = pick(found, claim, metric)
        assert (one["verdict"], one["effect"], one["p_value"]) == ("inconclusive", None, None)
        assert note in one["note"]


def test_nothing_to_forget_is_left_out_and_counted(tiny):
    paths = [path(s, "pre_grok", 60) for s in SEEDS]
    paths += [path(s, "grokked", 30, ua0=0.05 if s < 2 else 1.0) for s in SEEDS]
    found = pick(verdicts(recipe(tiny), *paths), "efficiency", "updates")
    assert found["n_seeds"] == 6
    assert "nothing to forget in 2 of 8 pairs" in found["note"]
    assert found["effect"] == pytest.approx(math.log(2))


def test_without_an_oracle_its_target_is_undefined(tiny):
    found = pick(
        verdicts(recipe(tiny), *pairs([30] * 8, [60] * 8, oracle=None)), "efficiency", "updates", "UA ≤ oracle"
    )
    assert (found["verdict"], found["n_seeds"]) == ("inconclusive", 0)
    assert "no oracle in 8 of 8 pairs" in found["note"]


def test_collateral_is_the_difference_of_drops_and_of_their_shares(tiny):
    before = [path(s, "pre_grok", 30, ra=0.8 - s / 100, ta=0.6) for s in SEEDS]
    after = [path(s, "grokked", 30, ra=0.9, ta=0.8) for s in SEEDS]
    found = verdicts(recipe(tiny), *before, *after)
    ra = pick(found, "collateral", "RA")
    assert ra["effect"] == pytest.approx(np.mean([(0.2 + s / 100) - 0.1 for s in SEEDS]))
    assert ra["verdict"] == "supported"
    share = pick(found, "collateral", "TA share")
    assert share["effect"] == pytest.approx((0.3 - 0.1) / 0.9)
    assert ("collateral", "bystander_accuracy", "UA ≤ 0.1", "gradient_ascent") not in found


def test_a_censored_damage_is_bounded_not_dropped(tiny):
    before = [path(s, "pre_grok", 30, ra=0.9) for s in SEEDS]
    after = [path(s, "grokked", None if s == 0 else 30, ra=0.99) for s in SEEDS]
    found = pick(verdicts(recipe(tiny), *before, *after), "collateral", "RA")
    # Seed 0: a drop of 0.1 against one anywhere in [0, 1].
    rest = [0.09] * 7
    assert found["n_seeds"] == 8
    assert found["ci_low"] == pytest.approx(sign_flip([-0.9, *rest]).low)
    assert found["ci_high"] == pytest.approx(sign_flip([0.1, *rest]).high)
    assert found["verdict"] == "inconclusive"


def test_stability_compares_spread_at_the_matched_dose(tiny):
    wide, narrow = [0.3 + s / 20 for s in SEEDS], [0.5 + s / 200 for s in SEEDS]
    before = [path(s, "pre_grok", None, end=wide[s]) for s in SEEDS]
    after = [path(s, "grokked", None, end=narrow[s]) for s in SEEDS]
    found = pick(verdicts(recipe(tiny), *before, *after), "stability", "UA", "update 50")
    expected = spread_ratio(wide, narrow)
    assert found["effect"] == pytest.approx(math.log(10))
    assert (found["ci_low"], found["ci_high"]) == pytest.approx((expected.low, expected.high))
    assert found["verdict"] == "supported"


def test_the_papers_reading_prefers_lower_ua_and_higher_ta(tiny):
    before = [path(s, "pre_grok", 40, ta=0.5) for s in SEEDS]
    after = [path(s, "grokked", None) for s in SEEDS]
    found = verdicts(recipe(tiny), *before, *after)
    assert pick(found, "paper", "UA", "update 50")["effect"] == pytest.approx(-1.0)
    assert pick(found, "paper", "TA", "update 50")["effect"] == pytest.approx(0.4)
    assert "started from 0.900 → 0.900" in pick(found, "paper", "TA", "update 50")["note"]


def test_ues_says_how_unstable_it_is(tiny):
    before = [path(s, "pre_grok", 40, ra=0.9, ta=0.8) for s in SEEDS]
    after = [path(s, "grokked", 40, ra=0.99, ta=0.91 if s == 0 else 0.89) for s in SEEDS]
    found = pick(verdicts(recipe(tiny), *before, *after), "paper", "UES", "update 50")
    assert found["effect"] == pytest.approx((7 * 1 / (0.01 * 0.01) - 1 / (0.01 * 0.01)) / 8 - 1 / (0.1 * 0.1))
    assert "negative in 1 of 16" in found["note"]


def test_a_stage_given_as_a_number_is_a_step(tiny):
    changed = recipe(tiny, "stages=[pre_grok, 100]", "claims.compare=[[pre_grok, 100]]")
    paths = [path(s, stage, hit) for stage, hit in (("pre_grok", 60), ("step-100", 30)) for s in SEEDS]
    assert pick(verdicts(changed, *paths), "efficiency", "updates")["n_seeds"] == 8


def test_five_seeds_cannot_decide(tiny):
    small = recipe(tiny, "seeds=[0, 1, 2, 3, 4]")
    found = pick(verdicts(small, *pairs([20] * 8, [40 + s for s in SEEDS])), "efficiency", "updates")
    assert (found["verdict"], found["ci_low"], found["ci_high"]) == ("inconclusive", None, None)
    assert "1/16" in found["note"]


def test_holm_counts_the_methods_of_one_family(tiny):
    two = tiny(f"seeds={SEEDS}", "unlearn=[{kind: gradient_ascent}, {kind: finetune}]", "claims.targets=[0.1]")
    paths = pairs([40 + s for s in SEEDS], [20] * 8)
    paths += pairs([40 + s for s in SEEDS], [41 + s - 2 * (s % 2) for s in SEEDS], method="finetune")
    found = verdicts(two, *paths)
    assert pick(found, "efficiency", "updates")["p_value"] == 2 * 2 / 2**8
    assert pick(found, "efficiency", "updates", method="finetune")["p_value"] > 0.05


def test_a_method_without_an_estimate_stays_in_its_family(tiny):
    two = tiny(f"seeds={SEEDS}", "unlearn=[{kind: gradient_ascent}, {kind: finetune}]", "claims.targets=[0.1]")
    paths = pairs([40 + s for s in SEEDS], [20] * 8) + pairs([None] * 8, [None] * 8, method="finetune")
    found = verdicts(two, *paths)
    assert pick(found, "efficiency", "updates")["p_value"] == 2 * 2 / 2**8
    assert pick(found, "efficiency", "updates", method="finetune")["p_value"] is None


def test_a_target_reached_beyond_the_common_budget_is_censored(tiny):
    found = pick(verdicts(recipe(tiny), *pairs([110] * 8, [120] * 8)), "efficiency", "updates")
    assert "everything censored" in found["note"]
    found = pick(verdicts(recipe(tiny), *pairs([30] * 8, [120] * 8)), "efficiency", "updates")
    assert found["effect"] == pytest.approx(30 - 100)


def test_no_seed_with_both_stages_is_said(tiny):
    found = verdicts(recipe(tiny), *[path(s, "pre_grok", 30) for s in SEEDS])
    assert {(v["verdict"], v["note"]) for v in found.values()} == {("inconclusive", "no seed has both stages")}


def test_the_shipped_recipes_can_reach_a_verdict():
    from ungrok.study.loading import shipped

    for name in shipped():
        if name.startswith("paper/"):
            continue  # has as many draws as the paper
        recipe = load(name)
        methods = len(recipe.unlearn)
        header = shipped()[name].read_text().partition("name:")[0]
        # Where a training takes days there are as many seeds as in the paper, and the header says what that means.
        assert methods * 2 / 2 ** len(recipe.seeds) < recipe.claims.alpha or "no p-value below" in header, name


def test_a_method_that_starts_from_fresh_weights_reaches_targets_for_no_reason(tiny):
    """Retraining has forgotten everything at its first update, from whatever stage it was started."""
    paths = [
        path(s, stage, 10 + s, ta=ta, method="retrain")
        for s in SEEDS
        for stage, ta in (("pre_grok", 0.8), ("grokked", 0.1))
    ]
    found = verdicts(recipe(tiny, "unlearn=[{kind: retrain}]"), *paths)
    for claim, metric in (("efficiency", "updates"), ("collateral", "TA"), ("oracle_gap", "gap")):
        v = pick(found, claim, metric, method="retrain")
        assert (v["effect"], v["verdict"]) == (None, "inconclusive")
        assert v["note"].startswith("starts from fresh weights")
    assert pick(found, "oracle_gap", "gap", at="rewind", method="retrain")["effect"] is not None
