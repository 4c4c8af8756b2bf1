"""The block ``audit``: its defaults, and every way in which it does not fit."""

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.preflight import preflight
from ungrok.study.recipe_audit import audited_rules, audited_stages


def test_what_is_left_out_is_the_recipes_own(tiny):
    more = "controls={half: {kind: level, of: train_accuracy, at: 0.5}, twice: {kind: rescaled, stage: grokked}}"
    recipe = tiny("audit={}", more, "stages=[grokked, half, twice]", "claims.compare=[]")
    assert (recipe.audit.shadows, recipe.audit.measures) == (64, ["ulira", "rmia", "klom", "neurips"])
    assert audited_stages(recipe) == ["grokked", "half"]
    assert [rule.label for rule in audited_rules(recipe)] == ["class"]


def test_sets_that_may_hold_whole_classes_are_drawn_first(tiny):
    recipe = tiny("audit={}", "forget=[{kind: random, size: 9}, {kind: class}, {kind: mislabeled}]")
    assert [rule.label for rule in audited_rules(recipe)] == ["class", "random-9", "mislabeled"]
    named = tiny("audit={forget: [random-9]}", "forget=[{kind: random, size: 9}, {kind: class}]")
    assert [rule.label for rule in audited_rules(named)] == ["random-9"]


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["audit={shadows: 9}"], "audit.shadows: 9 is not allowed"),
        (["audit={stages: [final]}"], "audit.stages: 'final' is not in this recipe; allowed: pre_grok, grokked"),
        (["audit={unlearn: [salun]}"], "audit.unlearn: 'salun' is not in this recipe"),
        (["audit={forget: [random]}"], "audit.forget: 'random' is not in this recipe"),
        (["audit={measures: [lira]}"], "audit.measures.0: 'lira' is not allowed; allowed: ulira, rmia, klom, neurips"),
        (
            [
                "audit={stages: [twice]}",
                "controls={twice: {kind: rescaled, stage: grokked}}",
                "stages=[pre_grok, grokked, twice]",
            ],
            "audit.stages: 'twice' is no stage that each shadow reaches by itself",
        ),
        (["audit={}", "problem={kind: modular, train_fraction: 0.6}"], "audit: .*twice.*problem.train_fraction: 1.2"),
        (["audit={}", "problem={kind: vision, train_size: null}"], "audit: .*problem.train_size is null"),
        (
            ["forget=[{kind: memorization}]"],
            "forget: 'memorization-high' is read from shadow models; give the recipe a block audit",
        ),
        (["audit={}", "forget=[{kind: memorization}]", "data_seed=per_seed"], "needs the same data for all seeds"),
        (
            ["audit={}", "forget=[{kind: memorization}]", "problem.label_noise=0.1"],
            "needs the same labels in the pool: problem.label_noise draws others there",
        ),
        (
            ["audit={}", "forget=[{kind: entanglement}]", "arms={more: {problem: {train_size: 130}}}"],
            "is not of the data of arm 'more'",
        ),
        (
            ["audit={forget: [memorization-high]}", "forget=[{kind: memorization}]"],
            "audit.forget: 'memorization-high' depends on how training went",
        ),
        (["audit={}", "trajectory.exposure={within: class}"], "audit: does not go with trajectory.exposure"),
    ],
)
def test_what_does_not_fit_is_one_sentence_with_the_key(tiny, overrides, message):
    with pytest.raises(RecipeError, match=message) as error:
        tiny(*overrides)
    assert "\n" not in str(error.value)


def test_a_source_without_such_a_pool_says_what_it_has(tiny):
    with pytest.raises(
        RecipeError, match=r"audit: .* pool of 1700 training examples, twice the recipe's 850 .* 1797 examples"
    ):
        preflight(tiny("audit={}", "problem.train_size=850"))
