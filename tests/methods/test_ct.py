"""CT: what is transposed, and at which rates it is fine-tuned."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.core.objective import Classification
from ungrok.methods.ct import CT, square_kernels
from ungrok.methods.finetune import Finetune
from ungrok.methods.scheduled import Epochs


def batches(seed, *sizes):
    draw = torch.Generator().manual_seed(seed)
    return [
        (torch.randn(n, 1, 5, 5, generator=draw, dtype=torch.float64), torch.randint(3, (n,), generator=draw))
        for n in sizes
    ]


def network():
    torch.manual_seed(0)
    layers = nn.Conv2d(1, 3, 3, padding=1), nn.ReLU(), nn.Conv2d(3, 2, (1, 3)), nn.Conv2d(2, 2, 1), nn.Flatten()
    return nn.Sequential(*layers, nn.Linear(2 * 5 * 3, 3)).double()


def first(model, **settings):
    method = CT(**{"lr": 1e-100, "updates": 1, **settings})
    return next(method.path(model, batches(1, 4), batches(2, 5, 4), Classification())).model


def test_square_kernels_are_transposed_and_nothing_else():
    model = network()
    moved = first(model)
    for i in range(3):
        for j in range(3):
            assert torch.equal(moved[0].weight[:, :, i, j], model[0].weight[:, :, j, i])
    rest = [name for name, _ in model.named_parameters() if name != "0.weight"]
    assert len(rest) == 7
    assert all(torch.equal(moved.get_parameter(name), model.get_parameter(name)) for name in rest)


def test_transposed_twice_it_is_the_original():
    assert torch.equal(first(first(network()))[0].weight, network()[0].weight)


def test_kernels_shared_by_two_layers_are_transposed_once():
    model = nn.Sequential(
        nn.Conv2d(1, 1, 3, padding=1), nn.Conv2d(1, 1, 3, padding=1), nn.Flatten(), nn.Linear(25, 3)
    ).double()
    model[1].weight = model[0].weight
    assert len(square_kernels(model)) == 1
    assert torch.equal(first(model)[0].weight, model[0].weight.transpose(2, 3))


def test_of_symmetric_kernels_one_epoch_is_fine_tuning_bit_for_bit():
    model = network()
    with torch.no_grad():
        model[0].weight.add_(model[0].weight.transpose(2, 3).clone())
    ends = []
    for method in (CT(lr=0.1, epochs=1), Finetune(lr=0.1, epochs=1)):
        *_, last = method.path(model, batches(1, 4), batches(2, 5, 4), Classification())
        ends.append(last.model.state_dict())
    assert all(torch.equal(ends[0][name], ends[1][name]) for name in ends[0])


def test_the_rate_falls_along_half_a_cosine():
    """As ``CosineAnnealingLR`` has it, stepped after each epoch."""
    optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], 0.2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, T_max=4)
    public = []
    for _ in range(4):
        public += 3 * [schedule.get_last_lr()[0]]
        optimizer.step()
        schedule.step()
    material = SimpleNamespace(state=Epochs(updates=3, total=4))
    rates = [CT(lr=0.2).rate(material, update) for update in range(1, 13)]
    assert rates == pytest.approx(public)
    assert rates[3] == pytest.approx(0.2 * (1 + math.sqrt(0.5)) / 2)


def test_models_without_a_kernel_to_transpose_are_refused():
    for layer in (nn.Conv2d(1, 2, 1), nn.Conv2d(1, 2, (1, 3)), nn.Identity()):
        with pytest.raises(NotApplicable, match="ct: the model has no convolution with a square kernel"):
            first(nn.Sequential(layer, nn.Flatten(), nn.Linear(3, 3)).double())
