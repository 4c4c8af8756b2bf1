"""Which examples the nulls take, against their definitions."""

import torch

from ungrok.analyze.nulls import class_matched, compared, null_draws, permuted, split_half


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


FORGET, RETAIN = torch.arange(8), torch.arange(8, 40)


def test_split_half_has_the_sizes_of_forget_and_the_rest_and_nothing_of_forget():
    one = split_half(FORGET, RETAIN, draw())
    assert len(one.null) == len(one.forget) == 8
    assert len(one.against) == 24
    assert torch.equal(torch.cat([one.null, one.against]).sort().values, RETAIN)
    assert set(one.forget.tolist()) == set(FORGET.tolist())
    large = split_half(RETAIN, FORGET, draw())
    assert (len(large.forget), len(large.null), len(large.against)) == (4, 4, 4)


def test_permuted_keeps_sizes_and_shuffles_everything():
    one = permuted(FORGET, RETAIN, draw())
    assert (len(one.null), len(one.against)) == (8, 32)
    assert torch.equal(torch.cat([one.null, one.against]).sort().values, torch.arange(40))
    assert 0 < torch.isin(one.null, FORGET).sum() < 8


def test_same_classes_take_the_composition_of_forget_and_leave_half():
    targets = torch.tensor([0] * 6 + [1] * 2 + [0] * 4 + [1] * 10 + [2] * 18)
    one = class_matched(FORGET, RETAIN, targets, draw(), same=True)
    assert targets[one.null].bincount().tolist() == [2, 2]
    assert targets[one.forget].bincount().tolist() == [2, 2]
    assert torch.equal(torch.cat([one.null, one.against]).sort().values, RETAIN)


def test_other_classes_stand_in_for_a_class_forgotten_whole():
    targets = torch.tensor([0] * 8 + [1] * 12 + [2] * 20)
    assert class_matched(FORGET, RETAIN, targets, draw(), same=True) is None
    taken = {int(targets[class_matched(FORGET, RETAIN, targets, draw(s), same=False).null].unique()) for s in range(9)}
    assert taken == {1, 2}
    assert class_matched(FORGET, RETAIN, torch.tensor([0] * 8 + [1] * 32), draw(), same=False) is None


def test_kinds_are_those_that_exist_and_depend_on_the_seed_alone():
    targets = torch.tensor([0] * 8 + [1] * 12 + [2] * 20)
    made = null_draws(FORGET, RETAIN, targets, 3, seed=1)
    assert {name: len(draws) for name, draws in made.items()} == {"split_half": 3, "other_classes": 3}
    again, other = null_draws(FORGET, RETAIN, targets, 3, seed=1), null_draws(FORGET, RETAIN, targets, 3, seed=2)
    assert torch.equal(made["split_half"][2].null, again["split_half"][2].null)
    assert not torch.equal(made["split_half"][2].null, other["split_half"][2].null)


def test_without_classes_there_is_only_the_split():
    assert set(null_draws(FORGET, RETAIN, None, 2, seed=1)) == {"split_half"}


def test_a_class_of_which_one_example_is_forgotten_takes_one():
    targets = torch.tensor([0] * 7 + [1] + [0] * 20 + [1] * 3 + [2] * 9)
    one = class_matched(FORGET, RETAIN, targets, draw(), same=True)
    assert targets[one.null].bincount().tolist() == targets[one.forget].bincount().tolist() == [7, 1]


def test_half_of_a_small_class_is_left_to_the_rest():
    """Of one retained example of a forgotten class nothing can be taken."""
    targets = torch.tensor([0] * 7 + [1] + [0] * 31 + [1])
    assert class_matched(FORGET, RETAIN, targets, draw(), same=True) is None
    replaced = class_matched(FORGET, RETAIN, torch.tensor([0] * 34 + [1] * 3 + [2] * 3), draw(), same=False)
    assert (len(replaced.null), len(replaced.forget), len(replaced.against)) == (3, 3, 29)


def test_compared_is_the_median_of_forget_beside_the_control():
    draws = {"split_half": [split_half(FORGET, RETAIN, draw(seed)) for seed in range(5)]}
    of = lambda left, right: torch.tensor([float(a.sum() - b.sum()) for a, b in zip(left, right, strict=True)])  # noqa: E731
    (reading,) = compared("gap", of, draws, "fc", "degree")
    rests = [one.against.sum().item() for one in draws["split_half"]]
    assert (reading.measure, reading.layer, reading.unit) == ("gap_split_half", "fc", "degree")
    assert reading.value == 28 - sorted(rests)[2]
    assert reading.examples == 32
    assert reading.nulls["split_half"].draws == 5
