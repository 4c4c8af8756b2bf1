"""Sharpness-aware minimization against its formula."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ungrok.train.loop import Training
from ungrok.train.optimizers import SGD
from ungrok.train.sam import SAM, still_statistics


def test_updates_follow_the_formula(simple):
    """``w ← w − lr·∇L(w + ρ·∇L(w)/‖∇L(w)‖)`` over all parameters together, written with plain tensors."""
    run = simple(training=Training(optimizer=SGD(lr=0.3, momentum=0), steps=10, sam=SAM(rho=0.4)))
    model = simple().model
    inputs, targets = simple.data.train.inputs, simple.data.train.targets
    run.advance(10)

    def gradients(weights):
        weights = [w.detach().requires_grad_() for w in weights]
        names = [name for name, _ in model.named_parameters()]
        logits = torch.func.functional_call(model, dict(zip(names, weights, strict=True)), inputs)
        return torch.autograd.grad(cross_entropy(logits, targets), weights)

    weights = [p.detach() for p in model.parameters()]
    for _ in range(10):
        first = gradients(weights)
        length = torch.cat([g.flatten() for g in first]).norm()
        second = gradients([w + 0.4 * g / length for w, g in zip(weights, first, strict=True)])
        weights = [w - 0.3 * g for w, g in zip(weights, second, strict=True)]
    for found, expected in zip(run.model.parameters(), weights, strict=True):
        assert torch.allclose(found, expected, atol=1e-5)
    plain = simple(training=Training(optimizer=SGD(lr=0.3, momentum=0), steps=10))
    plain.advance(10)
    assert not torch.allclose(plain.model[0].weight, run.model[0].weight, atol=1e-3)


def test_batch_norm_counts_the_first_pass_only(simple):
    """After one update the running mean is a tenth of the mean that the initial weights give."""

    def model():
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))

    run = simple(model=model, training=Training(optimizer=SGD(lr=0.1), steps=1, sam=SAM(rho=5.0)))
    mean = run.model[0](simple.data.train.inputs).mean(0)
    run.advance(1)
    assert torch.allclose(run.model[1].running_mean, 0.1 * mean, atol=1e-6)
    assert run.model[1].num_batches_tracked == 1


def test_still_statistics_still_normalizes_by_the_batch():
    layer = nn.BatchNorm1d(3)
    x = 5 + 2 * torch.randn(50, 3)
    with still_statistics(layer):
        found = layer(x)
    assert torch.allclose(found, nn.BatchNorm1d(3)(x))
    assert torch.equal(layer.running_mean, torch.zeros(3))
    layer.eval()
    assert torch.allclose(layer(x), x, rtol=1e-4)


def test_a_parameter_without_gradient_stays():
    parameters = [nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))]
    parameters[0].grad = torch.tensor([3.0, 4.0])
    before = SAM(rho=1.0).climb(parameters)
    assert parameters[0].tolist() == pytest.approx([1.6, 1.8])
    assert parameters[1].tolist() == [1.0, 1.0]
    assert [b.tolist() for b in before] == [[1.0, 1.0], [1.0, 1.0]]


def test_a_gradient_of_rounding_size_is_climbed_half_as_far():
    """``θ + ρ·g/(‖g‖ + 1e-12)``: half of ρ at a norm of 1e-12, nothing at 0."""
    weight = nn.Parameter(torch.zeros(2, dtype=torch.float64))
    weight.grad = torch.tensor([1e-12, 0.0], dtype=torch.float64)
    SAM(rho=3.0).climb([weight])
    assert weight.tolist() == pytest.approx([1.5, 0.0])
    weight.grad = torch.zeros(2, dtype=torch.float64)
    SAM(rho=3.0).climb([weight])
    assert weight.tolist() == pytest.approx([1.5, 0.0])
