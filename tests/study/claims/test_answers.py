"""Sentences of the headline family, in natural units, and what did not happen."""

from __future__ import annotations

import math
from dataclasses import replace

import pandas as pd
import pytest

from ungrok.study.claims import CLAIMS, At, Effect, Note, Verdict, Wins
from ungrok.study.claims.answers import answers, first_things, natural
from ungrok.study.place import Comparison

RATIO = {"unit": "updates", "scale": "log ratio"}


@pytest.fixture
def say(hand):
    recipe = hand.tiny(f"seeds={list(range(10))}", "claims.targets=[0.1]")
    comparison = Comparison(*recipe.claims.compare[0], "class", "class")

    def row(claim, reading, method, value, low, high, word, notes=(), n=10, metric="updates", **effect):
        shown = Effect(value, (low, high), **(RATIO | effect))
        return Verdict(
            CLAIMS.parse({"kind": claim}), reading, comparison, method, metric, At.target(0.1), True, shown, n, 0.01, word, notes,
            Wins(0, 0, 0),
        )  # fmt: skip

    return recipe, row


def transitions(*statuses):
    return pd.DataFrame({"arm": "base", "seed": range(len(statuses)), "status": statuses})


def test_one_method_is_named_with_its_interval_in_natural_units(say):
    recipe, row = say
    low, high = math.log(4.5), math.log(6.8)
    (answer,) = answers(
        [row("efficiency", "same_rate", "scrub", -math.log(5.5), -high, -low, "refuted")], recipe
    )  # fmt: skip
    assert (
        answer.sentence == "After grokking, scrub needs 5.5 times more updates at the same rate [4.5, 6.8]; 10 seeds."
    )
    assert answer.word == "refuted"
    assert "scrub is nearest to none: its interval ends at 4.5 times more updates; a word" in answer.overturned_by
    assert "No learning rate was searched" in answer.overturned_by


def test_readings_that_disagree_say_that_the_rate_decides(say):
    recipe, row = say
    rows = [
        row("efficiency", "same_rate", "scrub", -1.7, -1.9, -1.5, "refuted"),
        row("efficiency", "own_rate", "scrub", math.log(1.7), math.log(1.2), math.log(2.4), "supported"),
    ]
    (answer,) = answers(rows, recipe)
    assert answer.word == "mixed"
    assert (
        "scrub needs 1.7 times fewer updates at its own rate [1.2, 2.4]; 10 seeds. The rate decides." in answer.sentence
    )
    assert "No learning rate was searched" not in answer.overturned_by


def test_several_methods_are_counted_with_their_median(say):
    recipe, row = say
    rows = [
        row("efficiency", "same_rate", "a", -math.log(4), -2, -1, "refuted"),
        row("efficiency", "same_rate", "b", -math.log(2), -1, -0.2, "refuted"),
        row("efficiency", "same_rate", "c", math.log(3), 0.5, 2, "supported"),
        row(
            "efficiency", "same_rate", "d", 0.0, -0.05, 0.05, "refuted", (Note("no_difference", {"margin": 0.1}),), n=8
        ),
        row("efficiency", "same_rate", "e", None, -math.inf, math.inf, "inconclusive"),
    ]
    (answer,) = answers(rows, recipe)
    middle = math.exp(math.log(2) / 2)
    assert answer.sentence == (
        "After grokking, 2 of 5 methods need more updates at the same rate, 1 fewer updates, 1 does not differ and 1 is open "
        f"(median {middle:.3g} times more updates); 8 to 10 of 10 seeds."
    )
    assert answer.word == "mixed"


def test_damage_is_said_in_percentage_points(say):
    recipe, row = say
    shown = {"unit": "accuracy", "scale": "difference", "metric": "TA"}
    (answer,) = answers([row("collateral", "", "scrub", -0.026, -0.04, -0.01, "refuted", **shown)], recipe)
    assert answer.sentence == (
        "After grokking, scrub does 2.6 percentage points more damage beyond what retraining does too [1, 4]; 10 seeds."
    )


def test_what_is_open_is_said_to_be_open(say):
    recipe, row = say
    (answer,) = answers([row("efficiency", "same_rate", "scrub", 0.1, -0.5, 0.7, "inconclusive")], recipe)
    assert answer.word == "inconclusive"
    assert answer.sentence == (
        "After grokking, whether scrub needs fewer updates or more updates at the same rate is open "
        "(1.11 times fewer updates [0.607, 2.01]); 10 seeds."
    )
    assert answer.overturned_by.startswith("The intervals reach up to 1.82 times to either side")


def test_an_effect_of_none_is_called_no_difference(say):
    """Neither 1 times more nor 0 percentage points less."""
    recipe, row = say
    shown = {"unit": "accuracy", "scale": "difference", "metric": "worst_gap"}
    rows = [
        row("durability", "relearning", "scrub", 0.0, -0.5, 0.7, "inconclusive"),
        row("durability", "attacks", "scrub", 0.0001, -0.2, 0.2, "inconclusive", **shown),
    ]
    (answer,) = answers(rows, recipe)
    assert "to be relearned beyond the oracle's is open (no difference [0.607, 2.01])" in answer.sentence
    assert "0.01 percentage points less" in answer.sentence
    several = [row("efficiency", "same_rate", method, 0.001, -1, 1, "inconclusive") for method in "ab"]
    assert "(median no difference)" in answers(several, recipe)[0].sentence


def test_where_nothing_could_be_compared_the_reason_is_said(say):
    """As of language models, whose oracles know half of what was forgotten from the start."""
    recipe, row = say
    note = Note("oracle_at_once", {"before": 8, "after": 7, "pairs": 8})
    rows = [
        row("durability", "relearning", method, None, -math.inf, math.inf, "inconclusive", (note,), n=0)
        for method in "ab"
    ]
    (answer,) = answers(rows, recipe)
    assert answer.sentence == (
        "After grokking, for none of 2 methods can it be said whether they need more updates or fewer updates to be relearned beyond the "
        "oracle's (the oracle knows half from the start: 8 → 7 of 8); 0 of 10 seeds."
    )


def test_an_interval_without_bounds_says_so(say):
    recipe, row = say
    never, upper = (
        answers([row("efficiency", "same_rate", "scrub", math.log(2), -math.inf, high, "inconclusive")], recipe)[
            0
        ].sentence
        for high in (math.inf, math.log(3))
    )
    assert "(2 times fewer updates [no bound])" in never
    assert "(2 times fewer updates [no bound, 3])" in upper


def test_sentences_open_with_the_names_of_the_sides(say, hand):
    _, row = say
    one = row("efficiency", "same_rate", "scrub", math.log(2), 0.1, 1.0, "supported")
    arms = "arms={fast: {trajectory: {steps: 100}}}"
    # A control and a split may have a name that opens as that of a stage does, or holds a comma.
    controls = "controls={at peak: {kind: rescaled, stage: grokked}}"
    forget = "forget=[{kind: class}, {kind: random, size: 20, name: 'old, at 20'}]"
    for pair, opening in (
        ("[grokked, {stage: grokked, arm: fast}]", "From fast, after grokking, compared with after grokking, "),
        ("[step-40, final]", "At the end, compared with step 40, "),
        ("[final, {stage: final, arm: fast}]", "From fast, at the end, compared with the end, "),
        ("[at peak, memorized]", "At memorization, compared with at peak, "),
        ("[memorized, at peak]", "From at peak, compared with memorization, "),
        (
            "[{stage: final, forget: class}, {stage: final, forget: 'old, at 20'}]",
            "At the end, for old, at 20 compared with one class, ",
        ),
        (
            "[{stage: final, forget: class, arm: fast}, {stage: final, forget: 'old, at 20', arm: fast}]",
            "From fast, at the end, for old, at 20 compared with one class, ",
        ),
    ):
        recipe = hand.tiny(
            "stages=[pre_grok, memorized, grokked, final, step-40, at peak]",
            arms,
            controls,
            forget,
            f"claims.compare=[{pair}]",
        )
        (only,) = answers([replace(one, comparison=Comparison(*recipe.claims.compare[0], "class", "class"))], recipe)
        assert only.sentence.startswith(f"{opening}scrub needs 2 times fewer updates"), only.sentence


def test_one_seed_is_not_several(hand, say):
    _, row = say
    alone = hand.tiny("seeds=[0]", "claims.targets=[0.1]")
    (answer,) = answers([row("efficiency", "same_rate", "scrub", 0.1, -1.0, 1.0, "exploratory", n=1)], alone)
    assert answer.sentence.endswith("; 1 seed.")
    assert first_things([], alone, transitions("none"))[0] == "Nothing transitioned in the one seed."


def test_where_parts_of_the_data_grok_by_themselves_the_whole_need_not(hand):
    local = hand.tiny("forget=[{kind: local_grokking, group: grokked, size: 5}]")
    assert first_things([], local, transitions(*["none"] * 10)) == []


@pytest.mark.parametrize(
    ("stages", "about"),
    [
        ("[early, final]", False), ("[early, step-9]", False), ("[memorized, final]", True), ("[early, same]", True),
    ],
)  # fmt: skip
def test_where_no_stage_needs_a_transition_none_is_missed(hand, stages, about):
    controls = "controls={same: {kind: matched, stage: grokked, equal: updates}}"
    early = "{kind: level, of: train_accuracy, at: 0.5, name: early}"
    recipe = hand.tiny(
        controls, f"stages={stages.replace('early', early)}", f"claims.compare=[{stages.replace('step-9', '9')}]"
    )
    said = first_things([], recipe, transitions(*["no_delay"] * 10))
    assert (said == ["Nothing transitioned in 10 of 10 seeds."]) == about
    assert about or said == []


@pytest.mark.parametrize(
    ("claim", "reading", "metric", "effect", "said"),
    [
        ("efficiency", "lasting", "updates", RATIO, "scrub needs 2 times fewer updates until forgetting lasts [1.11, 2.72]"),
        ("collateral", "lasting", "TA", {"unit": "accuracy", "scale": "difference"}, "scrub pays 69 percentage points less for forgetting that lasts"),
        ("durability", "relearning", "relearn_updates", RATIO, "scrub needs 2 times more updates to be relearned beyond the oracle's"),
        ("durability", "attacks", "worst_gap", {"unit": "accuracy", "scale": "difference"}, "scrub gives 69 percentage points less back beyond the oracle under the worst attack"),
    ],
)  # fmt: skip
def test_durability_is_said_in_its_own_words(say, claim, reading, metric, effect, said):
    recipe, row = say
    (answer,) = answers(
        [row(claim, reading, "scrub", math.log(2), 0.1, 1.0, "supported", metric=metric, **effect)], recipe
    )
    assert said in answer.sentence


def test_strengths_are_not_rates(say):
    recipe, row = say
    given = row("efficiency", "same_rate", "fisher", 1.0, 0.5, 1.5, "supported", metric="strength", unit="strength")
    (answer,) = answers([given], recipe)
    assert answer.sentence == "After grokking, fisher needs 2.72 times less strength [1.65, 4.48]; 10 seeds."


def test_no_comparison_has_no_answer(hand):
    assert answers([], hand.tiny("claims.compare=[]")) == []


def test_sizes_have_their_unit():
    assert natural(Effect(math.log(3), unit="updates", scale="log ratio")) == "3 times"
    assert natural(Effect(-math.log(3), unit="updates", scale="log ratio")) == "3 times"
    assert natural(Effect(-0.0255, unit="accuracy")) == "2.5 percentage points"


def test_what_did_not_happen_comes_first(say, hand):
    recipe, row = say
    assert first_things([], recipe, transitions(*["grokked"] * 10)) == []
    assert first_things([], recipe, transitions(*["memorized_only"] * 10)) == [
        "Nothing transitioned in 10 of 10 seeds."
    ]
    some = first_things([], recipe, transitions(*["grokked"] * 8, *["none"] * 2))
    assert some == ["2 of 10 seeds never transitioned; where a stage needs the transition they are in no row."]
    alone = hand.tiny("seeds=[0]")
    assert first_things([], alone, transitions("grokked")) == ["One seed cannot decide anything."]
    few = [row("efficiency", "same_rate", "a", 1.0, 0.5, 2, "exploratory", (Note("few_seeds", {"seeds": 5}),), n=5)]
    assert first_things(few, recipe, transitions(*["grokked"] * 10)) == [
        "5 seeds cannot decide anything: under 6 every row is exploratory."
    ]
    lost = [
        row("efficiency", "same_rate", name, None, -math.inf, math.inf, "inconclusive", (Note("all_censored"),))
        for name in ("scrub", "finetune")
    ]
    assert first_things(lost, recipe, transitions(*["grokked"] * 10)) == [
        "No path of scrub and finetune reached UA ≤ 0.1 from either side."
    ]


def test_a_row_without_a_number_says_what_cannot_be_said(say):
    recipe, row = say
    (answer,) = answers([row("durability", "relearning", "scrub", None, None, None, "exploratory")], recipe)
    assert (
        "it cannot be said whether scrub needs more updates or fewer updates to be relearned beyond the oracle's"
        in answer.sentence
    )


def test_every_comparison_of_the_family_has_a_sentence_of_its_own(say, hand):
    _, row = say
    flat = "[{arm: sam, stage: grokked}, grokked]"
    recipe = hand.tiny(
        f"seeds={list(range(10))}", "arms={sam: {trajectory: {sam: {rho: 0.05}}}}", f"claims.headline={{also: [{flat}]}}",
        f"claims.compare=[[pre_grok, grokked], {flat}]",
    )  # fmt: skip
    first = row("efficiency", "same_rate", "scrub", 1.7, 1.5, 1.9, "supported")
    other = replace(first, comparison=Comparison(*recipe.claims.compare[1], "class", "class"), word="inconclusive")
    made = answers([first, other], recipe)
    assert [answer.word for answer in made] == ["supported", "inconclusive"]
    assert made[0].sentence.startswith("After grokking, scrub needs")
    assert made[1].sentence.startswith("After grokking, compared with sam, after grokking, whether scrub needs")
