"""The choice of a retain term: every method that has one offers it by one name, and keeps its default."""

import copy

import pytest
import torch
from torch import nn

from ungrok.core.objective import Classification
from ungrok.methods import UNLEARNERS
from ungrok.methods.answers import AnswerMethod
from ungrok.methods.material import Material
from ungrok.methods.neggrad_plus import NegGradPlus

SHARED = {"amnesiac", "munba", "nabla_tau", "neggrad_plus", "random_label", "salun"}
DEFAULTS = {"kl_minimization": "kl", "rmu": "states"}


def test_every_method_with_a_retain_term_offers_the_choice():
    offered = {name for name in UNLEARNERS.names() if "retain_loss" in UNLEARNERS.get(name).model_fields}
    answers = {name for name in UNLEARNERS.names() if issubclass(UNLEARNERS.get(name), AnswerMethod)}
    assert offered == SHARED | answers
    assert len(answers) > 10
    for name in offered:
        cls = UNLEARNERS.get(name)
        assert cls().retain_loss == DEFAULTS.get(name, "nll")
        assert "retain_loss" not in cls().spec()
        assert {cls(retain_loss=term).retain_loss for term in ("nll", "kl")} == {"nll", "kl"}


def data(seed, n=4):
    draw = torch.Generator().manual_seed(seed)
    return torch.randn(n, 3, generator=draw, dtype=torch.float64), torch.randint(5, (n,), generator=draw)


def models():
    torch.manual_seed(0)
    original = nn.Linear(3, 5).double()
    live = copy.deepcopy(original)
    with torch.no_grad():
        live.weight.add_(torch.randn(5, 3, dtype=torch.float64))
    return original, live


@pytest.mark.parametrize("loss", ["cross_entropy", "mse"])
def test_the_divergence_is_that_of_the_predictions_from_the_originals(loss):
    """Averaged over examples, the original's first, whatever the objective's own loss is."""
    original, live = models()
    retain = data(1)
    material = Material(live, original, (), [retain], (), Classification(loss), None, None, 0)
    expected = slow_divergence(original, live, retain[0])
    assert NegGradPlus(retain_loss="kl").retained(material, retain).item() == pytest.approx(expected)
    assert NegGradPlus().retained(material, retain).item() == pytest.approx(material.mean_loss(retain).item())


def slow_divergence(original, live, inputs):
    p, q = (model(inputs).softmax(1) for model in (original, live))
    return sum(float((a * (a / b).log()).sum().detach()) for a, b in zip(p, q, strict=True)) / len(inputs)


def steps(name, original, **settings):
    """Return copies of the model, before the path and after each update, and the updates' losses: one forget batch, two to keep."""
    common = {"lr": 0.1, "momentum": 0, "weight_decay": 0, "optimizer": "sgd", "updates": 3}
    method = UNLEARNERS.get(name)(**common | settings)
    path = method.path(original, [data(1)], [data(2), data(3)], Classification(), validation=[data(4)])
    places = [(copy.deepcopy(step.model), step.loss) for step in path]
    return [original, *(model for model, _ in places)], [loss for _, loss in places]


@pytest.mark.parametrize(("name", "first"), [("amnesiac", 2), ("random_label", 2), ("salun", 2), ("munba", 3)])
def test_an_update_on_a_retain_batch_alone_has_the_chosen_loss(name, first):
    """The forget batch comes first, with munba beside the first retain batch; then a retain batch stands alone."""
    original, _ = models()
    where = {2: [(1, 2), (2, 3)], 3: [(1, 3)]}[first]
    live, losses = steps(name, original, retain_loss="kl")
    for update, seed in where:
        assert losses[update] == pytest.approx(slow_divergence(original, live[update], data(seed)[0]), rel=1e-6)
        assert losses[update] > 1e-4
    live, losses = steps(name, original)
    for update, seed in where:
        inputs, targets = data(seed)
        assert losses[update] == pytest.approx(nn.functional.cross_entropy(live[update](inputs), targets).item())


@pytest.mark.parametrize(("name", "share"), [("neggrad_plus", 0.5), ("nabla_tau", 1 - 0.5 * 2 / 3)])
def test_one_loss_of_both_terms_differs_by_the_chosen_one(name, share):
    """At the second update; the other term of the loss is that of the same model."""
    original, _ = models()
    differences = {}
    for term in ("nll", "kl"):
        live, losses = steps(name, original, retain_loss=term, alpha=0.5)
        (x, y), (fx, fy), (vx, vy) = data(3), data(1), data(4)
        ce = lambda inputs, targets, model=live[1]: nn.functional.cross_entropy(model(inputs), targets).item()  # noqa: E731
        other = -0.5 * ce(fx, fy) if name == "neggrad_plus" else (1 - share) * max(0, ce(vx, vy) - ce(fx, fy)) ** 2
        kept = ce(x, y) if term == "nll" else slow_divergence(original, live[1], x)
        differences[term] = losses[1] - other - share * kept
    assert differences == {"nll": pytest.approx(0, abs=1e-6), "kl": pytest.approx(0, abs=1e-6)}
