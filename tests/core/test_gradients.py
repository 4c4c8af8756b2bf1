"""The diagonal Fisher information against a loop over samples and classes."""

import pytest
import torch
from torch import nn

from ungrok.core.gradients import diagonal_fisher
from ungrok.core.objective import Classification

OBJECTIVE = Classification()


def mlp():
    return nn.Sequential(nn.Flatten(), nn.Linear(16, 5), nn.ReLU(), nn.Linear(5, 3)), 3


def cnn():
    layers = nn.Conv2d(1, 2, 3, padding=1), nn.BatchNorm2d(2), nn.ReLU(), nn.Dropout(0.5), nn.Flatten()
    model = nn.Sequential(*layers, nn.Linear(32, 4))
    model[1].running_mean.normal_()
    return model, 4


@pytest.fixture(params=[mlp, cnn], ids=["mlp", "cnn"])
def case(request):
    torch.manual_seed(0)
    model, outputs = request.param()
    return model.double().eval(), outputs, torch.randn(13, 1, 4, 4, dtype=torch.float64)


def batches(inputs, size=13):
    return iter([(part, torch.zeros(len(part), dtype=torch.int64)) for part in inputs.split(size)])


def slow_fisher(model, inputs):
    trainable = {name: p for name, p in model.named_parameters() if p.requires_grad}
    total = {name: torch.zeros_like(p) for name, p in trainable.items()}
    for example in inputs:
        log_p = model(example[None]).log_softmax(1)[0]
        for y in range(len(log_p)):
            gradients = torch.autograd.grad(log_p[y], list(trainable.values()), retain_graph=True)
            for name, gradient in zip(trainable, gradients, strict=True):
                total[name] += log_p[y].exp().detach() * gradient.square()
    return {name: value / len(inputs) for name, value in total.items()}


def close(found, expected):
    assert list(found) == list(expected)
    for name, value in expected.items():
        assert torch.allclose(found[name], value, rtol=1e-10, atol=1e-14), name


def test_against_the_slow_loop(case):
    model, outputs, inputs = case
    found, classes = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    assert classes == outputs
    close(found, slow_fisher(model, inputs))
    assert all((value >= 0).all() for value in found.values())
    assert all(p.grad is None for p in model.parameters())


@pytest.mark.parametrize(("size", "chunk"), [(1, 32), (8, 32), (64, 32), (64, 1), (8, 3), (64, 64)])
def test_independent_of_batch_size_and_chunk(case, size, chunk):
    """Public code squares the gradient of a batch mean: importance then shrinks with the batch."""
    model, _, inputs = case
    expected, _ = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    close(diagonal_fisher(model, batches(inputs, size), OBJECTIVE, chunk)[0], expected)


def test_targets_and_loss_are_not_used(case):
    model, outputs, inputs = case
    other = iter([(inputs, torch.full((len(inputs),), outputs - 1))])
    close(
        diagonal_fisher(model, other, Classification("mse"))[0], diagonal_fisher(model, batches(inputs), OBJECTIVE)[0]
    )


def test_frozen_parameters_are_left_out(case):
    model, _, inputs = case
    first = next(iter(dict(model.named_parameters())))
    model.get_parameter(first).requires_grad_(requires_grad=False)
    found, _ = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    assert first not in found
    close(found, slow_fisher(model, inputs))


def test_logistic_regression_by_hand():
    """One weight per class and one input: F = x²·p(1 − p)."""
    model = nn.Linear(1, 2, bias=False).double()
    with torch.no_grad():
        model.weight.copy_(torch.tensor([[0.3], [-0.2]]))
    inputs = torch.tensor([[1.5]], dtype=torch.float64)
    p = torch.sigmoid(torch.tensor(0.5 * 1.5, dtype=torch.float64))
    found, _ = diagonal_fisher(model, batches(inputs), OBJECTIVE)
    assert torch.allclose(found["weight"], (1.5**2 * p * (1 - p)).expand(2, 1))
