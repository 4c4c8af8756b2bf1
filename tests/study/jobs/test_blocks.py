"""Blocks of specs as they are stored."""

import pytest

from ungrok.core.causal_lm import CausalLM
from ungrok.data.forget import SomeClasses
from ungrok.data.local import LocalGrokking
from ungrok.study.jobs.blocks import Asked, Forget, OwnLoss
from ungrok.study.problem_data import load_data


@pytest.mark.parametrize(
    "rule", [SomeClasses(classes=3, name="three"), LocalGrokking(size=4, using={"by": "quantile"}, name="group")]
)
def test_a_forget_block_is_flat_and_nameless(rule):
    block = Forget(rule=rule, seed=5)
    stored = block.spec()
    assert stored == {**{k: v for k, v in rule.spec().items() if k != "name"}, "seed": 5}
    assert Forget.model_validate(stored) == block


def test_a_loss_of_its_own_is_an_objective(controlled):
    data = load_data(controlled().problem)
    objective = OwnLoss(loss="mse", loss_precision="float64").objective(data)
    assert (objective.loss, objective.precision) == ("mse", "float64")
    assert not isinstance(objective, CausalLM)


def test_what_is_asked_is_the_probe_with_a_seed():
    assert Asked(seed=3).spec() == {
        "retain": 100,
        "new_tokens": 64,
        "share": 0.4,
        "rounding": "down",
        "last_token": False,
        "seed": 3,
    }


def test_earlier_requests_stand_in_the_block_and_none_leave_it_as_it_was():
    rule = SomeClasses(classes=3)
    alone, third = Forget(rule=rule, seed=5), Forget(rule=rule, seed=7, before=(5, 6))
    assert "before" not in alone.spec()
    assert third.spec() == alone.spec() | {"seed": 7, "before": [5, 6]}
    assert Forget.model_validate(third.spec()) == third
