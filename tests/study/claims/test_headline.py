"""The headline family: what belongs to it by default, how many rows it has, and what is refused."""

from __future__ import annotations

from pathlib import Path

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.claims.headline import (
    METRICS,
    MOST,
    NAMED,
    NEEDS,
    covers,
    judged,
    last_rows_of,
    rates_repaired,
    resolved,
    rows_of,
)
from ungrok.study.loading import load
from ungrok.study.recipe_blocks import Headline

TEXT = Path(__file__).parents[1] / "tiny-text.yaml"

EVERYWHERE = tuple(metric for metric in METRICS if metric not in NEEDS)
"""What needs no block of its own."""

WITHOUT_SEARCH = tuple(metric for metric in EVERYWHERE if metric != "own_rate")


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
        update={"claims": recipe.claims.model_copy(update={"headline": Headline(metrics=list(EVERYWHERE))})}
    )
    with pytest.raises(RecipeError, match=r"claims\.headline\.metrics: .* give 110 rows; at most 60"):
        resolved(named)


def test_a_family_may_judge_some_of_the_forget_splits(hand):
    splits = "forget=[{kind: random, size: 5}, {kind: random, size: 6}, {kind: random, size: 7}]"
    every = hand.tiny("unlearn=[{kind: gradient_ascent}]", splits)
    labels = every.forget_labels()
    some = hand.tiny("unlearn=[{kind: gradient_ascent}]", splits, f"claims.headline.forget=[{labels[0]}, {labels[2]}]")
    assert rows_of(every, resolved(every)) == 3 * len(WITHOUT_SEARCH)
    assert rows_of(some, resolved(some)) == 2 * len(WITHOUT_SEARCH)
    assert [covers(resolved(some), label) for label in labels] == [True, False, True]
    assert all(covers(resolved(every), label) for label in labels)
    assert "forget" not in resolved(every).spec()


def test_a_family_of_splits_that_are_not_there_is_refused(hand):
    with pytest.raises(RecipeError, match=r"claims\.headline\.forget: 'clas' is not in this recipe; .*'class'"):
        hand.tiny("claims.headline.forget=[clas]")
    pair = "claims.compare=[[{stage: pre_grok, forget: class}, {stage: grokked, forget: class}]]"
    with pytest.raises(RecipeError, match=r"headline\.forget: the comparison names its forget splits already"):
        hand.tiny(pair, "claims.headline.forget=[class]")


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
        ("gradient_ascent", False, tuple(metric for metric in METRICS if metric != "own_rate")),
        ("nabla_tau", False, ("distance", "damage", "durability", "oracle_gap", "spread", "beyond_oracle", *NAMED)),
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


BLOCKS = ("stress={attacks: [{kind: relearn}]}", "lasting={updates: 50}")


def test_metrics_of_attacks_belong_to_recipes_that_attack(hand):
    plain = hand.tiny("unlearn=[{kind: gradient_ascent}]")
    assert resolved(plain).metrics == list(EVERYWHERE)
    own = "unlearn=[{kind: gradient_ascent}]"
    stress, lasting, both = (hand.tiny(own, *blocks) for blocks in (BLOCKS[:1], BLOCKS[1:], BLOCKS))
    assert set(resolved(stress).metrics) - set(EVERYWHERE) == {"durability"}
    assert set(resolved(lasting).metrics) - set(EVERYWHERE) == {"lasting", "price"}
    assert resolved(both).metrics == [metric for metric in METRICS if metric not in ("beyond_oracle", *NAMED)]
    # Durability has two rows: updates to be relearned, and the worst gap.
    counts = [rows_of(recipe, resolved(recipe)) for recipe in (plain, stress, lasting, both)]
    assert counts == [5, 7, 7, 9]


@pytest.mark.parametrize(
    ("method", "rates", "last"),
    [
        ("{kind: gradient_ascent, lr: auto}", "nominal", 5),
        ("{kind: gradient_ascent, lr: auto}", "all", 3),
        ("{kind: gradient_ascent}", "nominal", 0),
    ],
)
def test_rows_at_identical_settings_of_a_searched_method_are_tested_last(hand, method, rates, last):
    """Updates, what lasts and its price, and two rows of attacks."""
    recipe = hand.tiny(
        f"unlearn=[{method}, {{kind: fisher}}]",
        BLOCKS[0],
        f"lasting={{rates: {rates}}}",
        "claims.headline={target: 0.1}",
    )
    assert last_rows_of(recipe, resolved(recipe)) == last


def test_rows_of_attacks_are_counted_for_the_methods_that_are_attacked(hand):
    two = "unlearn=[{kind: gradient_ascent}, {kind: finetune}]"
    recipe = hand.tiny(two, "stress={attacks: [{kind: relearn}], methods: [finetune]}", "lasting={methods: [finetune], rates: all}")  # fmt: skip
    assert rows_of(recipe, resolved(recipe)) == 2 * 5 + 2 + 2
    assert (rates_repaired(recipe, "finetune"), rates_repaired(recipe, "gradient_ascent")) == ("all", "")


def test_a_large_family_keeps_the_rows_of_attacks_and_loses_gap_and_spread(hand):
    eight = ", ".join(f"{{kind: gradient_ascent, name: m{i}}}" for i in range(8))
    recipe = hand.tiny(f"unlearn=[{eight}]", *BLOCKS)
    assert resolved(recipe).metrics == ["same_rate", "own_rate", "distance", "damage", "lasting", "price", "durability"]
    assert rows_of(recipe, resolved(recipe)) == 56


def test_a_metric_without_its_block_is_refused(hand):
    recipe = hand.tiny("unlearn=[{kind: gradient_ascent}]", "claims.headline={metrics: [durability]}")
    with pytest.raises(
        RecipeError, match=r"claims\.headline\.metrics: durability needs the block stress, which this recipe lacks"
    ):
        resolved(recipe)


def test_what_is_attacked_elsewhere_alone_has_no_row_of_durability(hand):
    """The family reads at its target, and at the end where a method stops by itself."""
    own = "unlearn=[{kind: gradient_ascent}, {kind: nabla_tau}]"
    at_target, at_end, nowhere = (
        hand.tiny(own, f"stress={{attacks: [{{kind: relearn}}], places: [{place}]}}", "claims.headline={target: 0.1}")
        for place in ("0.1", "end", "rewound")
    )
    without = Headline(compare=resolved(at_target).compare, metrics=list(EVERYWHERE))
    counts = [rows_of(recipe, resolved(recipe)) - rows_of(recipe, without) for recipe in (at_target, at_end, nowhere)]
    assert counts == [2, 2, 0]
    assert "durability" not in resolved(nowhere).metrics


def test_durability_where_nothing_is_attacked_at_the_place_of_the_family_is_refused(hand):
    recipe = hand.tiny(
        "unlearn=[{kind: gradient_ascent}]", "stress={attacks: [{kind: relearn}], places: [end]}",
        "claims.headline={target: 0.1, metrics: [durability]}",
    )  # fmt: skip
    with pytest.raises(
        RecipeError, match=r"claims\.headline\.metrics: durability needs an attack at 0\.1; add it to stress\.places"
    ):
        resolved(recipe)


def test_extraction_is_judged_where_a_language_recipe_names_it(hand):
    """By default it is left out, so that families of studies that were judged before stay what they were."""
    methods = "unlearn=[{kind: gradient_ascent}, {kind: npo}]"
    plain = load(str(TEXT), [methods])
    assert not {*NAMED} & {*resolved(plain).metrics}
    named = load(str(TEXT), [methods, "claims.headline={metrics: [same_rate, extraction_forget, extraction_retain]}"])
    assert (resolved(named).metrics, rows_of(named, resolved(named))) == (["same_rate", *NAMED], 2 * 3)
    with pytest.raises(
        RecipeError,
        match=r"claims\.headline\.metrics: extraction_retain needs a language model, which problem 'digits' has not",
    ):
        resolved(hand.tiny("claims.headline={metrics: [extraction_retain]}"))


THREE = (
    "unlearn=[{kind: gradient_ascent}]",
    "arms={sam: {trajectory: {sam: {rho: 0.05}}}}",
    "claims.compare=[[pre_grok, grokked], [{arm: sam, stage: grokked}, grokked], [memorized, grokked]]",
    "stages=[memorized, pre_grok, grokked]",
)

SAM = "[{arm: sam, stage: grokked}, grokked]"


def test_a_family_may_hold_several_comparisons(hand):
    one, two = hand.tiny(*THREE), hand.tiny(*THREE, f"claims.headline={{also: [{SAM}]}}")
    assert [[side.label for side in pair] for pair in resolved(two).pairs] == [
        ["pre_grok", "grokked"],
        ["sam/grokked", "grokked"],
    ]
    assert rows_of(two, resolved(two)) == 2 * rows_of(one, resolved(one)) > 0
    assert "also" not in resolved(one).spec()
    assert "also" not in hand.tiny(*THREE, "claims.headline={metrics: [damage]}").spec()["claims"]["headline"]


def test_a_comparison_has_rows_for_the_splits_that_both_arms_have(hand):
    splits = "forget=[{kind: class}, {kind: random, size: 5}]"
    both = hand.tiny(*THREE, splits, f"claims.headline={{compare: {SAM}}}")
    lacking = hand.tiny(*THREE, splits, "arms.sam.forget=[class]", f"claims.headline={{compare: {SAM}}}")
    assert rows_of(both, resolved(both)) == 2 * rows_of(lacking, resolved(lacking)) > 0


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ("{also: [[grokked, memorized]]}", r"headline\.also: grokked → memorized is not in claims\.compare"),
        (f"{{also: [{SAM}, {SAM}]}}", r"headline\.also: sam/grokked → grokked is in the family more than once"),
        ("{also: [[pre_grok, grokked]]}", r"headline\.also: pre_grok → grokked is in the family more than once"),
    ],
)
def test_other_comparisons_that_cannot_be_judged_are_refused(hand, given, message):
    with pytest.raises(RecipeError, match=message):
        hand.tiny(*THREE, f"claims.headline={given}")
