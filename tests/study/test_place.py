"""Places and comparisons of a study."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.place import Comparison, Place, comparisons
from ungrok.study.recipe_blocks import Side


def test_a_comparison_names_its_sides_and_splits():
    left, right = Side(stage="pre_grok"), Side(stage=100, arm="sam")
    one = Comparison(left, right, "class", "class")
    assert (one.label, one.forget) == ("pre_grok → sam/100", "class")
    assert Comparison(left, right, "class", "random").forget == "class → random"
    assert one.places("scrub") == (
        Place("base", "pre_grok", "class", "scrub"),
        Place("sam", "step-100", "class", "scrub"),
    )


def test_sides_without_a_split_are_compared_on_each(tiny):
    recipe = tiny(
        "forget=[{kind: class}, {kind: random, size: 5}]",
        "claims.compare=[[pre_grok, grokked], [{stage: grokked, forget: class}, {stage: grokked, forget: random-5}], "
        "[{stage: pre_grok, forget: class}, grokked]]",
    )
    assert [(c.label, *c.forgets) for c in comparisons(recipe)] == [
        ("pre_grok → grokked", "class", "class"),
        ("pre_grok → grokked", "random-5", "random-5"),
        ("grokked/class → grokked/random-5", "class", "random-5"),
        ("pre_grok/class → grokked", "class", "class"),
    ]


def test_arms_are_compared_on_the_splits_that_both_have(tiny):
    recipe = tiny(
        "forget=[{kind: class}, {kind: random, size: 5}]",
        "arms={short: {forget: [random-5]}, whole: {forget: [class]}}",
        "claims.compare=[[{arm: short, stage: grokked}, grokked], [{arm: short, stage: grokked}, {arm: whole, stage: grokked}]]",
    )
    assert [(c.label, *c.forgets) for c in comparisons(recipe)] == [("short/grokked → grokked", "random-5", "random-5")]


def test_a_side_may_not_name_a_split_that_its_arm_lacks(tiny):
    with pytest.raises(RecipeError, match=r"claims.compare forget: 'class' is not in this recipe; allowed: random-5"):
        tiny(
            "forget=[{kind: class}, {kind: random, size: 5}]",
            "arms={short: {forget: [random-5]}}",
            "claims.compare=[[{arm: short, stage: grokked, forget: class}, {stage: grokked, forget: class}]]",
        )
