"""A path from a model of one's own, measured along the way."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

import ungrok
from ungrok.core.errors import RecipeError
from ungrok.deletion.along import along
from ungrok.deletion.inputs import checked

pytestmark = pytest.mark.filterwarnings("ignore:.*left the model as it was:ungrok.core.errors.UnlearningWarning")


def measured(model, world):
    with torch.no_grad():
        logits = model(world.inputs)
    right = (logits.argmax(1) == world.targets).double()
    loss = nn.functional.cross_entropy(logits[:6], world.targets[:6])
    return [part.mean().item() for part in (right[:6], right[6:40], right[40:])] + [
        pytest.approx(loss.item(), rel=1e-5)
    ]


def test_every_row_is_what_that_many_updates_give(world):
    rows, end = along(checked(world.original, **world.sets), ungrok.GradientAscent(lr=0.1, updates=3))
    assert [row["dose"] for row in rows] == [0, 1, 2, 3]
    for dose, row in enumerate(rows):
        model = world.original
        if dose:
            sets = {"forget": world.sets["forget"], "retain": world.sets["retain"]}
            model = ungrok.unlearn(world.original, **sets, method="gradient_ascent", lr=0.1, updates=dose)
        assert list(row) == ["dose", "UA", "RA", "TA", "forget_loss"]
        assert list(row.values())[1:] == measured(model, world)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(end.parameters(), model.parameters(), strict=True))
    assert rows[3]["forget_loss"] > rows[0]["forget_loss"]


def test_measuring_draws_nothing_from_the_path(world):
    examples = TensorDataset(world.inputs, world.targets)
    sets = {
        role: DataLoader(torch.utils.data.Subset(examples, range(first, last)), 4, shuffle=True)
        for role, first, last in (("forget", 0, 6), ("retain", 6, 40), ("test", 40, 60))
    }
    before = torch.get_rng_state()
    _, end = along(checked(world.original, **sets, seed=5), ungrok.NegGradPlus(lr=0.05, epochs=1))
    assert torch.equal(torch.get_rng_state(), before)
    del sets["test"]
    alone = ungrok.unlearn(world.original, **sets, method="neggrad_plus", lr=0.05, epochs=1, seed=5)
    assert all(torch.equal(ours, theirs) for ours, theirs in zip(end.parameters(), alone.parameters(), strict=True))


def test_strengths_of_a_one_shot_method_are_doses(world):
    rows, _ = along(checked(world.original, **world.sets), ungrok.Fisher(alpha=(1e-6, 1e-3)))
    assert [row["dose"] for row in rows] == [0, 1e-6, 1e-3]


def test_later_updates_are_measured_at_growing_distances_and_the_last_always(world):
    rows, _ = along(checked(world.original, **world.sets), ungrok.GradientAscent(lr=1e-3, updates=53))
    assert [row["dose"] for row in rows] == [*range(41), 42, 44, 46, 48, 50, 52, 53]


def test_a_retain_set_that_holds_what_is_to_go_is_refused(world):
    sets = world.sets | {"retain": world.batches(0, 40)}
    with pytest.raises(RecipeError, match="forget and retain share 6 examples by content"):
        along(checked(world.original, **sets), ungrok.GradientAscent(lr=0.1, updates=1))


def test_a_set_that_cannot_be_scored_is_named(world):
    sets = world.sets | {"test": [(torch.zeros(2, 5), torch.zeros(2, dtype=torch.int64))]}
    with pytest.raises(RecipeError, match=r"^test: the model does not take these batches"):
        along(checked(world.original, **sets), ungrok.GradientAscent(lr=0.1, updates=1))
