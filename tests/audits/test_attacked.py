"""Rows of one model under one stress test."""

from typing import ClassVar, Literal

import pytest
import torch

from ungrok.audits import Setting, StressStep, StressTest, attacked
from ungrok.audits.scoring import NUMBERS

from .conftest import network

COLUMNS = [
    *("attack", "kind", "setting", "share", "lr", "dose", "dose_name", "updates"),
    *NUMBERS,
    *("barrier_forget", "barrier_retain", "diverged"),
]


class Steps(StressTest):
    """Three places, the second not observed; reads RA in a way of its own."""

    dose: ClassVar[str] = "level"
    kind: Literal["steps"] = "steps"

    def settings(self):
        return Setting("a", 0.1), Setting("b", 0.5, 0.3)

    def observed(self, step):
        return step.dose != 1

    def summary(self, rows):
        return {"barrier_forget": float(len(rows))}

    def steps(self, model, material, setting):
        for number in range(3):
            yield StressStep(number, 10 * number, model, {"RA": number / 4})


class Still(Steps):
    moves: ClassVar[bool] = False


class TwoRates(Steps):
    def settings(self):
        return *super().settings(), Setting("c", 0.5, 0.4)


def flat(model, held_back):
    return dict.fromkeys(NUMBERS, 0.5) | {"UA": len(held_back) / 20, "forget_loss": None}


def test_one_row_per_setting_and_observed_place(given):
    rows = attacked(Steps(name="mine"), network(), given, flat)
    assert [list(row) for row in rows] == [COLUMNS] * 4
    assert [(row["setting"], row["share"], row["lr"], row["dose"], row["updates"]) for row in rows] == [
        ("a", 0.1, None, 0, 0),
        ("a", 0.1, None, 2, 20),
        ("b", 0.5, 0.3, 0, 0),
        ("b", 0.5, 0.3, 2, 20),
    ]
    assert {(row["attack"], row["kind"], row["dose_name"]) for row in rows} == {("mine", "steps", "level")}
    assert [row["UA"] for row in rows] == [0.9, 0.9, 0.5, 0.5]  # on those that are held back
    assert [row["RA"] for row in rows] == [0, 0.5, 0, 0.5]
    assert {row["barrier_forget"] for row in rows} == {2.0}
    assert {row["barrier_retain"] for row in rows} == {None}
    assert not any(row["diverged"] for row in rows)


def test_a_model_that_does_not_move_is_scored_once_per_setting_and_the_untouched_one_once_per_share(given):
    calls = []

    def counting(model, held_back):
        calls.append(len(held_back))
        return flat(model, held_back)

    for test, expected in ((Still(), [18, 10]), (Steps(), [18, 18, 10, 10]), (TwoRates(), [18, 18, 10, 10, 10])):
        calls.clear()
        rows = attacked(test, network(), given, counting)
        assert len(rows) == 2 * len(test.settings())
        assert calls == expected
        assert rows[-2]["UA"] == rows[2]["UA"] == 0.5


@pytest.mark.parametrize("name", ["UA", "TA"])
def test_without_an_accuracy_a_model_has_diverged(given, name):
    rows = attacked(Steps(), network(), given, lambda model, back: flat(model, back) | {name: None})
    assert all(row["diverged"] for row in rows)


def test_the_live_model_is_what_is_scored(given):
    class Moving(Steps):
        @torch.no_grad()
        def steps(self, model, material, setting):
            yield StressStep(0, 0, model)
            model[0].weight.fill_(2.0)
            yield StressStep(2, 0, model)

    rows = attacked(
        Moving(),
        network(),
        given,
        lambda model, back: flat(model, back) | {"TA": float(model[0].weight.detach().mean())},
    )
    assert rows[1]["TA"] == 2.0
    assert rows[0]["TA"] != 2.0
