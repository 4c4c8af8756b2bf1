"""Grids of learning rates."""

from __future__ import annotations

import pytest

from ungrok.methods import UNLEARNERS
from ungrok.study.rates import Extent, at_rates, grids, with_strengths


def test_entries_of_one_grid_belong_together(tiny):
    recipe = tiny(
        "unlearn=[{kind: finetune, lr: [0.1, 0.001, 1e-2]}, {kind: scrub, lr: 0.5}, {kind: gradient_ascent, name: ascent, lr: [1, 2.0]}, "
        "{kind: gradient_ascent, name: other lr=0.3}, {kind: finetune, name: one, lr: [0.2]}, {kind: fisher}]"
    )
    assert grids(recipe.unlearn) == {
        "finetune": {0.001: "finetune lr=0.001", 0.01: "finetune lr=0.01", 0.1: "finetune lr=0.1"},
        "ascent": {1.0: "ascent lr=1", 2.0: "ascent lr=2"},
    }
    assert list(grids(recipe.unlearn)["finetune"]) == [0.001, 0.01, 0.1]


def test_names_that_look_like_those_of_a_grid_do_not_make_one():
    scrub = UNLEARNERS.parse({"kind": "scrub", "lr": 0.01, "name": "a lr=0.01"})
    assert grids([scrub, UNLEARNERS.parse({"kind": "finetune", "lr": 0.02, "name": "a lr=0.02"})]) == {}
    assert grids([scrub, UNLEARNERS.parse({"kind": "scrub", "lr": 0.02, "name": "another"})]) == {}


@pytest.mark.parametrize(
    ("lower", "higher", "room", "expected"),
    [
        (0, 0, 5, (2, 1)),
        (1, 0, 5, (3, 1)),
        (0, 1, 5, (2, 2)),
        (1, 9, 2, (3, 2)),
        (1, 2, 1, (2, 2)),
        (2, 1, 1, (3, 1)),
        (2, 2, 1, (3, 1)),
        (2, 2, 0, (2, 1)),
        (2, 2, -1, (2, 1)),
    ],
)
def test_a_grid_goes_on_at_the_ends_that_are_wanted_while_there_is_room(lower, higher, room, expected):
    assert Extent(2, 1).extended(lower, higher, room) == Extent(*expected)


def test_rates_go_by_factors_of_two_and_all_but_the_own_one_are_in_the_name():
    ascent = UNLEARNERS.parse({"kind": "gradient_ascent", "name": "uphill", "lr": 4e-4, "updates": 7})
    variants = at_rates(ascent, Extent(1, 2))
    assert [(rate, each.lr, each.label) for rate, each in variants.items()] == [
        (2e-4, 2e-4, "uphill lr=0.0002"),
        (4e-4, 4e-4, "uphill"),
        (8e-4, 8e-4, "uphill lr=0.0008"),
        (1.6e-3, 1.6e-3, "uphill lr=0.0016"),
    ]
    assert variants[4e-4] is ascent
    assert {each.updates for each in variants.values()} == {7}


@pytest.mark.parametrize(
    ("kind", "own", "doses"),
    [
        ("fisher", 8.0, [2.0, 4.0, 8.0, 16.0]),
        ("fisher", [8.0, 3.0], [0.75, 1.5, 3.0, 8.0, 16.0]),
        ("ssd", 8.0, [1 / 32, 1 / 16, 1 / 8, 1 / 4]),  # its dose is 1/alpha
    ],
)
def test_strengths_go_by_factors_of_two_in_the_dose(kind, own, doses):
    method = UNLEARNERS.parse({"kind": kind, "alpha": own})
    assert list(with_strengths(method, Extent(2, 1)).doses()) == doses
