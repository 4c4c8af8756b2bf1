"""Where forgetting lasts: its updates, its price, and the sentence, on places made by hand."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ungrok.study.claims import Doses, judge_paths, lasting_of, lasting_sentence, paths_of
from ungrok.study.rates import rated

SIDES = ("pre_grok", "grokked")
LASTING = "lasting={updates: 50}"


def tried(seed, stage, dose, lasts, *, method="gradient_ascent", before=0.8, after=0.85, ua=0.7, monotone=True):
    """Return the row of a place that was put to a repair: TA (before and after) and UA after it."""
    both = {"TA": before, "bystander_accuracy": None, "validation_accuracy": before, "RA": before}
    return {
        "seed": seed, "arm": "base", "stage": stage, "forget": "class", "method": method, "dose": float(dose), "updates": dose,
        "oracle_validation_accuracy": 0.9, "UA": 0.0, "UA_after": 0.05 if lasts else ua, **both, **{f"{name}_after": after if value else None for name, value in both.items()},
        "lasts": lasts, "monotone": monotone, "budget": 100.0,
    }  # fmt: skip


def verdicts_of(hand, rows, table, *overrides):
    recipe = hand.recipe("claims.targets=[0.1]", LASTING, *overrides)
    frame = pd.DataFrame([row for path in rows for row in path]).astype({"reached_0.1": "boolean"})
    paths = paths_of(frame, lasting=pd.DataFrame(table))
    verdicts = judge_paths([paths], recipe, {"gradient_ascent": Doses(100.0, 50.0)})
    return {(v.claim.kind, v.metric): v for v in verdicts if v.reading == "lasting"}, paths, recipe


def lasting_from(hand, before, after, **more):
    """Return places: the first at 20, which fails, and the one at which it lasts on either side; None where it never does."""
    return [
        row
        for seed in hand.seeds
        for stage, dose in zip(SIDES, (before, after), strict=True)
        for row in [tried(seed, stage, 20, lasts=False, **more)]
        + ([tried(seed, stage, dose(seed), lasts=True, **more)] if dose else [])
    ]


def test_updates_to_the_first_place_that_lasts_are_a_log_ratio(hand):
    table = lasting_from(hand, lambda s: 40 + s, lambda s: 80 + s)
    verdicts, _, _ = verdicts_of(hand, hand.pairs([20] * 8, [20] * 8), table)
    verdict = verdicts["efficiency", "updates"]
    assert verdict.effect.value == pytest.approx(sum(math.log((40 + s) / (80 + s)) for s in hand.seeds) / 8)
    assert (verdict.word, verdict.headline, verdict.effect.cut_at) == ("refuted", True, None)


def test_a_path_that_never_lasts_counts_with_all_its_updates(hand):
    table = lasting_from(hand, lambda s: 40 + s, None)
    verdicts, _, _ = verdicts_of(hand, hand.pairs([20] * 8, [20] * 8), table)
    verdict = verdicts["efficiency", "updates"]
    assert verdict.effect.value == pytest.approx(sum(math.log((40 + s) / 100) for s in hand.seeds) / 8)
    assert verdict.effect.cut_at == 100.0
    assert "never lasts: 0 → 8 of 8" in verdict.note
    assert verdict.wins.net == -8
    price = verdicts["collateral", "TA"]
    assert (price.effect.value, price.word) == (None, "inconclusive")


def test_a_path_that_never_reaches_the_target_was_tried_nowhere_and_is_censored(hand):
    table = [row for row in lasting_from(hand, lambda _: 50, lambda _: 50) if row["stage"] == "pre_grok"]
    verdicts, _, _ = verdicts_of(hand, hand.pairs([20] * 8, [None] * 8), table)
    assert verdicts["efficiency", "updates"].effect.value == pytest.approx(math.log(50 / 100))


def test_the_first_of_several_places_counts_and_a_failure_after_it_is_said(hand):
    table = lasting_from(hand, lambda _: 40, lambda _: 40)
    table += [tried(s, "grokked", dose, lasts=dose != 60, monotone=False) for s in hand.seeds for dose in (60, 80)]
    table = [row | {"monotone": row["stage"] == "pre_grok"} for row in table]
    verdicts, _, _ = verdicts_of(hand, hand.pairs([20] * 8, [20] * 8), table)
    verdict = verdicts["efficiency", "updates"]
    assert verdict.effect.value == 0.0
    assert "not monotone: in 8 of 16 paths" in verdict.note


def test_the_price_is_what_is_lost_beyond_the_oracle_before_and_after_the_repair(hand):
    """The oracle has 0.85; 0.60 and 0.70 before the repair, 0.80 and 0.75 after it."""
    table = []
    for seed in hand.seeds:
        shift = 0.001 * seed
        table.append(tried(seed, "pre_grok", 40, lasts=True, before=0.6 + shift, after=0.8))
        table.append(tried(seed, "grokked", 40, lasts=True, before=0.7, after=0.75))
    verdicts, _, _ = verdicts_of(hand, hand.pairs([20] * 8, [20] * 8), table)
    price = verdicts["collateral", "TA"]
    assert price.effect.value == pytest.approx(0.1 - 0.0035)
    assert (price.word, price.headline) == ("supported", True)
    after = verdicts["collateral", "TA after repair"]
    assert after.effect.value == pytest.approx(-0.05)
    assert (after.word, after.headline) == ("exploratory", False)
    # RA from its start of 1.0.
    assert verdicts["collateral", "RA"].effect.value == pytest.approx(0.1 - 0.0035)


def test_a_recipe_that_does_not_ask_is_told_nothing(hand):
    recipe = hand.recipe("claims.targets=[0.1]")
    rows = pd.DataFrame([row for path in hand.pairs([20] * 8, [20] * 8) for row in path]).astype(
        {"reached_0.1": "boolean"}
    )
    table = pd.DataFrame(lasting_from(hand, lambda _: 40, lambda _: 80))
    given, plain = (judge_paths([paths_of(rows, lasting=each)], recipe, {"gradient_ascent": Doses(100.0, 50.0)}) for each in (table, None))  # fmt: skip
    assert [v.to_dict() for v in given] == [v.to_dict() for v in plain]
    assert lasting_of(paths_of(rows), recipe) == []


@pytest.mark.parametrize(("rates", "ratio"), [("nominal", math.log(80 / 80)), ("all", math.log(40 / 80))])
def test_rates_that_were_tried_too_are_chosen_as_those_of_a_search(hand, rates, ratio):
    """At twice the rate the earlier side lasts after half of the updates, without more damage on validation data; the later side loses more."""
    names = {0.005: rated("gradient_ascent", 0.005), 0.01: "gradient_ascent", 0.02: rated("gradient_ascent", 0.02)}
    paths = [
        hand.path(seed, stage, 20, method=name, oracle_validation_accuracy=0.9)
        for seed in hand.seeds for stage in SIDES for name in names.values()
    ]  # fmt: skip
    table = []
    for seed in hand.seeds:
        for stage in SIDES:
            for rate, name in names.items():
                lost = 0.5 if (stage == "grokked" and rate == 0.02) else 0.01
                table.append(tried(seed, stage, round(0.8 / rate), lasts=True, method=name, before=0.9 - lost))
    overrides = ("unlearn=[{kind: gradient_ascent, lr: {auto: 0.01}}]", f"lasting={{updates: 50, rates: {rates}}}")
    verdicts, _, _ = verdicts_of(hand, paths, table, *overrides)
    assert verdicts["efficiency", "updates"].effect.value == pytest.approx(ratio)
    # A search grows for rates that reach the target soonest, and may end short of those that last soonest.
    assert ("best rate at the end of the grid in 8 of 16 paths" in verdicts["efficiency", "updates"].note) == (
        rates == "all"
    )


def test_the_question_is_answered_with_numbers_per_side(hand):
    """Two methods: one lasts before grokking in 5 of 8 seeds, the other nowhere."""
    recipe = ("unlearn=[{kind: gradient_ascent}, {kind: finetune}]",)
    table = []
    for seed in hand.seeds:
        table += [tried(seed, stage, 20, lasts=False, ua=0.9 if stage == "grokked" else 0.6) for stage in SIDES]
        table += [tried(seed, stage, 20, lasts=False, ua=1.0, method="finetune") for stage in SIDES]
        if seed < 5:
            table.append(tried(seed, "pre_grok", 40 + seed, lasts=True, before=0.65))
    rows = hand.pairs([20] * 8, [20] * 8) + hand.pairs([20] * 8, [20] * 8, method="finetune")
    _, paths, made = verdicts_of(hand, rows, table, *recipe)
    every = lasting_of(paths, made)
    assert [(one.side.stage, one.method, one.lasted, one.seeds, one.reached) for one in every] == [
        ("pre_grok", "gradient_ascent", 5, 8, 8), ("pre_grok", "finetune", 0, 8, 8),
        ("grokked", "gradient_ascent", 0, 8, 8), ("grokked", "finetune", 0, 8, 8),
    ]  # fmt: skip
    first, second, *_ = every
    # Sorted: 40 to 44 and three that never last; the fifth is the later of the two in the middle.
    assert (first.lasts, first.updates, first.accuracy) == (True, 44.0, "TA")
    assert (first.price, first.lost, first.back) == (pytest.approx(0.2), pytest.approx(0.35), pytest.approx(0.6))
    assert (second.lasts, second.updates, second.back) == (False, None, 1.0)
    assert math.isnan(second.price)
    assert lasting_sentence(every, made) == (
        "Before grokking it lasts for 1 of 2 methods after 44 updates (median), at the price of 20 percentage points of TA "
        "beyond retraining and 35 of RA; where UA first comes down to 0.1, 50 updates on retained data alone bring it back to 0.80. "
        "After grokking it lasts for none of 2 methods; where UA first comes down to 0.1, 50 updates on retained data alone bring it back "
        "to 0.95."
    )
    assert lasting_sentence([], made) is None


@pytest.mark.parametrize(
    ("oracle", "start", "price"),
    [
        (0.9, 1.0, ", at the price of 10 percentage points of TA beyond retraining and 20 of RA;"),
        (0.74, 1.0, ", at the price of 20 percentage points of RA, with TA 6 percentage points above that of retraining;"),
        (0.9, 0.78, ", at the price of 10 percentage points of TA beyond retraining, with RA 2 percentage points above that at the start;"),
        (0.74, 0.78, ", at no price, with TA 6 percentage points above that of retraining and RA 2 percentage points above that at the start;"),
    ],
)  # fmt: skip
def test_what_is_gained_is_not_called_a_price(hand, oracle, start, price):
    """At the place that lasts TA and RA are 0.8; one method, which lasts on one side alone."""
    rows = [[row | {"oracle_TA": oracle, "RA": start} for row in path] for path in hand.pairs([20] * 8, [20] * 8)]
    table = [tried(seed, "pre_grok", 40, lasts=True) for seed in hand.seeds]
    table += [tried(seed, "grokked", 20, lasts=False, ua=0.9) for seed in hand.seeds]
    _, paths, made = verdicts_of(hand, rows, table)
    sentence = lasting_sentence(lasting_of(paths, made), made)
    assert sentence.startswith(f"Before grokking it lasts for the one method after 40 updates (median){price}")
    assert "After grokking it does not last for the one method; where UA first comes down" in sentence
