"""Grids of learning rates."""

from __future__ import annotations

from ungrok.methods import UNLEARNERS
from ungrok.study.rates import grids


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
