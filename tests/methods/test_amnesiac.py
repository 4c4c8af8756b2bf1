"""Wrong labels, drawn once."""

import torch

from ungrok.core.objective import Classification
from ungrok.methods.amnesiac import wrong_labels


def test_wrong_labels_are_uniform_over_the_others():
    truth = torch.arange(9000) % 3
    labels = wrong_labels(truth, 3, torch.Generator().manual_seed(0))
    shifts = ((labels - truth) % 3).bincount(minlength=3) / len(truth)
    assert shifts[0] == 0
    # The standard deviation of a share of 9,000 draws of one in two is 0.0053.
    assert abs(shifts[1] - 0.5) < 5 * 0.0053


def test_a_label_stays_with_its_example(small, monkeypatch):
    """Two epochs ask for labels once; the truth is never among them."""
    wrong, relabel = [], Classification.relabel
    monkeypatch.setattr(
        Classification, "relabel", lambda self, b, t: wrong.append((t != b[1]).all().item()) or relabel(self, b, t)
    )
    small.last("amnesiac", forget=small.batches(600, seed=1), epochs=2)
    assert wrong == [True]
