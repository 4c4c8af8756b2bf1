"""What jobs are made of: settings of arms, and seeds of what is forgotten."""

from __future__ import annotations

import torch

from ungrok.study.plan_requests import ArmSettings, Request, device_of
from ungrok.study.seeding import Seeds


def test_an_arm_of_another_loss_is_unlearned_with_the_loss_of_the_base(tiny):
    recipe = tiny("arms.mse.trajectory.loss=mse", "arms.wide.model.width=64")
    base, mse, wide = (ArmSettings.of(recipe, arm) for arm in ("base", "mse", "wide"))
    assert (base.loss, wide.loss) == (None, None)
    assert (mse.loss.loss, mse.training.loss) == ("cross_entropy", "mse")
    assert (base.model.width, wide.model.width) == (32, 64)
    spec = wide.spec(5)
    assert (spec.training_seed, spec.model, spec.without) == (5, wide.model, None)


def test_requests_draw_from_seeds_of_their_own(tiny):
    recipe = tiny()
    arm, rule, seeds = ArmSettings.of(recipe, "base"), recipe.forget[0], Seeds(7)
    first, drawn, third = (Request(arm, 3, rule, 7, **more) for more in ({}, {"draw": 2}, {"phase": 3}))
    assert first.forget.seed == seeds.forget_of(0) != drawn.forget.seed == seeds.forget_of(2)
    assert (*third.forget.before, third.forget.seed) == tuple(seeds.requests_of(3))
    assert first.split_input == {}
    assert Request(arm, 3, rule, 7, split="split-0").split_input == {"split": "split-0"}


def test_a_device_is_the_one_that_is_named_or_the_one_that_is_here(tiny):
    assert device_of(tiny("device=cuda")) == "cuda"
    assert device_of(tiny("device=auto")) == ("cuda" if torch.cuda.is_available() else "cpu")
