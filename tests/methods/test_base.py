"""What the shapes of methods share: lengths, places, one pass after another."""

from typing import ClassVar, Literal

import pytest
import torch
from pydantic import ValidationError
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods import Iterative, length
from ungrok.methods.finetune import Finetune
from ungrok.methods.scrub import SCRUB

OBJECTIVE = Classification()


def batches(count, first=0.0):
    return [(torch.full((2, 1), first + i), torch.zeros(2, dtype=torch.int64)) for i in range(count)]


class Spy(Iterative):
    """Yield one loss per forget batch and keep what was seen."""

    needs: ClassVar[tuple[str, ...]] = ()
    kind: Literal["spy"] = "spy"
    seen: ClassVar[list[float]] = []

    def updates_per_epoch(self, material):
        return length(material.forget)

    def losses(self, material, total):
        for batch in material.endless("forget"):
            self.seen.append(batch[0][0, 0].item())
            yield material.mean_loss(batch)


@pytest.fixture
def model():
    return nn.Linear(1, 2)


@pytest.fixture
def spy():
    Spy.seen.clear()
    return Spy


@pytest.mark.parametrize(
    ("settings", "expected"),
    [({}, 15), ({"epochs": 2}, 6), ({"updates": 2}, 2), ({"updates": 7}, 7), ({"updates": 3}, 3)],
)
def test_length_in_updates_or_epochs(model, spy, settings, expected):
    path = spy(**settings).path(model, batches(3), None, OBJECTIVE)
    steps = list(path)
    assert path.budget == len(steps) == expected
    assert [step.updates for step in steps] == [step.dose for step in steps] == list(range(1, expected + 1))
    assert spy.seen == [float(i % 3) for i in range(expected)]


def test_not_both_lengths(spy):
    with pytest.raises(ValidationError, match="either epochs or updates"):
        spy(epochs=1, updates=1)


@pytest.mark.parametrize(
    "settings", [{"epochs": 0}, {"lr": 0}, {"momentum": 1}, {"optimizer": "lion"}, {"batchnorm": "off"}]
)
def test_settings_out_of_range(spy, settings):
    with pytest.raises(ValidationError):
        spy(**settings)


def test_nothing_happens_before_the_first_step_is_asked_for(model, spy):
    path = spy(updates=5).path(model, batches(3), None, OBJECTIVE)
    assert spy.seen == []
    next(path)
    assert spy.seen == [0.0]


def test_a_step_is_live_and_a_snapshot_is_not(model, spy):
    path = spy(updates=3, lr=0.5).path(model, batches(3, 1.0), None, OBJECTIVE)
    first = next(path)
    then, copy = first.model.weight.detach().clone(), first.snapshot()
    second = next(path)
    assert second.model is first.model
    assert second.model is not model
    assert torch.equal(copy.weight, then)
    assert not torch.equal(second.model.weight, then)


def test_loss_is_that_of_the_update(model, spy):
    (step,) = spy(updates=1).path(model, batches(1, 2.0), None, OBJECTIVE)
    (batch,) = batches(1, 2.0)
    assert step.loss == OBJECTIVE.losses(model(batch[0]), batch).mean().item()
    assert not step.loss_tensor.requires_grad


def test_label(spy):
    assert spy().label == "spy"
    assert spy(name="mine").label == "mine"


class Uncounted:
    """Iterable again and again, without a length."""

    def __iter__(self):
        return iter(batches(3))


class Once:
    """Hands out the same iterator every time."""

    def __init__(self):
        self.left = iter(batches(3))

    def __iter__(self):
        return self.left


class Stream(IterableDataset):
    def __iter__(self):
        yield from batches(3)


@pytest.mark.parametrize("given", [Uncounted(), DataLoader(Stream(), batch_size=None), tuple(batches(3))])
def test_anything_that_can_be_iterated_again(model, spy, given):
    path = spy(epochs=2).path(model, given, None, OBJECTIVE)
    assert path.budget == len(list(path)) == 6
    assert spy.seen == [0.0, 1.0, 2.0] * 2


@pytest.mark.parametrize("method", [Finetune(updates=20), SCRUB(updates=20)])
def test_running_dry_is_an_error_not_a_hang(model, method):
    with pytest.raises(RecipeError, match="retain: holds no batches, or none when iterated again"):
        list(method.path(model, batches(2), Once(), OBJECTIVE))


def test_the_first_pass_over_the_data_is_the_methods_own(model, spy):
    first = []

    class Watched:
        def __iter__(self):
            first.append(len(first))
            return iter(batches(3))

        def __len__(self):
            return 3

    spy(epochs=1).path(model, Watched(), None, OBJECTIVE)
    assert first == []
