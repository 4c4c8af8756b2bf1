"""The answer to whether forgetting lasts, as sentences and as plain numbers, on tables made by hand."""

from __future__ import annotations

import json

import pandas as pd
import pytest
from tests.study.claims.test_durability import STRESS, attacks
from tests.study.claims.test_lasting import LASTING, lasting_from

from ungrok.study.claims.durable import QUESTION, attacked_sentence, durable_of
from ungrok.study.claims.judge import paths_of
from ungrok.study.claims.lasting import lasting_of

NOTHING = pd.DataFrame()


@pytest.fixture
def asked(hand):
    """Return recipe, rows and both tables: it lasts on the earlier side alone, and what is hidden there is forgotten on the later one."""
    recipe = hand.recipe("claims.targets=[0.1]", STRESS, LASTING)
    rows = pd.DataFrame([row for path in hand.pairs([20] * 8, [20] * 8) for row in path])
    lasting = pd.DataFrame(lasting_from(hand, lambda _: 40, None))
    stress = attacks(hand, (4, None), crushed=(0.9, 0.0), oracle=(None, None))
    tried = lasting_of(paths_of(rows.astype({"reached_0.1": "boolean"}), None, lasting), recipe)
    return recipe, stress, tried


def test_the_numbers_are_those_of_the_sentences(asked):
    recipe, stress, lasting = asked
    answer = durable_of(lasting, recipe, stress)
    filed = json.loads(json.dumps(answer.to_dict(), allow_nan=False))
    first, second = answer.sentences
    assert filed["question"] == QUESTION == "Does forgetting last?"
    assert filed["text"] == f"{first} {second}"
    assert first.startswith("Before grokking it lasts for the one method after 40 updates (median)")
    earlier, later = filed["lasting"]
    assert (earlier["side"], earlier["method"], earlier["lasted"], earlier["seeds"], earlier["updates"]) == ("pre_grok", "gradient_ascent", 8, 8, 40.0)  # fmt: skip
    assert (later["side"], later["lasted"], later["updates"], later["price"]) == ("grokked", 0, None, None)
    assert second == (
        "Under attack, before grokking the one method has hidden what it was to forget: the worst gap to the oracle is 0.90 on average "
        "(two oracles differ by 0.02); after grokking the one method has forgotten: the worst gap to the oracle is 0.00 on average "
        "(two oracles differ by 0.02)."
    )
    words = [(row["stage"], row["word"], round(row["gap"], 2), row["floor_seeds"]) for row in filed["attacks"]]
    assert sorted(words) == [("grokked", "forgotten", 0.0, 8), ("pre_grok", "hidden", 0.9, 8)]


def test_what_was_not_asked_is_left_out(asked):
    recipe, stress, lasting = asked
    assert len(durable_of([], recipe, stress).sentences) == 1
    assert durable_of([], recipe, stress).to_dict()["lasting"] == []
    assert len(durable_of(lasting, recipe, NOTHING).sentences) == 1
    assert durable_of(lasting, recipe, NOTHING).to_dict()["attacks"] == []
    assert durable_of([], recipe, NOTHING).to_dict() is None
    assert attacked_sentence(NOTHING, recipe) is None
