"""Groups of randomized exposure, and the forget rule that draws from them."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.base import PROBLEMS
from ungrok.data.exposed import Exposed, ExposedGroup, assigned

STRATA = torch.tensor([0] * 7 + [1] * 8 + [2] * 4)[torch.randperm(19, generator=torch.Generator().manual_seed(5))]
EVERYONE = torch.ones(19, dtype=torch.bool)


def digits(groups):
    data = PROBLEMS.parse({"kind": "digits", "train_size": 60}).load()
    return replace(data, exposed=groups)


def test_each_stratum_gives_its_share_to_either_group():
    groups = assigned(STRATA, 0.5, 3, EVERYONE)
    for members in (groups.early, groups.late):
        assert torch.bincount(STRATA[members]).tolist() == [3, 4, 2]
    assert torch.equal(STRATA[groups.early], STRATA[groups.late])
    every = torch.cat([groups.early, groups.late, groups.common(19)])
    assert every.sort().values.tolist() == list(range(19))
    assert torch.bincount(STRATA[groups.common(19)], minlength=3).tolist() == [1, 0, 0]


def test_a_smaller_share_leaves_more_in_neither_group():
    groups = assigned(STRATA, 0.25, 3, EVERYONE)
    assert torch.bincount(STRATA[groups.late]).tolist() == [1, 2, 1]
    assert len(groups.common(19)) == 11


def test_an_assignment_depends_on_its_seed_alone_and_on_nothing_of_other_strata():
    one, same, other = (assigned(STRATA, 0.5, seed, EVERYONE) for seed in (3, 3, 4))
    assert torch.equal(one.early, same.early)
    assert not torch.equal(one.early, other.early)
    apart = assigned(torch.where(STRATA == 2, 5, STRATA), 0.5, 3, EVERYONE)
    assert torch.equal(apart.early, one.early)


def test_what_cannot_be_forgotten_alone_is_in_neither_group():
    alone = EVERYONE.clone()
    alone[:6] = False
    groups = assigned(STRATA, 0.5, 3, alone)
    assert set(range(6)) <= set(groups.common(19).tolist())


def test_chance_decides_who_is_early():
    """Over many seeds every example is early in nearly half of the assignments."""
    times = torch.zeros(19)
    for seed in range(400):
        times[assigned(STRATA, 0.5, seed, EVERYONE).early] += 1
    whole = STRATA > 0
    assert ((times[whole] / 400 - 0.5).abs() < 4 * 0.025).all()


def test_a_seed_draws_the_same_places_of_both_groups():
    groups = Exposed(torch.tensor([3, 8, 1, 40]), torch.tensor([7, 2, 30, 5]))
    early, late = (ExposedGroup(group=group, size=3).split(digits(groups), 4) for group in ("early", "late"))
    places = [groups.early.tolist().index(i) for i in early.forget.tolist()]
    assert sorted(groups.late[places].tolist()) == late.forget.tolist()
    swapped = ExposedGroup(group="late", size=3).split(digits(groups.swapped), 4)
    assert swapped.forget.tolist() == early.forget.tolist()


def test_further_requests_take_what_is_left_of_the_group():
    groups = Exposed(torch.tensor([3, 8, 1, 40]), torch.tensor([7, 2, 30, 5]))
    split = ExposedGroup(group="early", size=2).split(digits(groups), 5, (4,))
    assert sorted(torch.cat(split.requests).tolist()) == [1, 3, 8, 40]


def test_a_group_that_is_too_small_is_named():
    groups = Exposed(torch.tensor([3, 8]), torch.tensor([7, 2]))
    with pytest.raises(
        RecipeError, match=r"'early-3': 3 examples asked of 2 in the group; lower size, or raise trajectory"
    ):
        ExposedGroup(group="early", size=3).split(digits(groups), 0)


def test_data_that_are_shown_alike_have_no_groups():
    with pytest.raises(NotApplicable, match=r"kind exposed needs trajectory\.exposure"):
        ExposedGroup(group="early", size=3).split(digits(None), 0)


def test_what_an_oracle_is_trained_on_has_no_groups():
    """Their indices would be those of other examples."""
    data = digits(Exposed(torch.tensor([3, 8]), torch.tensor([7, 2])))
    assert data.without(ExposedGroup(group="early", size=1).split(data, 0)).exposed is None
