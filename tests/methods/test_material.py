"""What a method works with: passes over the caller's sets, what is checked of them, what depends on the seed alone."""

import pytest
import torch
from torch import nn
from torch.utils.data import DataLoader, IterableDataset, TensorDataset

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods import UNLEARNERS, Material, length
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


BATCHNORM = [nn.Linear(1, 2), nn.BatchNorm1d(2), nn.Linear(2, 2)]


def rows(*numbers):
    return [(torch.randn(n, 1), torch.zeros(n, dtype=torch.int64)) for n in numbers]


@pytest.mark.parametrize(
    ("method", "forget", "retain", "which"),
    [
        (SCRUB(), rows(2, 1), rows(2), "forget: batch 2"),
        (SCRUB(), rows(2), rows(2, 1), "retain: batch 2"),
        (
            Finetune(),
            rows(2),
            DataLoader(TensorDataset(torch.randn(5, 1), torch.zeros(5).long()), 4, shuffle=True),
            "retain: batch 2",
        ),
        (Finetune(micro_batch=2), rows(2), rows(3), "retain: a part of batch 1"),
        (GradientAscent(), rows(1, 2), rows(2), "forget: batch 1"),
    ],
)
def test_a_batch_of_one_and_batch_normalization_are_refused_before_any_update(method, forget, retain, which):
    model = nn.Sequential(*BATCHNORM)
    with pytest.raises(RecipeError, match=rf'^{which} has one example.* or batchnorm="eval"$'):
        method.path(model, forget, retain, OBJECTIVE)
    eval_mode = type(method)(**{**method.model_dump(exclude={"kind"}), "batchnorm": "eval"})
    assert len(list(eval_mode.path(model, forget, retain, OBJECTIVE))) >= 1


def test_sets_that_are_not_read_and_places_that_make_up_for_examples_may_have_a_batch_of_one():
    model = nn.Sequential(*BATCHNORM)
    assert len(list(Finetune(epochs=1).path(model, rows(1), rows(2), OBJECTIVE))) == 1
    assert len(list(GradientAscent(epochs=1).path(model, rows(2), rows(1), OBJECTIVE))) == 1
    images = nn.Sequential(nn.Conv2d(1, 2, 1), nn.BatchNorm2d(2), nn.Flatten(), nn.Linear(8, 2))
    one = [(torch.randn(1, 1, 2, 2), torch.zeros(1, dtype=torch.int64))]
    assert len(list(GradientAscent(epochs=1).path(images, one, None, OBJECTIVE))) == 1


def test_a_batch_of_one_that_was_not_known_of_is_a_sentence():
    class Hidden:
        def __iter__(self):
            return iter(rows(2, 1))

    path = GradientAscent().path(nn.Sequential(*BATCHNORM), Hidden(), None, OBJECTIVE)
    assert next(path).updates == 1
    with pytest.raises(RecipeError, match='batchnorm="eval"'):
        next(path)


@pytest.mark.parametrize("method", ["retrain", "exact_unlearning_k", "bad_teacher"])
def test_a_factory_that_gives_the_model_is_refused_before_any_work(method):
    model = nn.Sequential(nn.Linear(1, 2), nn.Linear(2, 2))
    made = UNLEARNERS.get(method)()
    for factory, message in (
        (lambda: model, "factory: gave the model itself"),
        (lambda: nn.Sequential(nn.Linear(1, 3), nn.Linear(3, 2)), "factory: gave a model whose 0.bias has the shape"),
    ):
        with pytest.raises(RecipeError, match=message):
            made.path(model, rows(2), rows(3), OBJECTIVE, factory=factory)


def test_a_factory_is_called_once():
    calls = []

    def factory():
        calls.append(1)
        return nn.Linear(1, 2)

    list(UNLEARNERS.get("retrain")(epochs=1).path(nn.Linear(1, 2), rows(2), rows(3), OBJECTIVE, factory=factory))
    assert calls == [1]


def test_a_stream_is_retained(model):
    """A DataLoader over an IterableDataset has a truth value that raises."""
    stream = DataLoader(Stream(), batch_size=None)
    ends = [list(Finetune(epochs=2).path(model, rows(2), given, OBJECTIVE)) for given in (stream, batches(3))]
    assert len(ends[0]) == len(ends[1]) == 6
    assert torch.equal(ends[0][-1].model.weight, ends[1][-1].model.weight)


def test_a_model_that_keeps_an_activation_is_unlearned_and_shown():
    class Keeping(nn.Module):
        def __init__(self):
            super().__init__()
            self.layer, self.kept = nn.Linear(1, 2), None

        def forward(self, x):
            self.kept = self.layer(x)
            return self.kept

    model, plain = Keeping(), nn.Linear(1, 2)
    plain.load_state_dict(model.layer.state_dict())
    model(torch.ones(1, 1)).sum()
    steps = zip(*(GradientAscent(epochs=1).path(m, batches(3), None, OBJECTIVE) for m in (model, plain)), strict=True)
    pairs = [(ours.snapshot().layer.weight, theirs.snapshot().weight) for ours, theirs in steps]
    assert [torch.equal(*pair) for pair in pairs] == [True] * 3
