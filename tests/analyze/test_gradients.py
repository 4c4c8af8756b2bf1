"""Inner products of per-sample gradients against one backward pass per example."""

from math import isnan
from types import SimpleNamespace

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import nn
from torch.func import functional_call

from ungrok.analyze import gradients
from ungrok.analyze.base import joined
from ungrok.analyze.gradients import _groups, gradient_gram, mean_gradient
from ungrok.core.causal_lm import CausalLM
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


def test_cosines_of_tiny_and_of_no_gradients():
    one = {"a.weight": torch.tensor([1e-6, 0.0]).double(), "b.weight": torch.tensor([3e-6]).double()}
    two = {"a.weight": torch.tensor([1e-6, 1e-6]).double(), "b.weight": torch.tensor([0.0]).double()}
    assert gradients.cosine(one, two) == pytest.approx(1 / 20**0.5)
    assert gradients.cosine(one, two, layer="a") == pytest.approx(0.5**0.5)
    for pair in ((one, two), (two, one)):
        assert isnan(gradients.cosine(*pair, layer="b"))


def test_layers_are_named_after_their_modules():
    names = [gradients.layer_of(name) for name in ("a.b.weight", "a.bias", "scale")]
    assert names == ["a.b", "a", "root"]


class Idle(nn.Module):
    """A layer whose output is thrown away, and two that share their weights."""

    def __init__(self):
        super().__init__()
        self.idle, self.one, self.two, self.head = nn.Linear(4, 2), nn.Linear(4, 4), nn.Linear(4, 4), nn.Linear(4, 3)
        self.two.weight = self.one.weight

    def forward(self, x):
        self.idle(x)
        return self.head(self.two(self.one(x).tanh()).tanh())


def test_layers_that_are_idle_or_tied():
    torch.manual_seed(0)
    model, objective = Idle().double(), Classification()
    x, y = torch.randn(5, 4, dtype=torch.float64), torch.arange(5) % 3
    weights = [p for name, p in model.named_parameters() if not name.startswith("idle")]
    rows = []
    for a, b in zip(x, y, strict=True):
        loss = objective.losses(model(a[None]), (a[None], b[None])).sum()
        rows.append(torch.cat([g.flatten() for g in torch.autograd.grad(loss, weights)]))
    whole = torch.stack(rows)
    grams = gradient_gram(model, (x, y), objective)
    torch.testing.assert_close(grams["model"], whole @ whole.T, rtol=1e-10, atol=1e-14)
    assert grams["idle"].abs().sum() == 0


class Bigram(nn.Module):
    """Logits that depend on the last token alone, and a parameter that nothing depends on."""

    def __init__(self):
        super().__init__()
        self.table, self.unused = nn.Parameter(torch.randn(4, 4, generator=draw())), nn.Parameter(torch.ones(2))

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.table[input_ids])


def test_gram_of_a_language_model_with_an_unused_parameter():
    def texts(*rows):
        ids = torch.tensor(rows)
        return {"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": ids}

    model, objective, rows = Bigram(), CausalLM(), []
    for ids in ([0, 1, 2], [3, 0, 1], [2, 2, 3]):
        loss = objective.losses(objective.logits(model, texts(ids)), texts(ids)).sum()
        rows.append(torch.autograd.grad(loss, model.table)[0].flatten().double())
    gram = gradient_gram(model, texts([0, 1, 2], [3, 0, 1], [2, 2, 3]), objective)["model"]
    torch.testing.assert_close(gram, torch.stack(rows) @ torch.stack(rows).T, rtol=1e-5, atol=1e-7)
