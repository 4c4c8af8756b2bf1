"""The short form ``auto`` and the block that stands for it."""

from __future__ import annotations

import pytest

from ungrok.core.errors import RecipeError
from ungrok.core.plain import parse_yaml
from ungrok.study.loading import to_yaml, validate
from ungrok.study.recipe_search import Search, search_target, with_search


def test_auto_is_short_for_a_starting_value_and_a_block(tiny):
    recipe = tiny("unlearn.0.lr={auto: 4.0e-4}", "unlearn.1.lr=auto", "unlearn.1.name=gentle", "unlearn.2.alpha=auto")
    assert [method.lr for method in recipe.unlearn[:2]] == [4.0e-4, 5.0e-4], "the second is the method's default"
    assert recipe.unlearn[2].alpha == (1e-7,)
    assert recipe.search == Search(settings={"gradient_ascent": "lr", "gentle": "lr", "fisher": "alpha"})
    assert (recipe.search.most, recipe.search.damage) == (8, 0.02)
    assert recipe.unlearn_labels() == ["gradient_ascent", "gentle", "fisher"]


def test_the_block_may_be_written_beside_it(tiny):
    recipe = tiny("unlearn.0.lr=auto", "search={most: 6, damage: 0.05, settings: {scrub: lr}}")
    assert recipe.search == Search(settings={"scrub": "lr", "gradient_ascent": "lr"}, most=6, damage=0.05)
    assert recipe.unlearn[1].lr == 0.05


def test_strengths_may_start_from_several(tiny):
    assert tiny("unlearn.2.alpha={auto: [1.0e-6, 1.0e-3]}").unlearn[2].alpha == (1e-6, 1e-3)


def test_a_resolved_recipe_says_the_same_as_the_short_one(tiny):
    recipe = tiny("unlearn.0.lr={auto: 4.0e-4}", "unlearn.2.alpha=auto")
    again = validate(parse_yaml(to_yaml(recipe), "here"))
    assert (again, again.hash) == (recipe, recipe.hash)
    assert tiny("unlearn.0.lr=4.0e-4", "search.settings={gradient_ascent: lr}") == tiny("unlearn.0.lr={auto: 4.0e-4}")


def test_recipes_without_a_search_keep_their_hash(tiny):
    assert "search" not in tiny().spec()
    assert tiny().hash == "d9b8d496"
    searching = [tiny("unlearn.0.lr={auto: 0.05}", *more) for more in ([], ["search.most=6"], ["search.damage=0.1"])]
    assert len({recipe.hash for recipe in (tiny(), *searching)}) == 4


def test_a_search_ends_at_the_target_of_the_headline_or_the_first_that_is_a_number(tiny):
    assert search_target(tiny("claims.targets=[oracle, 0.5, 0.1]").claims) == 0.5
    assert search_target(tiny("claims.targets=[oracle, 0.5, 0.1]", "claims.headline.target=0.1").claims) == 0.1


def test_entries_that_are_objects_already_are_left_alone(tiny):
    recipe = tiny("unlearn.0.lr=auto")
    content = {"unlearn": list(recipe.unlearn), "search": recipe.search}
    assert with_search(content) == content


GRID = "unlearn=[{kind: finetune, lr: [0.01, 0.02]}, {kind: finetune, lr: auto}]"


@pytest.mark.parametrize(
    ("overrides", "parts"),
    [
        (["unlearn.2.lr=auto"], ["unlearn.2.lr", "learning rates of methods that make updates", "'fisher' has none"]),
        (["unlearn.1.alpha=auto"], ["unlearn.1.alpha", "strengths of one-shot methods", "'scrub' has none"]),
        (["unlearn.0.lr=[auto, 0.1]"], ["unlearn.0.lr", "either a list of values or auto"]),
        (["unlearn.0.lr={auto: [0.1, 0.2]}"], ["unlearn.0.lr", "{auto: value to start from}"]),
        (["unlearn.0.lr={auto: fast}"], ["unlearn.0.lr", "'fast'", "{auto: value to start from}"]),
        (["unlearn.0.lr={auto: 0.1, most: 3}"], ["unlearn.0.lr", "'most'", "{auto: value to start from}"]),
        (["unlearn.0.lr={auto: -1}"], ["unlearn.0.lr", "-1", "greater than 0"]),
        (["unlearn.2={kind: fisher, lr: auto, alpha: auto}"], ["unlearn.2", "lr and alpha are both auto"]),
        ([GRID], ["unlearn.2.lr", "'finetune lr=0.01'", "another name"]),
        (["unlearn.0.lr=auto", "search.most=2"], ["search.most", "2", "greater than or equal to 3"]),
        (["unlearn.0.lr=auto", "search.mots=4"], ["search", "'mots'", "did you mean 'most'"]),
        (["unlearn.0.lr=auto", "search=8"], ["search", "8", "block of keys"]),
        (["unlearn.0.lr=auto", "claims.targets=[oracle]"], ["claims.targets", "a level of UA", "give a number"]),
        (["unlearn.0.lr=auto", "claims.headline.target=oracle"], ["claims.headline.target", "'oracle'"]),
        (["unlearn.0={kind: nabla_tau, lr: auto}"], ["unlearn.0.lr", "'nabla_tau' stops by itself"]),
        (["unlearn.0={kind: retrain, lr: auto}"], ["unlearn.0.lr", "'retrain' starts from fresh weights"]),
        (["search.most=4"], ["search", "no entry of unlearn says lr: auto"]),
        (["search.settings.scrbu=lr"], ["search.settings", "'scrbu'", "did you mean 'scrub'"]),
        (["search.settings.scrub=momentum"], ["search.settings.scrub", "'momentum'", "lr, alpha"]),
        (["unlearn.0={lr: auto}"], ["unlearn.0.kind", "missing"]),
    ],
)
def test_what_cannot_be_searched_for_is_one_sentence_that_names_the_key(tiny, overrides, parts):
    with pytest.raises(RecipeError) as error:
        tiny(*overrides)
    message = str(error.value)
    assert "\n" not in message
    assert all(part in message for part in parts), message
