"""Properties of single methods that the tables of contracts and slow versions do not show."""

import math
from itertools import pairwise

import pytest
import torch
from pydantic import ValidationError
from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.core.objective import Classification
from ungrok.methods import UNLEARNERS, Material
from ungrok.methods.munba import nash_weights
from ungrok.methods.salun import saliency_mask
from ungrok.methods.ssd import dampen

OBJECTIVE = Classification()


def model():
    torch.manual_seed(0)
    return nn.Sequential(nn.Linear(4, 6), nn.ReLU(), nn.Linear(6, 3))


def batches(n=12, seed=0, classes=(0, 1, 2)):
    draw = torch.Generator().manual_seed(seed)
    targets = torch.tensor(classes)[torch.arange(n) % len(classes)]
    return [(torch.randn(n, 4, generator=draw), targets)]


def last_of(name, start=None, forget=None, retain=None, **settings):
    path = UNLEARNERS.get(name)(**settings).path(
        start or model(), forget or batches(seed=1), retain or batches(seed=2), OBJECTIVE, factory=model
    )
    *_, last = path
    return last.model


@pytest.mark.parametrize(
    ("theta", "forget", "data", "expected"),
    [(2.0, 10.0, 0.9, 2 * 0.9 * 0.5 / 10), (2.0, 8.0, 0.9, 2.0), (2.0, 0.0, 0.0, 2.0), (-1.0, 10.0, 0.0, 0.0)],
)
def test_dampening_by_hand(theta, forget, data, expected):
    """Selected where F_f > 10·F_D, then multiplied by λ·F_D/F_f with λ = 0.5."""
    found = dampen(*(torch.tensor([v], dtype=torch.float64) for v in (theta, forget, data)), alpha=9.0, lam=0.5)
    assert found.item() == pytest.approx(expected)


def test_dampening_never_grows_a_weight():
    assert dampen(torch.tensor([2.0]), torch.tensor([1.0]), torch.tensor([0.9]), alpha=1.0, lam=5.0).item() == 2.0


def test_a_lower_threshold_dampens_more():
    doses = UNLEARNERS.get("ssd")(alpha=(10.0, 1.0, 5.0)).doses()
    assert doses == (0.1, 0.2, 1.0)


@pytest.mark.parametrize("k", [0.1, 0.5, 1.0])
def test_the_mask_holds_the_top_share_of_all_weights(k):
    draw = torch.Generator().manual_seed(0)
    gradients = {"a": torch.randn(40, generator=draw), "b": 0.1 * torch.randn(6, 10, generator=draw)}
    mask = saliency_mask(gradients, k)
    inside = torch.cat([g.abs()[mask[n]].flatten() for n, g in gradients.items()])
    outside = torch.cat([g.abs()[~mask[n]].flatten() for n, g in gradients.items()])
    assert len(inside) == round(100 * k)
    assert not len(outside) or inside.min() > outside.max()


def test_masked_weights_do_not_move_at_all():
    """Neither through weight decay nor through momentum; the others do."""
    start = model()
    for batch in batches(seed=1):
        OBJECTIVE.losses(start(batch[0]), batch).mean().backward()
    mask = saliency_mask({n: p.grad.clone() for n, p in start.named_parameters()}, 0.3)
    start.zero_grad(set_to_none=True)
    for settings in ({"weight_decay": 0.5}, {"optimizer": "adam", "weight_decay": 0.5}, {"optimizer": "adamw"}):
        end = last_of("salun", start, k=0.3, lr=0.05, epochs=3, **settings)
        for name, parameter in end.named_parameters():
            moved = parameter != start.get_parameter(name)
            assert not moved[~mask[name]].any()
            assert moved[mask[name]].any() == mask[name].any()


@pytest.mark.parametrize("rho", [0.0, 0.6, -0.6, 1.0])
def test_nash_weights_solve_their_equation(rho):
    """G·α = 1/α, and both sides gain the same share: g_i·(Σ α g) = 1/α_i."""
    retain = torch.tensor([2.0, 0.0], dtype=torch.float64)
    forget = 3 * torch.tensor([rho, math.sqrt(1 - rho**2)], dtype=torch.float64)
    a = torch.tensor(nash_weights(retain, forget), dtype=torch.float64)
    both = torch.stack([retain, forget])
    torch.testing.assert_close(both @ both.T @ a, 1 / a)


def test_nash_weights_without_a_bargain():
    """Opposite or vanishing gradients: one tenth of the forget loss beside the retain loss."""
    g = torch.tensor([1.0, 2.0])
    assert nash_weights(g, -g) == nash_weights(0 * g, g) == nash_weights(g, 0 * g) == (1.0, 0.1)


def test_random_labels_may_be_true_and_amnesiac_labels_may_not(monkeypatch):
    seen = {}
    for name in ("random_label", "amnesiac"):
        labels = []
        relabel = Classification.relabel
        monkeypatch.setattr(
            Classification,
            "relabel",
            lambda s, b, t, kept=labels, true=relabel: kept.append(t == b[1]) or true(s, b, t),
        )
        last_of(name, forget=batches(600, seed=1), epochs=2)
        monkeypatch.undo()
        seen[name] = torch.cat(labels).double().mean().item(), len(labels)
    # 1,200 draws of one in three: the standard deviation of the share is 0.014.
    assert abs(seen["random_label"][0] - 1 / 3) < 5 * 0.014
    assert seen["random_label"][1] == 2
    assert seen["amnesiac"] == (0.0, 1)


def test_boundary_shrink_takes_labels_from_the_original_across_the_boundary():
    """A linear model of two classes: a large enough step along the gradient always crosses."""
    linear = nn.Linear(4, 2)
    inputs = torch.randn(20, 4, generator=torch.Generator().manual_seed(0))
    forget = [(inputs, linear(inputs).argmax(1))]
    end = last_of("boundary_shrink", linear, forget, epsilon=100.0, lr=1.0, epochs=50, weight_decay=0)
    assert (end(inputs).argmax(1) != forget[0][1]).double().mean() > 0.9


def test_boundary_expand_adds_nothing_to_the_model_handed_back():
    end = last_of("boundary_expand", lr=0.1)
    assert {n: p.shape for n, p in end.named_parameters()} == {n: p.shape for n, p in model().named_parameters()}
    assert end(torch.zeros(1, 4)).shape == (1, 3)


def test_boundary_expand_needs_a_linear_layer_that_gives_the_logits():
    conv = nn.Sequential(nn.Unflatten(1, (4, 1, 1)), nn.Conv2d(4, 3, 1), nn.Flatten())
    with pytest.raises(NotApplicable, match="no linear layer"):
        last_of("boundary_expand", conv)
    with pytest.raises(NotApplicable, match="the last linear layer has 6 outputs, the model 3"):
        last_of(
            "boundary_expand",
            nn.Sequential(nn.Linear(4, 6), nn.Unflatten(1, (6, 1, 1)), nn.Conv2d(6, 3, 1), nn.Flatten()),
        )


def test_unsir_refuses_a_random_forget_set_before_any_work():
    with pytest.raises(NotApplicable, match="whole classes only; class 0 is in the forget and in the retain set"):
        UNLEARNERS.get("unsir")().path(model(), batches(seed=1), batches(seed=2), OBJECTIVE)


def test_unsir_noise_carries_the_label_of_its_class(monkeypatch):
    """Two forgotten classes: each impair batch holds noise of one of them, in turn."""
    seen = []
    mean_loss = Material.mean_loss
    monkeypatch.setattr(Material, "mean_loss", lambda m, b: seen.append(b[1].tolist()) or mean_loss(m, b))
    forget, retain = batches(8, seed=1, classes=(0, 2)), batches(4, seed=2, classes=(1,)) * 2
    last_of("unsir", forget=forget, retain=retain, noise_steps=1, noise_batch=3)
    assert seen == [[0] * 3, [2] * 3, [1] * 4 + [0] * 3, [1] * 4 + [2] * 3, [1] * 4, [1] * 4]


def test_unsir_repairs_with_a_fresh_optimizer():
    """Adam's first step has the size of its rate, whatever came before."""
    path = UNLEARNERS.get("unsir")(repair_lr=1e-3, noise_steps=1, noise_batch=3, epochs=3, impair_epochs=2).path(
        model(), batches(8, classes=(0,)), batches(8, seed=2, classes=(1, 2)), OBJECTIVE
    )
    places = [nn.utils.parameters_to_vector(step.model.parameters()).detach().clone() for step in path]
    largest = [(b - a).abs().max().item() for a, b in pairwise(places)]
    assert largest[0] > 5e-3
    assert largest[1] == pytest.approx(1e-3, rel=1e-2)


def test_retraining_depends_on_nothing_of_the_original():
    """A retraining that re-initializes only the last layer would."""
    other = model()
    with torch.no_grad():
        for parameter in other.parameters():
            parameter.add_(1)
    a, b = (last_of("retrain", start, epochs=3) for start in (model(), other))
    assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


def test_distillation_is_averaged_over_examples_and_not_over_classes():
    """On ten times as many classes of zero logits the gradient keeps its scale."""
    from ungrok.methods.scrub import distillation

    for classes in (2, 20):
        student = torch.zeros(4, classes, requires_grad=True)
        teacher = torch.full((4, classes), -50.0)
        teacher[:, 0] = 50.0
        distillation(student, teacher, 1.0).backward()
        assert student.grad[:, 0].sum().item() == pytest.approx(1 / classes - 1)


def test_jit_flattens_the_function_around_forget_points():
    """Unless the perturbed outputs are constants: a pull of one output towards others moves them all alike."""
    inputs = batches(seed=1)[0][0]
    noise = 0.5 * torch.randn(200, *inputs.shape, generator=torch.Generator().manual_seed(5))

    def slope(network):
        return ((network(inputs) - network(inputs + noise)).norm(dim=2) / noise.norm(dim=2)).mean().item()

    assert slope(last_of("jit", lr=0.05, epochs=20)) < 0.1 * slope(model())
    assert slope(last_of("jit", lr=0.05, epochs=20, stop_gradient=True)) > 0.9 * slope(model())


@pytest.mark.parametrize(
    ("name", "setting"),
    [
        ("salun", {"k": 0}),
        ("salun", {"k": 1.5}),
        ("ssd", {"alpha": (1.0, 1.0)}),
        ("influence", {"damping": 0}),
        ("boundary_shrink", {"bounds": (1, 0)}),
    ],
)
def test_settings_out_of_range(name, setting):
    with pytest.raises(ValidationError):
        UNLEARNERS.get(name)(**setting)
