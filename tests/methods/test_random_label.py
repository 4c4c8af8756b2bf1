"""Random labels, drawn anew."""

import torch

from ungrok.core.objective import Classification
from ungrok.methods.random_label import random_labels


def test_random_labels_are_uniform_over_all_classes():
    labels = random_labels(torch.zeros(9000, dtype=torch.int64), 3, torch.Generator().manual_seed(0))
    shares = labels.bincount(minlength=3) / 9000
    # The standard deviation of a share of 9,000 draws of one in three is 0.005.
    assert (shares - 1 / 3).abs().max() < 5 * 0.005


def test_labels_are_drawn_in_every_epoch(small, monkeypatch):
    labels, relabel = [], Classification.relabel
    monkeypatch.setattr(Classification, "relabel", lambda self, b, t: labels.append(t) or relabel(self, b, t))
    small.last("random_label", forget=small.batches(600, seed=1), epochs=2)
    first, second = labels
    assert not torch.equal(first, second)
