"""The headline family: what belongs to it by default, how many rows it has, and what is refused."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.claims.headline import METRICS, MOST, judged, resolved, rows_of
from ungrok.study.loading import load
from ungrok.study.recipe_blocks import Headline

WITHOUT_SEARCH = tuple(metric for metric in METRICS if metric != "own_rate")


def methods(hand, *kinds, splits=1):
    listed = ", ".join(f"{{kind: gradient_ascent, name: m{i}}}" for i in range(len(kinds) or 1))
    forget = ", ".join(f"{{kind: random, size: {i + 5}}}" for i in range(splits))
    return hand.tiny(f"unlearn=[{listed}]", f"forget=[{forget}]")


def test_rows_are_methods_by_splits_by_metrics(hand):
    recipe = methods(hand, *range(3), splits=2)
    assert rows_of(recipe, resolved(recipe)) == 3 * 2 * len(WITHOUT_SEARCH)


def test_metrics_are_left_out_from_the_end_until_the_family_is_small_enough(hand):
    recipe = methods(hand, *range(22))
    headline = resolved(recipe)
    assert headline.metrics == ["same_rate", "own_rate", "distance"]
    assert rows_of(recipe, headline) == 44 <= MOST
    assert load("digits-methods").claims.headline == Headline()
    assert rows_of(load("digits-methods"), resolved(load("digits-methods"))) <= MOST


def test_metrics_that_give_too_many_rows_are_refused(hand):
    recipe = methods(hand, *range(22))
    named = recipe.model_copy(
        update={"claims": recipe.claims.model_copy(update={"headline": Headline(metrics=list(METRICS))})}
    )
    with pytest.raises(RecipeError, match=r"claims\.headline\.metrics: .* give 110 rows; at most 60"):
        resolved(named)


def test_a_comparison_that_names_a_forget_split_has_one(hand):
    recipe = methods(hand, splits=2)
    split = recipe.forget_labels()[0]
    named = hand.tiny(
        "unlearn=[{kind: gradient_ascent}]",
        "forget=[{kind: random, size: 5}, {kind: random, size: 6}]",
        f"claims.compare=[[{{stage: pre_grok, forget: {split}}}, {{stage: grokked, forget: {split}}}]]",
    )
    assert rows_of(named, resolved(named)) == len(WITHOUT_SEARCH)


@pytest.mark.parametrize(
    ("kind", "searched", "metrics"),
    [
        ("gradient_ascent", True, METRICS),
        ("gradient_ascent", False, WITHOUT_SEARCH),
        ("nabla_tau", False, ("distance", "damage", "oracle_gap", "spread")),
        ("retrain", False, ()),
    ],
)
def test_what_a_method_can_be_judged_by(hand, kind, searched, metrics):
    (method,) = hand.tiny(f"unlearn=[{{kind: {kind}}}]").unlearn
    assert judged(method, searched=searched) == metrics


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{target: 0.3}", "headline.target: 0.3 is not in claims.targets"),
        ("{compare: [grokked, pre_grok]}", "headline.compare: grokked → pre_grok is not in claims.compare"),
        ("{metrics: []}", "at least 1"),
        ("{metrics: [speed]}", "same_rate"),
    ],
)
def test_what_is_not_in_the_claims_is_refused(hand, given, message):
    with pytest.raises(RecipeError, match=message.replace(".", r"\.")):
        hand.tiny(f"claims.headline={given}")


def test_the_headline_is_hashed_where_it_is_given(hand):
    plain, named = hand.tiny(), hand.tiny("claims.headline={metrics: [damage]}")
    assert plain.hash != named.hash
    assert "headline" not in plain.spec()["claims"]
