"""What a method works with: passes over the caller's sets, what is checked of them, what depends on the seed alone."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods import Material, length
from ungrok.methods.finetune import Finetune
from ungrok.methods.gradient_ascent import GradientAscent
from ungrok.methods.scrub import SCRUB

OBJECTIVE = Classification()


def batches(count, first=0.0):
    return [(torch.full((2, 1), first + i), torch.zeros(2, dtype=torch.int64)) for i in range(count)]


@pytest.fixture
def model():
    return nn.Linear(1, 2)


def material(model, forget=(), retain=(), seed=0, factory=None):
    return Material(model, model, forget, retain, (), OBJECTIVE, factory, None, seed)


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


REPEATABLE = [Uncounted(), DataLoader(Stream(), batch_size=None), tuple(batches(3))]


@pytest.mark.parametrize("given", REPEATABLE)
def test_anything_that_can_be_iterated_again(model, given):
    assert length(given) == 3
    path = GradientAscent(epochs=2).path(model, given, None, OBJECTIVE)
    assert path.budget == len(list(path)) == 6


@pytest.mark.parametrize("given", REPEATABLE)
def test_passes_follow_one_another_in_the_callers_order(model, given):
    endless = material(model, given).endless("forget")
    assert [next(endless)[0][0, 0].item() for _ in range(7)] == [0.0, 1.0, 2.0, 0.0, 1.0, 2.0, 0.0]


@pytest.mark.parametrize("method", [Finetune(updates=20), SCRUB(updates=20)])
def test_running_dry_is_an_error_not_a_hang(model, method):
    with pytest.raises(RecipeError, match="retain: holds no batches, or none when iterated again"):
        list(method.path(model, batches(2), Once(), OBJECTIVE))


def test_the_first_pass_over_the_data_is_the_methods_own(model):
    passes = []

    class Watched:
        def __iter__(self):
            passes.append(len(passes))
            return iter(batches(3))

        def __len__(self):
            return 3

    path = GradientAscent(epochs=1).path(model, Watched(), None, OBJECTIVE)
    assert passes == []
    next(path)
    assert passes == [0]


def test_the_number_of_classes_is_known_once_a_batch_was_read(model):
    (batch,) = [(torch.zeros(3, 1), torch.zeros(3, dtype=torch.int64))]
    made = material(model, [batch])
    assert next(made.batches("forget"))[0].shape == (3, 1)
    assert made.classes == 2


def test_draws_depend_on_seed_and_name_alone(model):
    one, same, other = (
        torch.rand(3, generator=material(model, seed=seed).generator(name)).tolist()
        for seed, name in ((4, "a"), (4, "a"), (4, "b"))
    )
    assert one == same != other


def test_a_fresh_model_leaves_the_callers_random_state_alone(model):
    made = material(model, factory=lambda: nn.Linear(1, 2), seed=5)
    before = torch.get_rng_state()
    one, other = made.fresh(), made.fresh()
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(one.weight, other.weight)
    assert not torch.equal(one.weight, model.weight)


def test_renewing_leaves_frozen_parameters(model):
    fresh, kept = nn.Linear(1, 2), model.bias.detach().clone()
    model.bias.requires_grad_(requires_grad=False)
    material(model).renew(model, fresh)
    assert torch.equal(model.weight, fresh.weight)
    assert torch.equal(model.bias, kept)


def test_the_teacher_is_the_original_in_eval_mode():
    original = nn.Sequential(nn.Dropout(0.9), nn.Linear(1, 2)).train()
    made = Material(nn.Linear(1, 2), original, (), (), (), OBJECTIVE, None, None, 0)
    (batch,) = batches(1, 3.0)
    logits = made.teacher(batch)
    assert torch.equal(logits, original[1](batch[0]))
    assert not logits.requires_grad
    assert original.training


def test_there_is_no_state_before_the_method_begins(model):
    with pytest.raises(AttributeError, match="state"):
        _ = material(model).state


def test_a_material_can_be_shown_before_the_method_begins(model):
    assert "seed=7" in repr(material(model, seed=7))


def with_index(*numbers):
    return [(torch.zeros(1, 1), torch.zeros(1, dtype=torch.int64), torch.tensor([n])) for n in numbers]


def test_overlap_is_found_in_what_is_read(model):
    """Sets that tell nothing beforehand: each batch is compared with what the other set has shown."""

    class Unknown:
        def __init__(self, *numbers):
            self.numbers = numbers

        def __iter__(self):
            return iter(with_index(*self.numbers))

    made = material(model, Unknown(0, 1), Unknown(2, 1))
    assert len(list(made.batches("forget"))) == 2
    with pytest.raises(RecipeError, match="share 1 examples, for instance index 1"):
        list(made.batches("retain"))


def test_renewing_takes_buffers_along():
    mine, fresh = nn.BatchNorm1d(2), nn.BatchNorm1d(2)
    fresh.running_mean.fill_(3.0)
    material(mine).renew(mine, fresh)
    assert mine.running_mean.tolist() == [3.0, 3.0]
