"""Blocks of a recipe: shorthand forms, labels, and what they refuse."""

import pytest
from pydantic import ValidationError

from ungrok.study.recipe_blocks import BASE, Claims, Level, Matched, Rescaled, Side


def test_a_side_may_be_given_by_its_stage_alone():
    claims = Claims(compare=[["pre_grok", {"stage": 300, "arm": "sam", "forget": "class"}]])
    assert claims.compare == [(Side(stage="pre_grok"), Side(stage=300, arm="sam", forget="class"))]
    left, right = claims.compare[0]
    assert (left.arm, left.label, right.label) == (BASE, "pre_grok", "sam/300/class")


def test_the_primary_target_is_the_first_number():
    assert Claims(targets=["oracle", 0.5, 0.1]).primary == 0.5
    assert Claims(targets=["oracle"]).primary == "oracle"


@pytest.mark.parametrize(
    ("block", "message"),
    [
        ({"compare": [["pre_grok", "grokked"], ["pre_grok", "grokked"]]}, "a pair is listed more than once"),
        ({"targets": [0.1, 0.1]}, "a target is listed more than once"),
        ({"targets": [1.0]}, "not a level of UA; allowed: 0 <= level < 1, or 'oracle'"),
        ({"targets": []}, "at least 1 item"),
        ({"dose": 0}, "greater than 0"),
        ({"margins": {"efficiency": 0}}, "greater than 0"),
    ],
)
def test_claims_refuse(block, message):
    with pytest.raises(ValidationError, match=message):
        Claims.model_validate(block)


def test_controls_say_what_they_are():
    matched = Matched(stage="grokked", equal="test_accuracy", tolerance=0.02)
    assert matched.described() == "the step with the test accuracy of grokked, within 0.02"
    rescaled = Rescaled(stage="grokked", factor=4)
    assert (
        rescaled.described()
        == "the model of grokked with its first layer times 4 and its last divided by it: the same function"
    )
    level = Level(of="train_accuracy", at=0.79)
    assert level.described() == "the first evaluated step at which train accuracy is at or above 0.79"
    held = Level(of="validation_loss", at=1.5, sustained=True).described()
    assert held == (
        "the first evaluated step at which validation loss is at or below 1.5, and stays there in the evaluations after it"
    )
