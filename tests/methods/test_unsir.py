"""UNSIR: noise, impairing, repairing."""

from itertools import pairwise

import pytest
import torch
from torch import nn

from ungrok.core.errors import NotApplicable
from ungrok.methods import Material


def test_a_random_forget_set_is_refused_before_any_work(small):
    with pytest.raises(NotApplicable, match="whole classes only; class 0 is in the forget and in the retain set"):
        small.path("unsir")


def test_noise_carries_the_label_of_its_class(small, monkeypatch):
    """Two forgotten classes: each impair batch holds noise of one of them, in turn."""
    seen = []
    mean_loss = Material.mean_loss
    monkeypatch.setattr(Material, "mean_loss", lambda m, b: seen.append(b[1].tolist()) or mean_loss(m, b))
    forget, retain = small.batches(8, seed=1, classes=(0, 2)), small.batches(4, seed=2, classes=(1,)) * 2
    small.last("unsir", forget=forget, retain=retain, noise_steps=1, noise_batch=3)
    assert seen == [[0] * 3, [2] * 3, [1] * 4 + [0] * 3, [1] * 4 + [2] * 3, [1] * 4, [1] * 4]


def test_the_repair_begins_with_a_fresh_optimizer(small):
    """Adam's first step has the size of its rate, whatever came before."""
    sets = small.batches(8, classes=(0,)), small.batches(8, seed=2, classes=(1, 2))
    settings = {"repair_lr": 1e-3, "noise_steps": 1, "noise_batch": 3, "epochs": 3, "impair_epochs": 2}
    path = small.path("unsir", None, *sets, **settings)
    places = [nn.utils.parameters_to_vector(step.model.parameters()).detach().clone() for step in path]
    impaired, repaired = [(b - a).abs().max().item() for a, b in pairwise(places)]
    assert impaired > 5e-3
    assert repaired == pytest.approx(1e-3, rel=1e-2)


def test_batches_may_carry_an_index(small):
    """A third part of a batch, which noise has none of."""
    sets = small.batches(8, classes=(0,)), small.batches(8, seed=2, classes=(1, 2))
    indexed = [[(x, y, torch.arange(8) + first) for x, y in part] for part, first in zip(sets, (0, 100), strict=True)]
    ends = [small.last("unsir", None, *given, noise_steps=1, noise_batch=3) for given in (sets, indexed)]
    assert all(torch.equal(a, b) for a, b in zip(*(end.parameters() for end in ends), strict=True))
