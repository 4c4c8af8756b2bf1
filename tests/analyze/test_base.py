"""Nulls, rows, and how examples are chosen."""

from dataclasses import replace
from typing import Literal

import pytest
import torch
from torch import nn

from ungrok.analyze import ANALYSES, Analysis, Null, Reading, Subject
from ungrok.analyze.base import in_full, joined, pool
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification


def test_null_holds_quantiles_of_the_finite_draws():
    null = Null.of([float("nan"), *range(101)])
    assert (null.low, null.median, null.high, null.draws) == (5, 50, 95, 101)
    assert Null.of([]) is None
    assert Null.of([float("nan")]) is None


def test_rows_are_the_value_and_each_null():
    reading = Reading("m", "forget", 0.5, "degree", "fc", 7, {"a": Null(1, 2, 3, 4), "b": None})
    value, null = reading.rows()
    assert value == {
        "measure": "m", "on": "forget", "layer": "fc", "unit": "degree", "examples": 7,
        "null": "", "value": 0.5, "low": None, "high": None, "draws": None,
    }  # fmt: skip
    assert null == value | {"null": "a", "value": 2, "low": 1, "high": 3, "draws": 4}


@pytest.mark.parametrize("value", [float("nan"), float("inf"), None])
def test_what_is_not_finite_has_no_value(value):
    assert next(Reading("m", "", value).rows())["value"] is None


def subject(forget, retain):
    def made(first, n):
        return [(x, x[:, 0].long()) for x in torch.arange(first, first + n).float().view(-1, 1).split(3)]

    return Subject(nn.Linear(1, 2), Classification(), {"forget": made(0, forget), "retain": made(100, retain)}, seed=3)


def test_pool_keeps_all_or_samples_both_by_one_share():
    batch, forget, retain = pool(subject(4, 8), 100)
    assert batch[1].tolist() == [0, 1, 2, 3, *range(100, 108)]
    assert (forget.tolist(), retain.tolist()) == ([0, 1, 2, 3], list(range(4, 12)))
    batch, forget, retain = pool(subject(40, 80), 30)
    assert (len(forget), len(retain)) == (10, 20)
    assert (batch[1][forget] < 100).all()
    assert (batch[1][retain] >= 100).all()
    assert torch.equal(batch[1], pool(subject(40, 80), 30)[0][1])


class Passes(list):
    """Batches that count how often they are gone through."""

    made = 0

    def __iter__(self):
        self.made += 1
        return super().__iter__()


class Sizes(Analysis):
    kind: Literal["sizes"] = "sizes"

    def readings(self, subject):
        pool(subject, 4)
        yield Reading("size", "retain", subject.size("retain"))


def test_a_set_is_counted_once_in_a_measurement():
    of = replace(subject(4, 8), model=nn.Linear(1, 200))
    sets = {role: Passes(batches) for role, batches in of.sets.items()}
    for _ in range(2):
        before = {role: batches.made for role, batches in sets.items()}
        (reading,) = Sizes().measure(replace(of, sets=sets))
        assert reading.value == 8
        assert {role: batches.made - before[role] for role, batches in sets.items()} == {"forget": 2, "retain": 2}


def test_what_is_trusted_is_not_checked_again():
    of = replace(subject(4, 8), model=nn.Linear(1, 200))
    of.sets["forget"][0][0][0] = torch.nan
    with pytest.raises(RecipeError, match="forget: inputs hold NaN"):
        Sizes().measure(of)
    assert [reading.value for reading in Sizes().measure(replace(of, trusted=True))] == [8]


def test_pairs_of_different_lengths_are_joined():
    def pair(ids, label, author):
        one = {"input_ids": ids, "attention_mask": [1] * len(ids), "labels": [-100] * (len(ids) - 1) + [label]}
        return {name: torch.tensor([values]) for name, values in one.items()} | {"classes": torch.tensor([author])}

    found = joined(CausalLM(), [pair([1, 2], 2, 4), pair([3, 5, 6], 6, 5), pair([7, 8], 8, 4)])
    assert found["input_ids"].tolist() == [[1, 2, 0], [3, 5, 6], [7, 8, 0]]
    assert found["labels"].tolist() == [[-100, 2, -100], [-100, -100, 6], [-100, 8, -100]]
    assert found["attention_mask"].sum(dim=1).tolist() == [2, 3, 2]
    assert found["classes"].tolist() == [4, 5, 4]


def test_no_batches():
    with pytest.raises(RecipeError, match="holds no batches"):
        joined(Classification(), [])


def test_the_smaller_set_keeps_an_example():
    batch, forget, retain = pool(subject(2, 80), 10)
    assert (len(forget), len(retain)) == (1, 10)
    assert batch[1][forget].item() in (0, 1)


def test_a_model_is_copied_only_where_it_has_too_few_bits():
    single, double, half = nn.Linear(2, 1), nn.Linear(2, 1).double(), nn.Linear(2, 1).half()
    assert in_full(single) is single
    assert in_full(double) is double
    assert in_full(half).weight.dtype == torch.float32
    assert half.weight.dtype == torch.float16


def test_only_these_compare_models():
    assert {kind for kind in ANALYSES.names() if ANALYSES.get(kind).compares} == {"cka", "weight_norm"}
    assert [ANALYSES.parse(block).label for block in ({"kind": "cka"}, {"kind": "cka", "name": "mine"})] == [
        "cka",
        "mine",
    ]
