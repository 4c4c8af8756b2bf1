"""The schedule of randomized exposure: a pure function, whose exposures are counted here one by one."""

from __future__ import annotations

import math

import pytest
import torch
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.data.base import PROBLEMS
from ungrok.data.exposed import Exposed
from ungrok.models.base import MODELS
from ungrok.train import Run, Training
from ungrok.train.exposure import Assignment, Exposure, quotas, timetable, without


def groups_of(members, examples, seed=0):
    mixed = torch.randperm(examples, generator=torch.Generator().manual_seed(seed))
    return Exposed(mixed[:members], mixed[members : 2 * members])


def shown(order, members):
    """Return how often each of the members is shown."""
    return torch.stack([(order == member).sum() for member in members])


def schedules():
    """Return settings under which the late group can catch up."""
    return st.fixed_dictionaries(
        {
            "members": st.integers(1, 12), "spare": st.integers(0, 20), "batch": st.integers(1, 15), "epochs": st.integers(4, 9),
            "late": st.floats(0.05, 0.45), "caught_up": st.floats(0.95, 1.0), "seed": st.integers(0, 99),
        }
    )  # fmt: skip


def made(members, spare, batch, epochs, late, caught_up, seed):
    examples = 2 * members + spare
    per_epoch = -(-examples // batch)
    steps = epochs * per_epoch
    exposure = Exposure(late=late, share=0.5, within="class", caught_up=caught_up)
    first, even = exposure.phases(steps, per_epoch)
    groups = groups_of(members, examples, seed)
    return groups, examples, first, even, timetable(groups, examples, steps, batch, seed, first=first, even=even)


@settings(max_examples=60, derandomize=True, deadline=None)
@given(schedules())
def test_both_groups_are_shown_equally_often_within_one_and_stand_in_the_last_epoch(setting):
    try:
        groups, examples, first, _, order = made(**setting)
    except RecipeError:
        assume(False)
    batch, both = setting["batch"], torch.cat([groups.early, groups.late])
    assert order.shape == (setting["epochs"] * -(-examples // batch), batch)
    counts = shown(order, both)
    assert counts.max() - counts.min() <= 1
    assert counts.min() >= len(order) * batch // examples - 1
    assert not torch.isin(order[:first], groups.late).any()
    last = order[len(order) - math.ceil(examples / batch) :]
    assert torch.isin(both, last).all()
    if setting["spare"] == 0:
        assert torch.isin(order[:first], groups.early).all()


def test_the_pilot_shows_167_late_images_in_each_batch_of_200():
    groups = groups_of(200, 400)
    order = timetable(groups, 400, 6000, 200, 0, first=2400, even=5998)
    late = torch.isin(order, groups.late).sum(dim=1)
    assert (late[:2400] == 0).all()
    assert set(late[2400:5998].tolist()) == {166, 167}
    assert late[5998:].sum() == 200
    assert shown(order, groups.early).tolist() == shown(order, groups.late).tolist() == [3000] * 200


def test_quotas_by_hand():
    """24 examples, 6 of them in either group, batches of 4; 6 steps an epoch, 4 epochs, the late group from step 8 on.

    By step 18 each example has been shown three times: each group 18 times. At an even pace the early group takes 8 of the first
    32 places and 10 of the next 40; the late group takes 18 of these, and the 12 others what is left.
    """
    assert quotas(6, 24, 4, 8, 18, 24) == [[8, 10, 6], [0, 18, 6], [24, 12, 12]]


def test_the_early_group_fills_what_the_others_cannot():
    """As above, with 10 in either group: the 4 others have 12 places in all by step 18, so the early group takes 20 of the first 32."""
    assert quotas(10, 24, 4, 8, 18, 24) == [[20, 10, 10], [0, 30, 10], [12, 0, 4]]


def test_swapped_groups_swap_places_and_nothing_else():
    groups = groups_of(10, 24, seed=3)
    one, other = (timetable(each, 24, 60, 4, 7, first=20, even=54) for each in (groups, groups.swapped))
    partner = torch.arange(24)
    partner[groups.early], partner[groups.late] = groups.late, groups.early
    assert torch.equal(partner[one], other)
    assert not torch.equal(one, other)


def test_a_timetable_is_a_function_of_its_seed():
    groups = groups_of(10, 24)
    one, same, other = (timetable(groups, 24, 60, 4, seed, first=20, even=54) for seed in (1, 1, 2))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_an_oracle_keeps_the_places_of_all_that_is_left():
    groups = groups_of(10, 24)
    order = timetable(groups, 24, 60, 4, 7, first=20, even=54)
    retain = torch.tensor([i for i in range(24) if i not in groups.early[:5].tolist()])
    left = without(order, groups, retain, 24, 7, first=20)
    assert left.shape == order.shape
    kept = torch.isin(order, retain)
    assert torch.equal(retain[left[kept]], order[kept])
    assert 0.7 < kept.float().mean() < 0.85
    assert not torch.isin(retain[left[:20]], groups.late).any()
    filled = retain[left[20:][~kept[20:]]]
    counts = shown(filled, retain)
    assert counts.max() - counts.min() <= 1


def test_an_oracle_of_all_that_is_shown_at_first_has_nothing_to_begin_with():
    groups = groups_of(12, 24)
    order = timetable(groups, 24, 60, 4, 7, first=20, even=54)
    with pytest.raises(NotApplicable, match=r"nothing is left to be shown before trajectory\.exposure\.late"):
        without(order, groups, groups.late.sort().values, 24, 7, first=20)


def test_a_late_group_that_cannot_catch_up_is_refused():
    with pytest.raises(RecipeError, match=r"from step 12 on the late group of 12 examples cannot catch up by step 18"):
        quotas(12, 24, 4, 12, 18, 24)
    with pytest.raises(ValueError, match=r"late: 0\.6 of the steps leaves the late group, a share 0\.5"):
        Exposure(late=0.6, share=0.5, within="class")


DIGITS = {"kind": "digits", "train_size": 60, "validation_size": 30}
TRAINING = {
    "steps": 40,
    "batch_size": 10,
    "exposure": {"late": 0.4, "share": 0.5, "within": "class"},
    "evaluate_steps": 10,
}
ASSIGNMENT = Assignment(seed=5, swapped=False)


def run_of(training, seed=0):
    data = training.exposure.exposing(PROBLEMS.parse(DIGITS).load(), ASSIGNMENT)
    model = MODELS.parse({"kind": "mlp", "width": 16}).build(data.shape, data.outputs, 0)
    return Run(model, data, training, seed, lambda: training.exposure.order(data, training.steps, 10, seed)), data


def test_a_run_takes_its_batches_from_the_timetable():
    training = Training.model_validate(TRAINING)
    run, data = run_of(training)
    order = training.exposure.order(data, 40, 10, 0)
    taken = [batch for epoch in range(7) for batch in run.batches.epoch(epoch)]
    assert len(run.batches) == 6
    assert len(taken) == 40
    for (inputs, targets), index in zip(taken, order, strict=True):
        assert torch.equal(inputs, data.train.batch(index)[0])
        assert torch.equal(targets, data.train.targets[index])


def test_a_run_goes_on_where_it_stopped_in_the_timetable():
    training = Training.model_validate(TRAINING)
    whole, parts = run_of(training)[0], run_of(training)[0]
    whole.advance(40)
    parts.advance(17)
    state = parts.state()
    again = run_of(training)[0]
    again.restore(state)
    again.advance(40)
    for name, value in whole.model.state_dict().items():
        assert torch.equal(value, again.model.state_dict()[name])


def test_a_run_with_an_exposure_follows_the_loss_of_every_example():
    run, _ = run_of(Training.model_validate(TRAINING))
    run.measure()
    assert run.examples["train"].shape == (60,)


def test_swapped_seeds_swap_the_groups_of_data():
    data, exposure = PROBLEMS.parse(DIGITS).load(), Exposure(within="class")
    one, other = (
        exposure.exposing(data, replaced).exposed for replaced in (ASSIGNMENT, Assignment(seed=5, swapped=True))
    )
    assert torch.equal(one.early, other.late)
    assert torch.equal(one.late, other.early)


def test_what_examples_are_assigned_within_must_fit():
    with pytest.raises(
        RecipeError, match=r"trajectory\.exposure\.within: 'author' does not fit this problem; allowed: class"
    ):
        Exposure(within="author").check(PROBLEMS.parse(DIGITS).load())


def test_an_exposure_needs_batches_of_a_size():
    with pytest.raises(ValueError, match="exposure: needs batches of a size; give batch_size"):
        Training.model_validate({**TRAINING, "batch_size": None})


def test_a_run_without_its_order_is_a_mistake():
    training = Training.model_validate(TRAINING)
    _, data = run_of(training)
    model = MODELS.parse({"kind": "mlp", "width": 16}).build(data.shape, data.outputs, 0)
    with pytest.raises(ValueError, match="an order is needed"):
        Run(model, data, training, 0)
