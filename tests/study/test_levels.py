"""Stages by level in a recipe: named, kept once, and refused where they cannot be read."""

from pathlib import Path

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.levels import with_levels
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.recipe_blocks import Level

TINY = str(Path(__file__).with_name("tiny.yaml"))
EARLY = "{kind: level, of: train_accuracy, at: 0.5, name: early}"


def tiny(*overrides):
    return load(TINY, [*overrides])


def test_a_level_stands_among_the_controls_under_its_name():
    recipe = tiny(f"stages=[{EARLY}, {{kind: level, of: train_loss, at: 0.25}}, grokked]", "claims.compare=[]")
    assert recipe.stages == ["early", "train_loss-0.25", "grokked"]
    assert recipe.controls == {
        "early": Level(of="train_accuracy", at=0.5),
        "train_loss-0.25": Level(of="train_loss", at=0.25),
    }


def test_it_may_be_written_among_the_controls_at_once():
    short = tiny(f"stages=[{EARLY}, grokked]", "claims.compare=[[early, grokked]]")
    long = tiny(
        "controls={early: {kind: level, of: train_accuracy, at: 0.5}}",
        "stages=[early, grokked]",
        "claims.compare=[[early, grokked]]",
    )
    assert short == long
    assert short.hash == long.hash


def test_a_recipe_read_again_is_the_same():
    recipe = tiny(f"stages=[{EARLY}, grokked]", "claims.compare=[[early, grokked]]")
    assert type(recipe).model_validate(recipe.to_dict()) == recipe


def test_arms_have_levels_of_their_own_and_share_one_of_the_same_name():
    recipe = tiny(
        f"stages=[{EARLY}, grokked]",
        f"arms={{wide: {{model: {{width: 48}}, stages: [{EARLY}, {{kind: level, of: validation_accuracy, at: 0.6}}]}}}}",
        "claims.compare=[[early, grokked], [early, {arm: wide, stage: early}]]",
    )
    assert recipe.stages_of("wide") == ["early", "validation_accuracy-0.6"]
    assert list(recipe.controls) == ["early", "validation_accuracy-0.6"]


def test_other_controls_may_follow_from_a_level():
    recipe = tiny(
        "controls={louder: {kind: rescaled, stage: early, factor: 2}, same: {kind: matched, stage: early, equal: updates}}",
        f"stages=[{EARLY}, louder, same]",
        "claims.compare=[]",
    )
    plan = make_plan(recipe)
    level = plan.stages["base", 0, "early"]
    assert plan.jobs[plan.stages["base", 0, "louder"]].inputs == {"stage": level}
    assert plan.jobs[plan.stages["base", 0, "same"]].inputs["to"] == level


@pytest.mark.parametrize(("sustained", "times"), [("false", 1), ("true", 3)])
def test_sustained_means_what_it_means_for_the_transition(sustained, times):
    plan = make_plan(tiny(f"stages=[{EARLY.replace('name', f'sustained: {sustained}, name')}]", "claims.compare=[]"))
    job = plan.jobs[plan.stages["base", 1, "early"]]
    assert job.spec.to_dict() == {"of": "train_accuracy", "at": 0.5, "times": times}
    assert job.inputs == {"trajectory": plan.trajectories["base", 1]}


def test_content_without_levels_is_left_alone():
    content = {"stages": ["grokked", 7], "arms": {"wide": {"stages": ["final"]}}, "controls": {}}
    assert with_levels(content) == content


@pytest.mark.parametrize(
    ("stages", "message"),
    [
        ("[{kind: lvl, of: train_accuracy, at: 0.5}]", "stages.0.kind: 'lvl' is not allowed; allowed: level"),
        ("[grokked, {kind: level, of: train_acc, at: 1}]", "stages.1.of: 'train_acc' .*did you mean 'train_accuracy'"),
        ("[{kind: level, of: train_accuracy, at: 1.5}]", "at: 1.5 is not an accuracy; allowed: above 0, at most 1"),
        ("[{kind: level, of: train_loss, at: -1}]", "stages.0.at: -1 is not allowed"),
        ("[{kind: level, of: train_accuracy}]", "stages.0.at: is missing"),
        (
            f"[{EARLY.replace('early', 'grokked')}]",
            "stages.0.name: 'grokked' is no name for it; give a text that no other stage has",
        ),
        (f"[{EARLY.replace('early', 'step-5')}]", "stages.0.name: 'step-5' is no name for it"),
        (f"[{EARLY.replace('early', '3')}]", "stages.0.name: 3 is no name for it"),
        (f"[{EARLY}, {EARLY.replace('0.5', '0.6')}]", "stages.1: two levels are called 'early'"),
    ],
)
def test_what_cannot_be_read_is_refused(stages, message):
    with pytest.raises(RecipeError, match=message):
        tiny(f"stages={stages}", "claims.compare=[]")


def test_a_control_of_that_name_must_be_the_same():
    with pytest.raises(RecipeError, match="stages: 'early' is a control already; give the stage another name"):
        tiny("controls={early: {kind: rescaled, stage: grokked}}", f"stages=[{EARLY}, grokked]", "claims.compare=[]")


def test_a_comparison_with_a_level_that_is_not_there_is_refused():
    with pytest.raises(
        RecipeError, match=r"claims.compare stage: 'earl' is not in this recipe; .*did you mean 'early'"
    ):
        tiny(f"stages=[{EARLY}, grokked]", "claims.compare=[[earl, grokked]]")
