"""Penalties against exact Jacobians and second differences."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy

from ungrok.core.seeds import PrivateRandomState, derive, seeded
from ungrok.train.loop import Training
from ungrok.train.optimizers import SGD
from ungrok.train.penalties import JacobianPenalty, SplinePenalty


def value(penalty, forward, inputs, seed=0):
    inputs = inputs.detach().requires_grad_()
    with seeded(seed):
        return penalty.term(forward, inputs, forward(inputs)).item()


@pytest.fixture
def inputs():
    return torch.randn(3, 4, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


@pytest.fixture
def network():
    with seeded(1):
        return nn.Sequential(nn.Linear(4, 8), nn.Tanh(), nn.Linear(8, 3)).double()


def test_jacobian_of_a_linear_model_is_its_matrix(inputs):
    """‖J‖²_F = ‖W‖²_F for every input; the estimate is unbiased."""
    weight = torch.randn(3, 4, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    penalty = JacobianPenalty(weight=0.2, projections=2000)
    expected = 0.1 * weight.square().sum().item()
    assert value(penalty, lambda x: x @ weight.T, inputs) == pytest.approx(expected, rel=0.05)


def test_jacobian_of_one_output_is_exact(inputs, network):
    def forward(x):
        return network(x)[:, :1]

    rows = [torch.autograd.functional.jacobian(forward, x.unsqueeze(0)).flatten() for x in inputs]
    expected = 0.5 * torch.stack([row.square().sum() for row in rows]).mean().item()
    assert value(JacobianPenalty(weight=1.0), forward, inputs) == pytest.approx(expected, rel=1e-12)


def test_jacobian_is_unbiased_on_a_network(inputs, network):
    rows = [torch.autograd.functional.jacobian(network, x.unsqueeze(0)).flatten() for x in inputs]
    expected = 0.5 * torch.stack([row.square().sum() for row in rows]).mean().item()
    assert value(JacobianPenalty(weight=1.0, projections=4000), network, inputs) == pytest.approx(expected, rel=0.05)


def test_spline_of_a_quadratic(inputs):
    """The second difference of xᵀAx is 2uᵀAu at any h, and E(uᵀAu)² = (tr(A)² + 2·tr(A²)) / (d(d+2)) for symmetric A."""
    a = torch.randn(4, 4, generator=torch.Generator().manual_seed(3), dtype=torch.float64)
    a = a + a.T
    many = inputs.repeat(5000, 1)
    expected = 0.7 * 4 * (a.trace() ** 2 + 2 * (a @ a).trace()).item() / (4 * 6)
    for radius in (0.5, 2.0):
        penalty = SplinePenalty(weight=0.7, radius=radius)
        found = value(penalty, lambda x: ((x @ a) * x).sum(1, keepdim=True), many)
        assert found == pytest.approx(expected, rel=0.05)


def test_spline_of_an_affine_model_is_zero_and_sees_a_knot_within_reach():
    def forward(x):
        return torch.relu(x - 1)

    reach = SplinePenalty(weight=1.0, radius=0.5)
    for at, expected in ((0.4, 0.0), (1.6, 0.0), (0.75, 1.0), (1.0, 4.0)):
        # (relu(x + h − 1) − 2·relu(x − 1) + relu(x − h − 1)) / h²
        assert value(reach, forward, torch.tensor([[at]])) == pytest.approx(expected, abs=1e-9)


def slow_jacobian(model, x, v):
    jacobian = torch.autograd.functional.jacobian(model, x.unsqueeze(0), create_graph=True)[0, :, 0]
    return 1e-1 / 2 * 3 * (v @ jacobian).square().sum()


def slow_spline(model, x, u):
    f = [model((x + s * 0.5 * u).unsqueeze(0))[0] for s in (1, 0, -1)]
    return 1e-1 * ((f[0] - 2 * f[1] + f[2]) / 0.25).square().sum()


@pytest.mark.parametrize(
    ("penalty", "slow", "width"),
    [
        (JacobianPenalty(weight=1e-1), slow_jacobian, 3),
        (SplinePenalty(weight=1e-1, radius=0.5), slow_spline, 4),
    ],
    ids=["jacobian", "spline"],
)
def test_training_follows_a_slow_loop(simple, penalty, slow, width):
    """One example at a time, with the directions that the run draws."""

    def model():
        return nn.Sequential(nn.Linear(4, 6), nn.Tanh(), nn.Linear(6, 3))

    training = Training(optimizer=SGD(lr=0.3, momentum=0), steps=8, penalty=penalty)
    run, reference = simple(model=model, training=training), simple(model=model).model
    run.advance(8)
    inputs, targets = simple.data.train.inputs, simple.data.train.targets
    with PrivateRandomState(derive(simple.seed, "layers")):
        for _ in range(8):
            directions = torch.randn(len(inputs), width)
            directions /= directions.norm(dim=1, keepdim=True)
            terms = [slow(reference, x, d) for x, d in zip(inputs, directions, strict=True)]
            loss = cross_entropy(reference(inputs), targets) + torch.stack(terms).mean()
            gradients = torch.autograd.grad(loss, list(reference.parameters()))
            with torch.no_grad():
                for parameter, gradient in zip(reference.parameters(), gradients, strict=True):
                    parameter -= 0.3 * gradient
    for found, expected in zip(run.model.parameters(), reference.parameters(), strict=True):
        assert torch.allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("penalty", [JacobianPenalty(weight=0.3), SplinePenalty(weight=0.3)])
def test_a_penalty_smooths(simple, penalty):
    """What it penalizes is smaller after training with it than without."""
    found = []
    for chosen in (penalty, None):
        run = simple(training=Training(optimizer=SGD(lr=0.1), steps=100, penalty=chosen))
        run.advance(100)
        found.append(value(penalty, run.model.eval(), simple.data.train.inputs))
    assert found[0] < 0.7 * found[1]


def test_extra_passes_leave_batch_norm_alone(simple):
    def model():
        return nn.Sequential(nn.Linear(4, 5), nn.BatchNorm1d(5), nn.Linear(5, 3))

    run = simple(model=model, training=Training(optimizer=SGD(), steps=3, penalty=SplinePenalty()))
    run.advance(3)
    assert run.model[1].num_batches_tracked == 3
