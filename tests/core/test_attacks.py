"""Attacks against closed forms on linear models."""

import pytest
import torch
from torch import nn

from ungrok.core.attacks import ATTACKS, PGDL2, PGDLinf, cross_entropy, margin
from ungrok.core.objective import Classification
from ungrok.core.seeds import generator
from ungrok.data.base import Split
from ungrok.data.batches import TensorBatches

OBJECTIVE = Classification()
N, D = 200, 6


class Linear(nn.Module):
    """Two classes: logits ±(w·x + b)/2, so that the margin of class 1 is w·x + b."""

    def __init__(self, weight, bias=0.0):
        super().__init__()
        self.weight, self.bias = nn.Parameter(weight), bias
        self.dropout = nn.Dropout(0.5)

    def forward(self, x):
        m = self.dropout(x.flatten(1)) @ self.weight + self.bias
        return torch.stack([-m, m], dim=1) / 2


@pytest.fixture
def linear():
    draw = torch.Generator().manual_seed(0)
    weight = torch.randn(D, generator=draw, dtype=torch.float64)
    inputs = torch.rand(N, 1, 2, 3, generator=draw, dtype=torch.float64)
    targets = torch.randint(2, (N,), generator=draw)
    return Linear(weight, -float(weight.sum()) / 2).double(), (inputs, targets)


def margins(model, inputs, targets):
    """Return the signed margin, positive where right."""
    return (inputs.flatten(1) @ model.weight.detach() + model.bias) * (2 * targets - 1)


@pytest.mark.parametrize("random_start", [True, False])
@pytest.mark.parametrize("loss", ["margin", "cross_entropy"])
@pytest.mark.parametrize(("attack", "dual"), [(PGDLinf, 1), (PGDL2, 2)])
def test_worst_case_of_a_linear_model(linear, attack, dual, loss, random_start):
    """Without a box the margin falls by radius times the dual norm of w, and no further."""
    model, batch = linear
    config = attack(radius=0.3, step=0.1, steps=60, loss=loss, random_start=random_start, box=None)
    found = margins(model, config.perturb(model, batch, OBJECTIVE, generator(0)), batch[1])
    expected = margins(model, *batch) - 0.3 * model.weight.detach().norm(dual)
    assert torch.allclose(found, expected, atol=1e-3 if dual == 2 and random_start else 1e-9)
    assert (found >= expected - 1e-9).all()
    scores = config.scores(model, TensorBatches(Split(*batch), 64), OBJECTIVE, 0)
    assert scores.accuracy == (expected > 0).double().mean().item()


def test_worst_case_in_a_box(linear):
    """In L∞ the box and the ball separate into one interval for each input value."""
    model, (inputs, targets) = linear
    attack = PGDLinf(radius=0.3, step=0.05, steps=20)
    found = attack.perturb(model, (inputs, targets), OBJECTIVE, generator(0))
    sign = model.weight.detach().sign().view(1, 1, 2, 3) * (1 - 2 * targets).view(-1, 1, 1, 1)
    assert torch.allclose(found, (inputs + 0.3 * sign).clamp(0, 1))


@pytest.mark.parametrize(("kind", "order"), [("pgd_linf", torch.inf), ("pgd_l2", 2)])
def test_stays_within_ball_and_box(linear, kind, order):
    model, batch = linear
    attack = ATTACKS.get(kind)(radius=0.4, step=0.3, steps=3)
    found = attack.perturb(model, batch, OBJECTIVE, generator(0))
    assert (found - batch[0]).flatten(1).norm(order, dim=1).max() <= 0.4 + 1e-12
    assert found.min() >= 0
    assert found.max() <= 1


@pytest.mark.parametrize(("kind", "order"), [("pgd_linf", torch.inf), ("pgd_l2", 2)])
def test_random_starts_fill_the_unit_ball(kind, order):
    """The norm of a uniform point has mean d/(d+1) and never exceeds 1; the mean is at the center."""
    points = ATTACKS.get(kind)().start(torch.Size((20_000, 1, 3)), generator(0)).flatten(1)
    norms = points.norm(order, dim=1)
    assert norms.max() <= 1
    assert norms.mean().item() == pytest.approx(0.75, abs=0.01)
    assert points.mean(0).abs().max() < 0.02


@pytest.mark.parametrize("kind", ATTACKS.names())
def test_one_step_by_hand(linear, kind):
    model, (inputs, targets) = linear
    attack = ATTACKS.get(kind)(radius=1.0, step=0.1, steps=1, random_start=False, box=None)
    found = attack.perturb(model, (inputs, targets), OBJECTIVE, generator(0)) - inputs
    w = model.weight.detach()
    unit = {"pgd_linf": w.sign(), "pgd_l2": w / w.norm()}[kind]
    expected = 0.1 * (1 - 2 * targets).unsqueeze(1) * unit
    assert torch.allclose(found.flatten(1), expected)


def test_losses_by_hand():
    logits, targets = torch.tensor([[1.0, 3.0, 2.0], [4.0, 0.0, 1.0]]), torch.tensor([1, 2])
    assert margin(logits, targets).tolist() == [-1.0, 3.0]
    by_hand = [-logits[i].log_softmax(0)[t] for i, t in enumerate(targets)]
    assert torch.allclose(cross_entropy(logits, targets), torch.stack(by_hand))


def test_margin_is_not_masked_by_large_logits():
    """Cross-entropy in float32 gives no gradient at logits of ±100; a point next to the boundary then looks robust."""
    model = Linear(torch.full((D,), 1e5), -5e4 * D)
    batch = (torch.full((1, D), 0.501), torch.tensor([1]))
    accuracy = {}
    for loss in ("margin", "cross_entropy"):
        attack = PGDLinf(radius=0.1, step=0.1, steps=3, random_start=False, loss=loss)
        accuracy[loss] = attack.scores(model, [batch], OBJECTIVE, 0).accuracy
    assert accuracy == {"margin": 0.0, "cross_entropy": 1.0}


def test_model_mode_gradients_and_random_state_are_left_alone(linear):
    model, batch = linear
    model.train()
    before = torch.get_rng_state()
    PGDL2().scores(model, [batch], OBJECTIVE, 0)
    assert model.training
    assert model.dropout.training
    assert model.weight.grad is None
    assert torch.equal(torch.get_rng_state(), before)


def test_same_seed_same_starts(linear):
    model, batch = linear
    one, same, other = (PGDLinf(steps=1).perturb(model, batch, OBJECTIVE, generator(s, "attack")) for s in (0, 0, 1))
    assert torch.equal(one, same)
    assert not torch.equal(one, other)


def test_a_diverged_model_has_no_robust_accuracy(linear):
    model, batch = linear
    nn.init.constant_(model.weight, torch.nan)
    assert PGDLinf().scores(model, [batch], OBJECTIVE, 0).accuracy is None


@pytest.mark.parametrize("shape", [(20_000, 3), (20_000, 3, 1), (20_000, 1, 1, 3)])
def test_random_starts_fill_the_ball_whatever_the_shape_of_an_input(shape):
    """Of d values, the norm of a uniform point has distribution function r^d."""
    norms = PGDL2().start(torch.Size(shape), generator(0)).flatten(1).norm(dim=1)
    for radius in (0.5, 0.8):
        assert (norms < radius).double().mean().item() == pytest.approx(radius**3, abs=0.015)


def test_a_name_stands_in_tables_before_the_kind():
    assert [PGDL2().label, PGDL2(name="mine").label] == ["pgd_l2", "mine"]


def test_scores_under_attack_hold_no_logits(linear):
    model, batch = linear
    assert PGDLinf(steps=1).scores(model, [batch], OBJECTIVE, 0).logits is None


def test_an_input_without_gradient_is_not_moved():
    assert PGDL2().direction(torch.zeros(2, 3)).tolist() == [[0, 0, 0]] * 2
