"""What every metric of scores promises, checked on all of them."""

import math

import pytest
import torch

from ungrok.core.scores import ClassScores
from ungrok.evaluate.accuracy import accuracies, class_accuracies
from ungrok.evaluate.distances import MEASURES, zrf
from ungrok.evaluate.membership import ATTACKS, loss_auc, membership


def drawn(seed, n=40, dtype=torch.float32):
    draw = torch.Generator().manual_seed(seed)
    logits, targets = torch.randn(n, 3, generator=draw).to(dtype), torch.arange(n) % 3
    return ClassScores(torch.rand(n, generator=draw).to(dtype), logits.argmax(1), targets, logits)


def accuracy(a, b):
    split = {"forget": torch.arange(len(a)), "retain": torch.arange(len(a)), "classes": [0]}
    return list(accuracies(a, b, b, **split).to_dict().values())


def attacked(name):
    return lambda a, b: (found := membership(a, b)) and found[name].auc


METRICS = {
    **MEASURES,
    "zrf": zrf,
    "loss_auc": loss_auc,
    **{f"membership {name}": attacked(name) for name in ATTACKS},
    "accuracies": accuracy,
    "class_accuracies": lambda a, _: list(class_accuracies(a).values()),
}
TRAINED = {"membership logistic", "membership svc"}
TABLE = pytest.mark.parametrize("metric", METRICS)


@TABLE
def test_the_order_of_the_examples_does_not_matter(metric):
    """Trained attackers are left out: their folds are drawn by position."""
    if metric in TRAINED:
        return
    a, b = drawn(0), drawn(1)
    order = torch.randperm(40, generator=torch.Generator().manual_seed(2))
    assert METRICS[metric](a.of(order), b.of(order)) == pytest.approx(METRICS[metric](a, b))


@TABLE
def test_scores_are_left_as_they_are(metric):
    a, b = drawn(0), drawn(1)
    METRICS[metric](a, b)
    for scores, seed in ((a, 0), (b, 1)):
        fresh = drawn(seed)
        assert all(torch.equal(getattr(scores, name), getattr(fresh, name)) for name in vars(fresh))


@TABLE
def test_half_precision_scores_are_computed_in_full(metric):
    half = [drawn(seed, dtype=torch.bfloat16) for seed in (0, 1)]
    full = [ClassScores(s.losses.double(), s.predictions, s.targets, s.logits.double()) for s in half]
    assert METRICS[metric](*half) == pytest.approx(METRICS[metric](*full), abs=1e-12)


@TABLE
def test_nothing_is_said_of_a_model_that_diverged(metric):
    good = drawn(0)
    logits = good.logits.clone()
    logits[0] = math.nan
    bad = ClassScores(good.losses, good.predictions.index_fill(0, torch.tensor([0]), -1), good.targets, logits)
    found = METRICS[metric](bad, good)
    assert found in (None, []) or (metric == "accuracies" and found[:2] == [None, None])


@TABLE
def test_nothing_is_said_of_no_examples(metric):
    none = drawn(0).of(torch.zeros(0, dtype=torch.int64))
    found = METRICS[metric](none, none)
    assert found in (None, []) or set(found) == {None}
