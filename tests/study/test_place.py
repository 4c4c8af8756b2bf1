"""Places and comparisons of a study."""

from __future__ import annotations

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
