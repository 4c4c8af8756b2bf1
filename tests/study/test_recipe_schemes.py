"""Schemes that do not fit a recipe."""

from __future__ import annotations

from pathlib import Path

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.loading import load
from ungrok.study.preflight import preflight

HERE = Path(__file__).parent


@pytest.mark.parametrize(
    ("recipe", "overrides", "message"),
    [
        ("tiny.yaml", ["schemes=[{kind: siza}]"], "schemes.0.* 'siza'"),
        ("tiny.yaml", ["schemes=[{kind: sisa, shards: 0}]"], r"schemes\.0\..*shards"),
        ("tiny.yaml", ["schemes=[{kind: sisa}, {kind: sisa}]"], "schemes: two entries are called 'sisa'; give one a name"),
        ("tiny.yaml", ["schemes=[{kind: sisa, name: scrub}]"], "schemes: two entries are called 'scrub'"),
        ("tiny-text.yaml", ["schemes=[{kind: sisa}]"], "schemes: are for classifiers; those of problem 'authors' are language"),
        (
            "tiny.yaml",
            ["schemes=[{kind: sisa}]", "trajectory.exposure={within: class, swap: false}", "forget=[{kind: exposed, group: late, size: 4}]"],
            "schemes: do not go with trajectory.exposure",
        ),
    ],
)  # fmt: skip
def test_what_is_refused(recipe, overrides, message):
    with pytest.raises(RecipeError, match=message):
        load(str(HERE / recipe), overrides)


def test_more_slices_than_examples_are_refused_before_any_work():
    recipe = load(str(HERE / "tiny.yaml"), ["schemes=[{kind: sisa, shards: 70, slices: 2}]"])
    with pytest.raises(RecipeError, match="schemes: sisa: 70 shards of 2 slices of 120 training examples"):
        preflight(recipe)
