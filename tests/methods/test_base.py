"""What the shapes of methods share: lengths, hooks, optimizers."""

from typing import ClassVar, Literal

import pytest
import torch
from torch import nn

from ungrok.core.errors import RecipeError
from ungrok.core.objective import Classification
from ungrok.methods import Iterative, length
from ungrok.methods.base import TORCH_OPTIMIZERS, OneShot, Strengths

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
    with pytest.raises(RecipeError, match="either epochs or updates"):
        spy(epochs=1, updates=1)


@pytest.mark.parametrize(
    "settings", [{"epochs": 0}, {"lr": 0}, {"momentum": 1}, {"optimizer": "lion"}, {"batchnorm": "off"}]
)
def test_settings_out_of_range(spy, settings):
    with pytest.raises(RecipeError):
        spy(**settings)


def test_nothing_happens_before_the_first_step_is_asked_for(model, spy):
    path = spy(updates=5).path(model, batches(3), None, OBJECTIVE)
    assert spy.seen == []
    next(path)
    assert spy.seen == [0.0]


def test_label(spy):
    assert spy().label == "spy"
    assert spy(name="mine").label == "mine"


class Counting(Spy):
    """Keep a list from hook to hook."""

    kind: Literal["counting"] = "counting"

    def begin(self, material):
        return ["begin"]

    def losses(self, material, total):
        for batch in material.endless("forget"):
            material.state.append("loss")
            yield material.mean_loss(batch)

    def rate(self, material, update):
        material.state.append(f"rate {update}")
        return super().rate(material, update)

    def before_update(self, material, optimizer):
        material.state.append("before")

    def after_update(self, material, optimizer):
        material.state.append("after")
        self.seen.append(list(material.state))


def test_the_state_goes_from_hook_to_hook_and_is_that_of_one_path(model):
    Counting.seen.clear()
    for _ in range(2):
        list(Counting(updates=2).path(model, batches(3), None, OBJECTIVE))
    first = ["begin", "loss", "rate 1", "before", "after"]
    assert Counting.seen == [first, [*first, "loss", "rate 2", "before", "after"]] * 2


@pytest.mark.parametrize("optimizer", ["sgd", "adam", "adamw"])
def test_optimizers_by_name(optimizer):
    """Of a weight 1 with gradient 2, rate 0.1 and decay 0.5: momentum matters from the second update on."""
    weight = nn.Parameter(torch.tensor([1.0]))
    made = TORCH_OPTIMIZERS[optimizer]([weight], 0.1, 0.9, 0.5)
    for _ in range(2):
        weight.grad = torch.tensor([2.0])
        made.step()
    expected = {
        "sgd": 0.75 - 0.1 * (0.9 * 2.5 + 2.375),
        "adam": 0.8,  # both steps have the size of the rate, whatever the gradient
        "adamw": (1 * 0.95 - 0.1) * 0.95 - 0.1,
    }
    assert weight.item() == pytest.approx(expected[optimizer], rel=2e-3)


class Jump(OneShot):
    """Set every weight to the dose."""

    needs: ClassVar[tuple[str, ...]] = ()
    kind: Literal["jump"] = "jump"
    alpha: Strengths = (2.0, 1.0, 4.0)

    def doses(self):
        return tuple(sorted(self.alpha))

    def prepare(self, material):
        return lambda dose: material.model.weight.fill_(dose)


def test_a_jump_costs_no_updates_and_ends_at_its_largest_strength(model):
    path = Jump().path(model, batches(1), None, OBJECTIVE)
    assert path.budget == 4.0
    assert [(s.updates, s.dose, s.loss, s.model.weight[0, 0].item()) for s in path] == [
        (0, dose, None, dose) for dose in (1.0, 2.0, 4.0)
    ]


@pytest.mark.parametrize(("given", "made"), [(3, (3.0,)), (0.5, (0.5,)), ([0.5, 2], (0.5, 2.0))])
def test_strengths_are_one_or_several(given, made):
    assert Jump(alpha=given).alpha == made


@pytest.mark.parametrize("given", [[], 0, [1, -1], [1, 2, 1]])
def test_strengths_that_make_no_path(given):
    with pytest.raises(RecipeError, match="alpha"):
        Jump(alpha=given)


class Drawing(Spy):
    """Keep the first draw."""

    kind: Literal["drawing"] = "drawing"

    def begin(self, material):
        self.seen.append(torch.rand(1, generator=material.generator("any")).item())


def test_the_seed_is_0_unless_given(model):
    Drawing.seen.clear()
    for given in ({}, {"seed": 0}, {"seed": 1}, {"seed": -1}):
        next(Drawing(updates=1).path(model, batches(1), None, OBJECTIVE, **given))
    first, same, *others = Drawing.seen[::2]
    assert first == same
    assert first not in others


class Keeping(Spy):
    """Keep the material."""

    kind: Literal["keeping"] = "keeping"

    def begin(self, material):
        self.seen.append(material)


def test_a_method_is_handed_the_sets_that_were_given(model):
    """Those that were not are empty."""
    Keeping.seen.clear()
    forget, retain, validation = batches(1), batches(2, 5.0), batches(3, 9.0)
    next(Keeping().path(model, forget, retain, OBJECTIVE, validation=validation))
    next(Keeping().path(model, forget, None, OBJECTIVE))
    (given, _), (bare, _) = Keeping.seen[:2], Keeping.seen[2:]
    assert [given.forget, given.retain, given.validation] == [forget, retain, validation]
    assert [bare.forget, bare.retain, bare.validation] == [forget, (), ()]


def test_these_methods_stop_by_themselves():
    from ungrok.methods import UNLEARNERS

    own = [name for name in UNLEARNERS.names() if UNLEARNERS.get(name).__module__.startswith("ungrok.")]
    assert [name for name in own if UNLEARNERS.get(name).self_stopping] == [
        "nabla_tau",
        "noisy_finetune",
        "output_perturbation",
        "rewind_to_delete",
    ]
