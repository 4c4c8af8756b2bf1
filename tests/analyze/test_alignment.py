"""Cosines of mean gradients from the Gram matrix against gradients written out, and nulls against their definitions."""

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from ungrok.analyze import Subject, gradients
from ungrok.analyze.alignment import GradientAlignment, normalized, set_cosines
from ungrok.analyze.base import joined
from ungrok.analyze.controls import class_matched, controls, permuted, split_half
from ungrok.analyze.gradients import _groups, cosine, gradient_gram, mean_gradient
from ungrok.analyze.modules import fit_modules, overlap
from ungrok.core.objective import Classification


def draw(seed=0):
    return torch.Generator().manual_seed(seed)


def slow_rows(model, made, objective):
    """One backward pass per example: by parameter, shape (n, size)."""
    rows = {name: [] for name, _ in model.named_parameters()}
    x, y = joined(objective, made)
    for a, b in zip(x, y, strict=True):
        loss = objective.losses(model(a[None]), (a[None], b[None])).sum()
        for name, g in zip(rows, torch.autograd.grad(loss, list(model.parameters())), strict=True):
            rows[name].append(g.flatten())
    return {name: torch.stack(values) for name, values in rows.items()}


def cnn():
    layers = nn.Conv2d(2, 3, 3, padding=1), nn.BatchNorm2d(3), nn.ReLU(inplace=True), nn.Flatten(), nn.Linear(48, 4)
    model = nn.Sequential(*layers)
    model[1].running_mean.normal_(generator=draw())
    return model.double().eval()


@given(st.lists(st.integers(1, 50), min_size=1, max_size=6), st.integers(0, 60))
def test_parts_of_parameters_are_whole_and_small(sizes, limit):
    groups = list(_groups({str(i): size for i, size in enumerate(sizes)}, limit))
    assert all(sum(stop - start for _, start, stop in group) <= max(1, limit) for group in groups)
    covered = [(name, k) for group in groups for name, start, stop in group for k in range(start, stop)]
    assert covered == [(str(i), k) for i, size in enumerate(sizes) for k in range(size)]


@pytest.mark.parametrize("closed", [True, False])
@pytest.mark.parametrize(("chunk", "memory"), [(64, None), (3, 2**30), (5, 2000), (17, 1)])
def test_gram_against_one_example_at_a_time(small, chunk, memory, closed, monkeypatch):
    if not closed:
        monkeypatch.setattr(gradients, "_linear_grams", lambda *_: {})
    model, made, objective = small
    rows = slow_rows(model, made, objective)
    found = gradient_gram(model, joined(objective, made), objective, chunk=chunk, memory=memory)
    whole = torch.cat(list(rows.values()), dim=1)
    torch.testing.assert_close(found["model"], whole @ whole.T, rtol=1e-10, atol=1e-14)
    for layer in ("0", "2", "4"):
        own = torch.cat([rows[f"{layer}.weight"], rows[f"{layer}.bias"]], dim=1)
        torch.testing.assert_close(found[layer], own @ own.T, rtol=1e-10, atol=1e-14)


def test_gram_of_a_network_with_batch_norm_and_in_place_activation():
    model, objective = cnn(), Classification("mse")
    x = torch.randn(7, 2, 4, 4, generator=draw(1), dtype=torch.float64)
    made = [(x, torch.randint(4, (7,), generator=draw(2)))]
    rows = torch.cat(list(slow_rows(model, made, objective).values()), dim=1)
    found = gradient_gram(model, made[0], objective)["model"]
    torch.testing.assert_close(found, rows @ rows.T, rtol=1e-10, atol=1e-14)


class Shared(nn.Module):
    """One linear layer used twice, one on several rows per example, one frozen weight, one used once."""

    def __init__(self):
        super().__init__()
        self.twice, self.rows, self.once = nn.Linear(6, 6), nn.Linear(3, 2), nn.Linear(10, 4)
        self.once.weight.requires_grad_(requires_grad=False)

    def forward(self, x):
        x = torch.relu_(self.twice(torch.relu_(self.twice(x))))
        return self.once(torch.cat([self.rows(x.view(-1, 3)).view(len(x), -1), x], dim=1))


def test_linear_layers_without_a_closed_form():
    torch.manual_seed(0)
    model, objective = Shared().double().eval(), Classification()
    made = [(torch.randn(9, 6, dtype=torch.float64), torch.randint(4, (9,)))]
    model.once.weight.requires_grad_(requires_grad=True)
    rows = slow_rows(model, made, objective)
    model.once.weight.requires_grad_(requires_grad=False)
    found = gradient_gram(model, made[0], objective)
    for layer, names in {"twice": ("weight", "bias"), "rows": ("weight", "bias"), "once": ("bias",)}.items():
        own = torch.cat([rows[f"{layer}.{name}"] for name in names], dim=1)
        torch.testing.assert_close(found[layer], own @ own.T, rtol=1e-10, atol=1e-14)


def test_set_cosines_are_cosines_of_mean_gradients(small):
    """The same number by two ways: from inner products, and from gradients of mean losses accumulated over batches."""
    model, made, objective = small
    gram = gradient_gram(model, joined(objective, made), objective)
    x, y = joined(objective, made)
    one, two = torch.tensor([0, 3, 4, 8]), torch.tensor([1, 2, 5, 6, 7, 9, 10])
    means = [mean_gradient(model, [(x[i], y[i])], objective) for i in (one, two)]
    for layer in ("model", "0", "4"):
        expected = cosine(*means, layer=None if layer == "model" else layer)
        assert set_cosines(gram[layer], [one], [two]).item() == pytest.approx(expected, rel=1e-9)
    whole = set_cosines(gram["model"], [one, two], [two, two])
    assert whole[1] == pytest.approx(1)


def test_normalized_gradients(small):
    model, made, objective = small
    rows = torch.cat(list(slow_rows(model, made, objective).values()), dim=1)
    unit = rows / rows.norm(dim=1, keepdim=True)
    found = normalized(gradient_gram(model, joined(objective, made), objective)["model"])
    torch.testing.assert_close(found, unit @ unit.T, rtol=1e-9, atol=1e-12)


def test_an_example_without_gradient_has_cosine_zero():
    gram = torch.tensor([[0.0, 0.0], [0.0, 4.0]], dtype=torch.float64)
    assert normalized(gram).tolist() == [[0, 0], [0, 1]]


FORGET, RETAIN = torch.arange(8), torch.arange(8, 40)


def test_split_half_has_the_sizes_of_forget_and_the_rest_and_nothing_of_forget():
    one = split_half(FORGET, RETAIN, draw())
    assert len(one.null) == len(one.forget) == 8
    assert len(one.rest) == 24
    assert torch.equal(torch.cat([one.null, one.rest]).sort().values, RETAIN)
    assert set(one.forget.tolist()) == set(FORGET.tolist())
    large = split_half(RETAIN, FORGET, draw())
    assert (len(large.forget), len(large.null), len(large.rest)) == (4, 4, 4)


def test_permuted_keeps_sizes_and_shuffles_everything():
    one = permuted(FORGET, RETAIN, draw())
    assert (len(one.null), len(one.rest)) == (8, 32)
    assert torch.equal(torch.cat([one.null, one.rest]).sort().values, torch.arange(40))
    assert 0 < torch.isin(one.null, FORGET).sum() < 8


def test_same_classes_take_the_composition_of_forget_and_leave_half():
    targets = torch.tensor([0] * 6 + [1] * 2 + [0] * 4 + [1] * 10 + [2] * 18)
    one = class_matched(FORGET, RETAIN, targets, draw(), same=True)
    assert targets[one.null].bincount().tolist() == [2, 2]
    assert targets[one.forget].bincount().tolist() == [2, 2]
    assert torch.equal(torch.cat([one.null, one.rest]).sort().values, RETAIN)


def test_other_classes_stand_in_for_a_class_forgotten_whole():
    targets = torch.tensor([0] * 8 + [1] * 12 + [2] * 20)
    assert class_matched(FORGET, RETAIN, targets, draw(), same=True) is None
    taken = {int(targets[class_matched(FORGET, RETAIN, targets, draw(s), same=False).null].unique()) for s in range(9)}
    assert taken == {1, 2}
    assert class_matched(FORGET, RETAIN, torch.tensor([0] * 8 + [1] * 32), draw(), same=False) is None


def test_controls_are_those_that_exist_and_depend_on_the_seed_alone():
    targets = torch.tensor([0] * 8 + [1] * 12 + [2] * 20)
    made = controls(FORGET, RETAIN, targets, 3, seed=1)
    assert {name: len(draws) for name, draws in made.items()} == {"split_half": 3, "other_classes": 3}
    again, other = controls(FORGET, RETAIN, targets, 3, seed=1), controls(FORGET, RETAIN, targets, 3, seed=2)
    assert torch.equal(made["split_half"][2].null, again["split_half"][2].null)
    assert not torch.equal(made["split_half"][2].null, other["split_half"][2].null)


def test_without_classes_there_is_only_the_split():
    assert set(controls(FORGET, RETAIN, None, 2, seed=1)) == {"split_half"}


def gaussian_subject(shift):
    """A linear model of squared error, so that per-sample gradients are 2(z − t)·x; forget inputs shifted or not."""
    x = torch.randn(400, 10, generator=draw(5)) + 1
    x[:60] += shift
    y = torch.randint(2, (400,), generator=draw(6))
    model = nn.Linear(10, 2, bias=False)
    with torch.no_grad():
        model.weight.fill_(0.3)
    return Subject(model, Classification("mse"), {"forget": [(x[:60], y[:60])], "retain": [(x[60:], y[60:])]})


def readings(subject, **settings):
    found = {}
    for r in GradientAlignment(layers=False, **settings).measure(subject):
        found[r.measure, r.on] = r
    return found


def test_no_difference_lies_inside_its_nulls_and_a_difference_outside():
    pair = "forget|retain"
    same, shifted = readings(gaussian_subject(0.0)), readings(gaussian_subject(torch.tensor([-3.0] * 5 + [3.0] * 5)))
    for name, null in (("gradient_cosine", "permuted"), ("gradient_cosine_split_half", "split_half")):
        inside, outside = same[name, pair], shifted[name, pair]
        assert inside.nulls[null].low <= inside.value <= inside.nulls[null].high
        assert outside.value < outside.nulls[null].low
        assert inside.nulls[null].draws == 200


def test_angle_is_the_arc_of_the_cosine():
    found = readings(gaussian_subject(1.0))
    c, angle = found["gradient_cosine", "forget|retain"].value, found["gradient_angle", "forget|retain"]
    assert angle.unit == "degree"
    assert torch.tensor(angle.value).deg2rad().cos().item() == pytest.approx(c, abs=1e-6)


def test_quantiles_of_all_pairs(small):
    model, made, objective = small
    subject = Subject(model, objective, {"forget": made[:1], "retain": made[1:]})
    rows = torch.cat(list(slow_rows(model, made, objective).values()), dim=1)
    cosines = torch.nn.functional.cosine_similarity(rows[:, None], rows[None], dim=2)
    found = readings(subject)
    assert found["per_sample_cosine", "forget|retain"].value == pytest.approx(cosines[:6, 6:].mean().item(), rel=1e-9)
    inside = cosines[6:, 6:][~torch.eye(11, dtype=torch.bool)]
    assert found["per_sample_cosine", "retain|retain"].value == pytest.approx(inside.mean().item(), rel=1e-9)
    assert found["per_sample_cosine_q50", "retain|retain"].value == pytest.approx(
        inside.quantile(0.5, interpolation="nearest").item(), rel=1e-6
    )


def test_more_examples_than_the_limit_are_sampled_by_the_same_share():
    found = readings(gaussian_subject(0.0), examples=100)
    assert found["gradient_cosine", "forget|retain"].examples == 100
    assert found["gradient_cosine_split_half", "forget|retain"].examples == 15 + 85 - 15


def toy(p, rho, n=200, modules=400, width=6, seed=0):
    """The paper's toy model: module m of example i is active with probability p, its parts correlated by ρ."""
    generator = draw(seed)
    active = torch.rand(n, modules, generator=generator) < p
    shared = torch.randn(1, modules, width, generator=generator, dtype=torch.float64)
    own = torch.randn(n, modules, width, generator=generator, dtype=torch.float64)
    rows = (active[..., None] * (rho**0.5 * shared + (1 - rho) ** 0.5 * own)).flatten(1)
    unit = torch.nn.functional.normalize(rows, dim=1)
    return unit @ unit.T, active


@pytest.mark.parametrize(("p", "rho"), [(0.2, 0.8), (0.6, 0.3)])
def test_modules_recover_p_and_rho_of_the_papers_toy(p, rho):
    fit = fit_modules(*toy(p, rho))
    assert fit.p == pytest.approx(p, abs=0.01)
    assert fit.overlap == pytest.approx(p, abs=0.01)
    assert fit.rho == pytest.approx(rho, abs=0.03)
    assert fit.predicted == pytest.approx(fit.mean_cosine, abs=0.01)


def test_r2_tells_whether_activity_explains_the_cosines():
    """Groups of examples that share modules: overlaps differ, and with them the cosines; shuffled, they explain nothing."""
    left, right = toy(0.3, 0.9, n=40, seed=1), toy(0.3, 0.9, n=40, seed=2)
    cosines = torch.block_diag(left[0], right[0])
    active = torch.block_diag(left[1].double(), right[1].double()).bool()
    fit = fit_modules(cosines, active)
    assert fit.r2 > 0.9
    assert fit.null.high < 0.3


def test_overlap_by_hand():
    active = torch.tensor([[1, 1, 0, 0], [1, 0, 0, 0], [0, 0, 0, 0]]).bool()
    expected = [[1, 0.5**0.5, 0], [0.5**0.5, 1, 0], [0, 0, 0]]
    torch.testing.assert_close(overlap(active), torch.tensor(expected, dtype=torch.float64))


def test_frozen_layers_have_no_gradient(small):
    model, made, objective = small
    model[0].requires_grad_(requires_grad=False)
    assert set(gradient_gram(model, joined(objective, made), objective)) == {"2", "4", "model"}
    assert set(mean_gradient(model, made, objective)) == {"2.weight", "2.bias", "4.weight", "4.bias"}


def test_functional_call_is_not_left_behind(small):
    """The vectorized pass swaps parameters for the time of a call."""
    model, made, objective = small
    before = {name: p.clone() for name, p in model.named_parameters()}
    gradient_gram(model, joined(objective, made), objective)
    same = functional_call(model, before, (made[0][0],))
    torch.testing.assert_close(model(made[0][0]), same)
