"""Extraction strengths on hand-made paths of a language model."""

from __future__ import annotations

from pathlib import Path

import pandas as pd
import pytest

from ungrok.study.claims import Doses, judge
from ungrok.study.loading import load


def with_strengths(rows, forget, retain, oracle=0.3):
    return [
        {**row, "extraction_forget": forget, "extraction_retain": retain, "oracle_extraction_forget": oracle}
        for row in rows
    ]


def test_less_of_the_forgotten_and_more_of_the_retained_agree(hand):
    before = [with_strengths(hand.path(s, "pre_grok", 40), 0.5 + s / 100, 0.3) for s in hand.seeds]
    after = [with_strengths(hand.path(s, "grokked", 40), 0.2, 0.4) for s in hand.seeds]
    verdicts = hand.verdicts(hand.recipe(), *before, *after)
    expected = {
        "extraction_forget": sum(0.3 + s / 100 for s in hand.seeds) / 8,
        "extraction_retain": 0.1,
        "extraction_forget gap": sum(abs(0.5 + s / 100 - 0.3) - abs(0.2 - 0.3) for s in hand.seeds) / 8,
    }
    for metric, effect in expected.items():
        verdict = hand.pick(verdicts, "extraction", metric, "update 50")
        assert verdict["effect"] == pytest.approx(effect), metric
        assert (verdict["verdict"], verdict["unit"]) == ("exploratory", "extraction strength"), metric
    assert hand.pick(verdicts, "extraction", "extraction_retain", "update 50")["note"].startswith(
        "started from 0.300 → 0.400"
    )


def test_a_strength_that_is_unknown_is_left_out(hand):
    before = [with_strengths(hand.path(s, "pre_grok", 40), 0.5, 0.3) for s in hand.seeds]
    after = [with_strengths(hand.path(s, "grokked", 40), None if s == 0 else 0.2, 0.3) for s in hand.seeds]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *before, *after), "extraction", "extraction_forget", "update 50")
    assert (verdict["n_seeds"], verdict["effect"]) == (7, pytest.approx(0.3))


def test_without_an_oracle_there_is_no_gap(hand):
    paths = [
        with_strengths(hand.path(s, stage, 40), 0.5, 0.3, oracle=None)
        for stage in ("pre_grok", "grokked")
        for s in hand.seeds
    ]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "extraction", "extraction_forget gap", "update 50")
    assert (verdict["effect"], verdict["verdict"]) == (None, "exploratory")
    assert verdict["note"].startswith("diverged, or no oracle; started from")


def test_classifiers_have_none(hand):
    verdicts = hand.verdicts(hand.recipe(), *hand.pairs([40] * 8, [20] * 8))
    assert {claim for claim, *_ in verdicts} == {"efficiency", "collateral", "stability", "oracle_gap", "paper"}


TEXT = Path(__file__).parents[1] / "tiny-text.yaml"

GROUPS = {"late": "ungrokked-4", "early": "grokked-4"}


def judged(hand, **strengths):
    """Return verdicts on two groups whose paths reach UA 0 at update 40; of each group where strengths start, stand then, and are of the oracle.

    By group: ES of forgotten pairs as (start, then, oracle), the same of retained ones.
    """
    own = [
        "seeds=[0, 1, 2, 3, 4, 5, 6, 7]",
        "unlearn=[{kind: gradient_ascent}]",
        "claims.targets=[0.1, oracle]",
        "analyze=[]",
    ]
    pair = "claims.compare=[[{stage: final, forget: ungrokked-4}, {stage: final, forget: grokked-4}]]"
    family = "claims.headline={metrics: [same_rate, extraction_forget, extraction_retain]}"
    recipe, rows = load(str(TEXT), [*own, pair, family]), []
    for group, (forget, retain) in strengths.items():
        for seed in hand.seeds:
            for row in hand.path(seed, "final", 40):
                now, noise = int(row["dose"] >= 40), seed / 1000
                known = {"ES_forget": forget[now] + noise, "ES_retain": retain[now] + noise}
                oracle = {"oracle_ES_forget": forget[2], "oracle_ES_retain": retain[2]}
                rows.append(row | {"forget": GROUPS[group]} | known | oracle)
    table = pd.DataFrame(rows).astype({"reached_0.1": "boolean", "reached_oracle": "boolean"})
    verdicts = judge(table, recipe, {"gradient_ascent": Doses(100.0, 50.0)})
    return {v.reading: v for v in verdicts if v.claim.kind == "extraction" and v.headline}


def test_beyond_the_oracle_less_is_left_of_the_forgotten_and_less_lost_of_the_rest(hand):
    """Left: 0.5 − 0.2 against 0.3 − 0.1. Lost of the rest: 0.9 − 0.4 against 0.8 − 0.7."""
    rows = judged(hand, late=((0.9, 0.5, 0.2), (0.9, 0.4, 0.9)), early=((0.9, 0.3, 0.1), (0.9, 0.7, 0.8)))
    assert {reading: (v.metric, str(v.at), v.word) for reading, v in rows.items()} == {
        "forget": ("ES_forget", "update 50", "supported"),
        "retain": ("ES_retain", "UA ≤ 0.1", "supported"),
    }
    assert [rows[name].effect.value for name in ("forget", "retain")] == pytest.approx([0.1, 0.4])


def test_the_opposite_is_refuted(hand):
    rows = judged(hand, late=((0.9, 0.3, 0.1), (0.9, 0.7, 0.8)), early=((0.9, 0.5, 0.2), (0.9, 0.4, 0.9)))
    assert {reading: v.word for reading, v in rows.items()} == {"forget": "refuted", "retain": "refuted"}


def test_no_unlearning_at_all_gives_no_word(hand):
    """The groups differ before unlearning, and in what the oracle knows of them: that is no forgetting."""
    rows = judged(hand, late=((0.9, 0.9, 0.1), (0.9, 0.9, 0.95)), early=((0.6, 0.6, 0.3), (0.9, 0.9, 0.9)))
    assert [v.word for v in rows.values()] == ["inconclusive"] * 2
    assert all(v.effect.value > 0.04 for v in rows.values())
    assert {v.notes[0].code for v in rows.values()} == {"only_beyond_oracle"}


def test_without_an_oracle_nothing_is_left_beyond_it(hand):
    rows = judged(hand, late=((0.9, 0.5, None), (0.9, 0.4, None)), early=((0.9, 0.3, None), (0.9, 0.7, None)))
    assert {reading: (v.word, v.effect.value, v.notes[0].code) for reading, v in rows.items()} == {
        "forget": ("inconclusive", None, "diverged_or_no_oracle"),
        "retain": ("inconclusive", None, "oracle_lacks"),
    }
