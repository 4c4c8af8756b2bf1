"""SCRUB by hand."""

import math

import pytest
import torch

from ungrok.core.objective import Classification
from ungrok.methods.scrub import SCRUB, distillation

LR, GAMMA, ALPHA, T = 0.3, 0.7, 0.4, 2.0


def scrub(**settings):
    return SCRUB(lr=LR, gamma=GAMMA, alpha=ALPHA, temperature=T, momentum=0, weight_decay=0, **settings)


def test_distillation_by_hand():
    """Teacher (3/4, 1/4) at T = 2 against a uniform student: T²·Σ p·log(p/q), a mean over examples, not elements."""
    teacher = torch.tensor([[2 * math.log(3), 0.0], [1.0, 1.0]], dtype=torch.float64)
    student = torch.tensor([[5.0, 5.0], [0.0, 0.0]], dtype=torch.float64)
    kl = 0.75 * math.log(0.75 / 0.5) + 0.25 * math.log(0.25 / 0.5)
    assert distillation(student, teacher, 2.0).item() == pytest.approx(4 * kl / 2)
    reverse = 0.5 * math.log(0.5 / 0.75) + 0.5 * math.log(0.5 / 0.25)
    assert distillation(teacher, student, 2.0).item() == pytest.approx(4 * reverse / 2)


def test_distillation_is_averaged_over_examples_and_not_over_classes():
    """On ten times as many classes of zero logits the gradient keeps its scale."""
    for classes in (2, 20):
        student = torch.zeros(4, classes, requires_grad=True)
        teacher = torch.full((4, classes), -50.0)
        teacher[:, 0] = 50.0
        distillation(student, teacher, 1.0).backward()
        assert student.grad[:, 0].sum().item() == pytest.approx(1 / classes - 1)


@pytest.mark.parametrize("temperature", [1.0, 2.0, 10.0])
def test_distillation_gradient_keeps_its_size_at_any_temperature(linear, close, temperature):
    """T·(q − p) by logit: this is what the factor T² is for."""
    w = (linear.weight + 0.5).requires_grad_()
    batch = linear.retain[0]
    value = distillation(batch[0] @ w.T, batch[0] @ linear.weight.T, temperature)
    (gradient,) = torch.autograd.grad(value, w)
    close(gradient, linear.divergence(w.detach(), batch, temperature))


def test_epochs_of_maximization_then_minimization(linear, close):
    """Two epochs begin with a pass of maximization, the third does not."""
    walk = linear.walk(scrub(msteps=2, epochs=3))
    (forget,), (r1, r2) = linear.forget, linear.retain
    order = [("max", forget), ("min", r1), ("min", r2)] * 2 + [("min", r1), ("min", r2)]
    w = linear.weight
    for weights, (phase, batch) in zip(walk.weights, order, strict=True):
        pull = linear.divergence(w, batch, T)
        w = w + LR * pull if phase == "max" else w - LR * (GAMMA * linear.gradient(w, batch) + ALPHA * pull)
        close(weights, w)


def test_the_first_maximization_stands_on_a_stationary_point(linear, close):
    """The student starts as its teacher, where the divergence and its gradient are zero."""
    walk = linear.walk(scrub(msteps=1, updates=1))
    close(walk.weights[0], linear.weight)
    assert walk.losses[0] == pytest.approx(0, abs=1e-15)


def test_maximization_moves_away_and_the_pull_holds_back(linear):
    """The signs of both divergences."""

    def distance(weight):
        return distillation(linear.forget[0][0] @ weight.T, linear.forget[0][0] @ linear.weight.T, T).item()

    walk = linear.walk(scrub(msteps=2, epochs=2))
    assert distance(walk.weights[3]) > distance(walk.weights[2]) > 0
    moved = {}
    for alpha in (0.0, 5.0):
        method = SCRUB(lr=0.1, gamma=1, alpha=alpha, temperature=T, msteps=0, momentum=0, weight_decay=0, updates=20)
        moved[alpha] = (linear.walk(method).weights[-1] - linear.weight).norm()
    assert moved[5.0] < moved[0.0]


@pytest.mark.parametrize(("msteps", "epochs", "budget"), [(0, 3, 6), (2, 3, 8), (3, 3, 9), (5, 2, 6)])
def test_budget_counts_both_kinds_of_updates(linear, msteps, epochs, budget):
    path = scrub(msteps=msteps, epochs=epochs).path(linear.model(), linear.forget, linear.retain, linear.objective)
    assert path.budget == len(list(path)) == budget


def test_the_rate_falls_to_a_tenth_after_the_epochs_named(linear, close):
    """An epoch with maximization has three updates here, one without has two."""
    walk = linear.walk(scrub(msteps=1, epochs=3, lr_decay_epochs=(1, 2)))
    (forget,), (r1, r2) = linear.forget, linear.retain
    rates, w = [LR, LR, LR, LR / 10, LR / 10, LR / 100, LR / 100], linear.weight
    for weights, rate, batch in zip(walk.weights, rates, [forget, r1, r2, r1, r2, r1, r2], strict=True):
        pull = linear.divergence(w, batch, T)
        w = w + rate * pull if batch is forget else w - rate * (GAMMA * linear.gradient(w, batch) + ALPHA * pull)
        close(weights, w)


def test_the_teacher_sees_no_dropout():
    """In eval mode it is one fixed function; the student's first divergence is then not zero."""
    model = torch.nn.Sequential(torch.nn.Dropout(0.5), torch.nn.Linear(4, 3))
    batch = (torch.ones(50, 4), torch.zeros(50, dtype=torch.int64))
    seen = []
    model[1].register_forward_hook(
        lambda _, inputs, __: seen.append(inputs[0]) if not torch.is_grad_enabled() else None
    )
    (step,) = SCRUB(updates=1).path(model, [batch], [batch], Classification())
    assert step.loss < -1e-6
    assert torch.equal(seen[0], batch[0])
