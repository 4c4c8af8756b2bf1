"""Durability on tables made by hand: what is compared, beyond which oracle, and where no word may be given."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ungrok.study.claims import At, Doses, headline_standings, judge
from ungrok.study.claims.durability import place_label, places_of
from ungrok.study.rates import rated

STRESS = "stress={attacks: [{kind: relearn}, {kind: quantize}]}"
SIDES = ("pre_grok", "grokked")


def attacks(hand, back, oracle=(100, 100), floors=0.02, crushed=(0.6, 0.6), oracle_ua=(0.0, 0.0), place="0.1"):
    """Return a table of attacks: by side after how many updates half is back, of the model and of its oracle; None where it never is."""
    rows = []

    def relearn(where, half):
        for updates in (0, half or 200, 200):
            yield (
                where
                | {"attack": "relearn", "kind": "relearn", "setting": "lr", "dose": float(updates), "updates": updates},
                half,
            )

    for seed in hand.seeds:
        for side, stage in enumerate(SIDES):
            where = {"seed": seed, "arm": "base", "stage": stage, "forget": "class", "method": None, "place": None}
            subjects = {"original": (1, 1.0), "unlearned": (back[side](seed) if callable(back[side]) else back[side], None), "oracle": (oracle[side], None), "oracle_2": (oracle[side], None)}  # fmt: skip
            for subject, (half, start) in subjects.items():
                own = (
                    where
                    | {"subject": subject}
                    | ({"method": "gradient_ascent", "place": place} if subject == "unlearned" else {})
                )
                for row, at in relearn(own, half):
                    known = (at is not None and row["updates"] >= at) * 0.5
                    rows.append(row | {"UA": start if start is not None else known})
                ua = {
                    "original": 1.0,
                    "unlearned": crushed[side],
                    "oracle": oracle_ua[side],
                    "oracle_2": oracle_ua[side] + floors,
                }
                rows.append(own | {"attack": "quantize", "kind": "quantize", "setting": "", "dose": 2.0, "updates": 0, "UA": ua[subject]})  # fmt: skip
    return pd.DataFrame(rows).drop_duplicates(["seed", "stage", "subject", "attack", "dose"])


def rows_of(hand, table, *overrides, stress=STRESS):
    recipe = hand.recipe("claims.targets=[0.1]", stress, *overrides)
    paths = hand.pairs([30] * 8, [30] * 8)
    rows = pd.DataFrame([row for path in paths for row in path]).astype({"reached_0.1": "boolean"})
    verdicts = judge(rows, recipe, {"gradient_ascent": Doses(100.0, 50.0)}, stress=table)
    return {(v.metric, str(v.at)): v for v in verdicts if v.claim.kind == "durability"}


def test_updates_to_relearn_are_compared_beyond_those_of_the_oracle(hand):
    """4 to 8 updates, and 100 to 50 of the oracle: the later side takes 4 times as many in proportion to it."""
    verdict = rows_of(hand, attacks(hand, (lambda s: 4 + s % 2, lambda s: 8 + s % 2), oracle=(100, 50)))["relearn_updates", "UA ≤ 0.1"]  # fmt: skip
    expected = (math.log((8 / 50) / (4 / 100)) + math.log((9 / 50) / (5 / 100))) / 2
    assert verdict.effect.value == pytest.approx(expected)
    assert (verdict.word, verdict.headline, verdict.n_seeds) == ("supported", True, 8)
    assert verdict.effect.measure == "log ratio of updates"


def test_a_ratio_that_is_the_oracles_alone_is_given_no_word(hand):
    """Both sides are back after as many updates; the oracles differ."""
    verdict = rows_of(hand, attacks(hand, (lambda s: 4 + s % 2, lambda s: 5 - s % 2), oracle=(100, 25)))["relearn_updates", "UA ≤ 0.1"]  # fmt: skip
    assert verdict.effect.interval[0] > 0
    assert verdict.word == "inconclusive"
    assert verdict.noted("only_against_oracle")


def test_what_is_not_relearned_counts_with_the_last_update_that_was_tried(hand):
    verdict = rows_of(hand, attacks(hand, (lambda s: 4 + s % 2, None), oracle=(None, None)))[
        "relearn_updates", "UA ≤ 0.1"
    ]
    assert verdict.effect.value == pytest.approx((math.log(200 / 4) + math.log(200 / 5)) / 2)
    assert verdict.effect.measure == "log ratio of updates, restricted to 200"
    assert "not relearned: 0 → 8 of 8 within 200 updates" in verdict.note


def test_what_neither_side_relearns_is_no_effect_of_their_oracles(hand):
    verdict = rows_of(hand, attacks(hand, (None, None), oracle=(100, 25)))["relearn_updates", "UA ≤ 0.1"]
    assert (verdict.effect.value, verdict.word) == (None, "inconclusive")
    assert verdict.note.startswith("relearned by neither side")


def test_an_oracle_that_knows_half_from_the_start_leaves_nothing_to_relearn(hand):
    table = attacks(hand, (4, 8))
    table.loc[(table["subject"] == "oracle") & (table["stage"] == "grokked") & (table["kind"] == "relearn"), "UA"] = 0.7
    verdict = rows_of(hand, table)["relearn_updates", "UA ≤ 0.1"]
    assert (verdict.effect.value, verdict.n_seeds) == (None, 0)
    assert verdict.note.startswith(
        "the oracle knows half from the start: 0 → 8 of 8, so that nothing is to be relearned"
    )


def test_an_oracle_that_is_not_relearned_on_one_side_alone_gives_no_word_for_that_side(hand):
    """10 of more than 200 updates against 4 of 100: with 200 the later side would stand more, with 2,000 less."""
    verdict = rows_of(hand, attacks(hand, (lambda s: 4 + s % 2, lambda s: 10 + s % 2), oracle=(100, None)))[
        "relearn_updates", "UA ≤ 0.1"
    ]
    assert (verdict.effect.value, verdict.word, verdict.n_seeds) == (0.0, "inconclusive", 8)
    assert "8 of 8 pairs undecided" in verdict.note
    # The same oracles, where the direction is certain whatever the later one took.
    sure = rows_of(hand, attacks(hand, (lambda s: 10 + s % 2, lambda s: 4 + s % 2), oracle=(100, None)))[
        "relearn_updates", "UA ≤ 0.1"
    ]
    assert sure.effect.value == pytest.approx((math.log(4 / 10 / 2) + math.log(5 / 11 / 2)) / 2)
    assert (sure.word, sure.noted("may_turn")) == ("refuted", False)


@pytest.mark.parametrize(
    ("back", "oracle", "value"),
    [
        # The later model may take any number above 200, so that less than the oracle's ratio of 2 is not known of it.
        ((150, None), (50, 100), 0.0),
        ((None, 150), (100, 50), 0.0),
        # Certain: the later model takes more than 50 times as long, and the oracle of the earlier side longer than 100.
        ((4, None), (None, 100), math.log(200 / 4) + math.log(200 / 100)),
        # Of two oracles neither is relearned: they count as alike.
        ((4, None), (None, None), math.log(200 / 4)),
        ((None, 4), (None, None), math.log(4 / 200)),
    ],
)
def test_a_direction_that_more_updates_may_turn_is_none(hand, back, oracle, value):
    verdict = rows_of(hand, attacks(hand, back, oracle=oracle))["relearn_updates", "UA ≤ 0.1"]
    assert verdict.effect.value == pytest.approx(value)
    assert verdict.noted("may_turn") == (value == 0.0)


def test_the_worst_gap_is_compared_beyond_its_floor(hand):
    """R is 0.9 and 0.6 (quantized), and the floor 0.02."""
    verdict = rows_of(hand, attacks(hand, (None, None), crushed=(0.9, 0.6), oracle=(None, None)))[
        "worst_gap", "UA ≤ 0.1"
    ]
    assert verdict.effect.value == pytest.approx(0.3)
    assert verdict.word == "supported"
    assert "R 0.900 → 0.600; floors 0.020 → 0.020" in verdict.note


def test_gaps_within_the_floor_are_given_no_word(hand):
    """The later side lies nearer to its oracle, and both no further than two oracles lie from each other."""
    table = attacks(hand, (None, None), crushed=(0.25, 0.21), oracle=(None, None), floors=0.3)
    verdict = rows_of(hand, table)["worst_gap", "UA ≤ 0.1"]
    assert (verdict.effect.value, verdict.word) == (0.0, "inconclusive")
    assert verdict.noted("within_floor")


def test_without_six_floors_nothing_lies_above_them(hand):
    table = attacks(hand, (None, None), crushed=(0.9, 0.6), oracle=(None, None))
    few = table[(table["subject"] != "oracle_2") | (table["seed"] < 5)]
    verdict = rows_of(hand, few)["worst_gap", "UA ≤ 0.1"]
    assert verdict.effect.value == pytest.approx(0.3 - 0.0)
    assert verdict.effect.interval[0] > 0
    assert verdict.word == "inconclusive"
    assert verdict.note.startswith("floor of 5 seeds")
    assert "no second oracle in 3 of 8 pairs" in verdict.note


def test_a_floor_of_one_side_alone_is_subtracted_from_neither(hand):
    """Else the side without a floor would seem to give more back."""
    table = attacks(hand, (None, None), crushed=(0.6, 0.6), oracle=(None, None), floors=0.2)
    bare = (table["subject"] == "oracle_2") & (table["stage"] == "pre_grok") & (table["seed"] >= 6)
    verdict = rows_of(hand, table[~bare])["worst_gap", "UA ≤ 0.1"]
    assert verdict.effect.value == pytest.approx(0.0)
    assert "no second oracle in 2 of 8 pairs" in verdict.note


def test_pairs_that_attacks_say_nothing_of_are_counted(hand):
    """The later model of one seed has diverged at its end, so that it was not attacked there."""
    table = attacks(hand, (4, 8), place="end")
    gone = (table["subject"] == "unlearned") & (table["stage"] == "grokked") & (table["seed"] == 3)
    verdicts = rows_of(hand, table[~gone])
    for metric in ("relearn_updates", "worst_gap"):
        assert verdicts[metric, "end of the path"].n_seeds == 7
        assert "defined in 7 of 8 pairs" in verdicts[metric, "end of the path"].note


def test_oracles_that_are_not_relearned_are_counted(hand):
    """Of the later side nothing is known but that its oracle takes longer than was tried."""
    verdict = rows_of(hand, attacks(hand, (lambda s: 4 + s % 2, 8), oracle=(50, None)))["relearn_updates", "UA ≤ 0.1"]
    assert "oracle not relearned: 0 → 8 of 8 within 200 updates" in verdict.note
    assert verdict.effect.measure == "log ratio of updates, restricted to 200"


def test_a_gap_that_is_the_oracles_alone_is_given_no_word(hand):
    """Quantized, both sides know as much; the earlier oracle knows more of it by itself."""
    table = attacks(hand, (None, None), crushed=(0.9, 0.9), oracle=(None, None), oracle_ua=(0.4, 0.1))
    verdict = rows_of(hand, table)["worst_gap", "UA ≤ 0.1"]
    assert verdict.effect.value == pytest.approx(-0.3)
    assert verdict.noted("only_against_oracle")


def test_other_places_are_exploratory(hand):
    verdicts = rows_of(hand, attacks(hand, (4, 8), place="rewound"))
    assert set(verdicts) == {("relearn_updates", "rewind"), ("worst_gap", "rewind")}
    assert {v.word for v in verdicts.values()} == {"exploratory"}


def test_a_study_without_attacks_says_nothing_of_durability(hand):
    assert rows_of(hand, None) == {}
    assert rows_of(hand, pd.DataFrame(columns=["seed"])) == {}


def test_places_have_the_names_of_the_table():
    names = [place_label(at) for at in (At.target(0.1), At.target("oracle"), At("rewind"), At("end"))]
    assert names == ["0.1", "oracle", "rewound", "end"]


def test_standings_are_those_of_the_headline(hand):
    """At the headline's target of both its sides; a method that stops by itself is read at its end."""
    recipe = hand.recipe("unlearn=[{kind: gradient_ascent}, {kind: nabla_tau}, {kind: retrain}]", "claims.targets=[0.1]", STRESS)  # fmt: skip
    assert places_of(recipe) == {"gradient_ascent": "0.1", "nabla_tau": "end"}
    table = attacks(hand, (4, None), crushed=(0.9, 0.0), oracle=(None, None))
    elsewhere = table[table["subject"] == "unlearned"].assign(place="end")
    other = elsewhere.assign(stage="final")
    words = headline_standings(pd.concat([table, elsewhere, other]), recipe).set_index("stage")["word"]
    assert words.to_dict() == {"pre_grok": "hidden", "grokked": "forgotten"}


def test_attacks_at_the_recipes_rate_change_nothing_at_own_rates(hand):
    """Where a rate was searched, rows at identical settings are tested after the others, which do not depend on them."""
    recipe = hand.recipe("unlearn=[{kind: gradient_ascent, lr: {auto: 0.01}}]", "claims.targets=[0.1]", STRESS)
    names = {2.0: rated("gradient_ascent", 0.005), 1.0: "gradient_ascent", 1.5: rated("gradient_ascent", 0.02)}
    rows = pd.DataFrame([
        row
        for seed in hand.seeds for stage, needed in zip(SIDES, (40 + seed, 30 + seed % 3), strict=True) for slower, name in names.items()
        for row in hand.path(seed, stage, round(needed * slower), method=name, oracle_validation_accuracy=0.9)
    ]).astype({"reached_0.1": "boolean"})  # fmt: skip

    def family_of(table):
        verdicts = judge(rows, recipe, {"gradient_ascent": Doses(100.0, 50.0)}, stress=table)
        return {(v.claim.kind, v.reading): v for v in verdicts if v.headline}

    nothing, much = (
        family_of(attacks(hand, (lambda s: 4 + s % 2, back))) for back in (lambda s: 5 - s % 2, lambda s: 40 + s % 3)
    )
    assert nothing["durability", "relearning"].word == "inconclusive"
    assert much["durability", "relearning"].word == "supported"
    for key in (("efficiency", "own_rate"), ("collateral", ""), ("oracle_gap", "")):
        assert (nothing[key].effect, nothing[key].p_value) == (much[key].effect, much[key].p_value)
    assert nothing["efficiency", "own_rate"].word == "supported"
