"""Products with the Hessian and the Gauss-Newton matrix against dense ones."""

import pytest
import torch
from torch import nn
from torch.autograd.functional import hessian as dense_hessian
from torch.func import functional_call, jacrev

from ungrok.analyze.gradients import mean_gradient
from ungrok.analyze.operators import flat, gauss_newton, hessian, parameters, rescaled, size, split
from ungrok.core.gradients import diagonal_fisher
from ungrok.core.objective import Classification


def dense(model, made, of):
    """Apply ``of(f)`` to f(vector, x) = logits, with all parameters in one vector."""
    shapes = {name: p.shape for name, p in model.named_parameters()}
    vector = torch.cat([p.detach().flatten() for p in model.parameters()])

    def logits(v, x):
        parts = v.split([s.numel() for s in shapes.values()])
        named = {name: part.view(s) for (name, s), part in zip(shapes.items(), parts, strict=True)}
        return functional_call(model, named, (x,))

    x, y = (torch.cat(parts) for parts in zip(*made, strict=True))
    return of(logits, vector, x, y)


def slow_hessian(model, made, objective):
    return dense(model, made, lambda f, v, x, y: dense_hessian(lambda w: objective.losses(f(w, x), (x, y)).mean(), v))


def slow_gauss_newton(model, made, objective):
    def of(f, v, x, y):
        total = 0
        for a, b in zip(x, y, strict=True):
            j = jacrev(lambda w, a=a: f(w, a[None])[0])(v)
            out = f(v, a[None])[0]
            curved = dense_hessian(lambda z, a=a, b=b: objective.losses(z[None], (a[None], b[None]))[0], out.detach())
            total = total + j.T @ curved @ j
        return total / len(x)

    return dense(model, made, of)


@pytest.mark.parametrize(("fast", "slow"), [(hessian, slow_hessian), (gauss_newton, slow_gauss_newton)])
def test_against_dense(small, fast, slow):
    model, made, objective = small
    identity = torch.eye(size(model), dtype=torch.float64)
    found = fast(model, made, objective)(identity)
    torch.testing.assert_close(found, slow(model, made, objective).detach(), rtol=1e-9, atol=1e-12)
    assert all(p.grad is None for p in model.parameters())


def test_mse_of_a_linear_layer_is_a_known_quadratic():
    """Loss ‖xWᵀ − y‖²/C averaged over n: H = 2/C · I ⊗ XᵀX/n, and the Gauss-Newton matrix is the same."""
    model = nn.Linear(4, 3, bias=False).double()
    x = torch.randn(9, 4, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    made = [(x, torch.zeros(9, dtype=torch.int64))]
    expected = torch.kron(torch.eye(3).double(), 2 / 3 * x.T @ x / 9)
    for operator in (hessian, gauss_newton):
        found = operator(model, made, Classification("mse"))(torch.eye(12).double())
        torch.testing.assert_close(found, expected, rtol=1e-12, atol=1e-12)


def test_gauss_newton_trace_is_the_fisher_trace_under_cross_entropy(small):
    model, made, _ = small
    objective = Classification()
    fisher, _ = diagonal_fisher(model, iter(made), objective)
    matrix = gauss_newton(model, made, objective)(torch.eye(size(model)).double())
    torch.testing.assert_close(matrix.diagonal(), flat(list(fisher.values())), rtol=1e-9, atol=1e-14)


@pytest.mark.parametrize("operator", [hessian, gauss_newton])
def test_one_batch_or_several(small, operator):
    """The graph of a single batch is kept between products."""
    model, made, objective = small
    v = torch.randn(size(model), 2, dtype=torch.float64, generator=torch.Generator().manual_seed(0))
    whole = operator(model, [tuple(torch.cat(parts) for parts in zip(*made, strict=True))], objective)
    for _ in range(2):
        torch.testing.assert_close(whole(v), operator(model, made, objective)(v), rtol=1e-10, atol=1e-13)


def test_frozen_parameters_are_left_out(small):
    model, made, objective = small
    whole = hessian(model, made, objective)(torch.eye(size(model)).double())
    model[0].requires_grad_(requires_grad=False)
    kept = hessian(model, made, objective)(torch.eye(size(model)).double())
    torch.testing.assert_close(kept, whole[-len(kept) :, -len(kept) :], rtol=1e-10, atol=1e-13)


def test_rescaled_is_a_congruence():
    a, d = torch.randn(5, 5).double(), torch.rand(5).double()
    torch.testing.assert_close(rescaled(lambda v: a @ v, d)(torch.eye(5).double()), d.diag() @ a @ d.diag())


def test_split_is_the_inverse_of_flat():
    like = parameters(nn.Linear(3, 2))
    v = torch.arange(8).double()
    assert torch.equal(flat(split(v, like)), v)
    columns = split(torch.stack([v, 2 * v], dim=1), like)
    assert torch.equal(flat([c[1] for c in columns]), 2 * v)


def test_mean_gradient_against_autograd(small):
    model, made, objective = small
    x, y = (torch.cat(parts) for parts in zip(*made, strict=True))
    expected = torch.autograd.grad(objective.losses(model(x), (x, y)).mean(), list(model.parameters()))
    gradient = list(mean_gradient(model, made, objective).values())
    assert len(expected) == len(gradient) > 1
    for ours, slow in zip(gradient, expected, strict=True):
        assert ours.dtype == torch.float64
        torch.testing.assert_close(ours, slow, rtol=1e-12, atol=1e-15)


def test_mean_gradient_does_not_lose_small_batches_to_rounding():
    """2,000 batches whose gradients are 1 and ±2²⁴ in turn: a float32 sum would lose the ones."""
    model = nn.Linear(1, 1, bias=False)

    class Linear(Classification):
        def losses(self, logits, batch):
            return logits.squeeze(1)

    values = torch.tensor([2.0**24, 1.0, -(2.0**24), 1.0] * 500)
    made = [(v.view(1, 1), torch.zeros(1, dtype=torch.int64)) for v in values]
    assert mean_gradient(model, made, Linear())["weight"].item() == 0.5


class Idle(nn.Module):
    """One parameter, of two, that the logits do not depend on."""

    def __init__(self):
        super().__init__()
        self.idle, self.layer = nn.Parameter(torch.ones(2).double()), nn.Linear(3, 2).double()

    def forward(self, x):
        return self.layer(x)


@pytest.mark.parametrize("operator", [hessian, gauss_newton])
@pytest.mark.parametrize("batches", [1, 2])
def test_a_parameter_that_nothing_depends_on_has_no_curvature(operator, batches):
    torch.manual_seed(0)
    x, y = torch.randn(6, 3, dtype=torch.float64), torch.arange(6) % 2
    made = list(zip(x.chunk(batches), y.chunk(batches), strict=True))
    model = Idle()
    whole = operator(model, made, Classification())(torch.eye(10).double())
    assert whole[:2].abs().sum() == whole[:, :2].abs().sum() == 0
    own = operator(model.layer, [(x, y)], Classification())(torch.eye(8).double())
    torch.testing.assert_close(whole[2:, 2:], own, rtol=1e-10, atol=1e-13)
