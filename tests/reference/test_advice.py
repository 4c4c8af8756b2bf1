"""What a policy costs, against one update and one request after another."""

from __future__ import annotations

import numpy as np
import torch

from ungrok.data.base import Split
from ungrok.data.batches import OrderedBatches, TensorBatches
from ungrok.study.advise import Terms, total
from ungrok.study.deletion_costs import Measured, passes


def one_after_another(training, spent, fulfilled, requests, gathered):
    """Return what training and all requests cost; ``gathered`` requests are fulfilled in one run."""
    own = [cost if kept else cost + training for cost, kept in zip(spent, fulfilled, strict=True)]
    cost, waiting, runs = training, 0, 0
    for request in range(1, requests + 1):
        waiting += 1
        if waiting < gathered and request < requests:
            continue
        later = own[1:] or own
        cost += own[runs] if runs < len(own) else sum(later) / len(later)
        waiting, runs = 0, runs + 1
    return cost


def test_training_and_requests_cost_what_they_do_one_after_another():
    random = np.random.default_rng(0)
    for _ in range(200):
        seeds, known, requests, together = (int(random.integers(1, most)) for most in (4, 5, 12, 6))
        training, spent = random.uniform(50, 99, seeds), random.uniform(1, 9, (seeds, known))
        fulfilled, sizeless = random.random((seeds, known)) < 0.7, bool(random.random() < 0.5)
        costs = {"passes": spent, "seconds": spent / 2}
        measured = Measured(
            tuple(range(seeds)), {"passes": training, "seconds": training / 2}, costs, fulfilled, {"RA": 0.0}, 1.0, sizeless=sizeless
        )  # fmt: skip
        gathered = together if sizeless else 1
        expected = [
            one_after_another(*each, requests, gathered) for each in zip(training, spent, fulfilled, strict=True)
        ]
        for unit, scale in (("passes", 1), ("seconds", 0.5)):
            ours = total(measured, unit, Terms(requests, together=together))
            np.testing.assert_allclose(ours, scale * np.array(expected))


def read(batches, updates):
    """Return how many examples so many updates of a training read."""
    count, epoch = 0, 0
    while updates:
        for inputs, _ in batches.epoch(epoch):
            if not updates:
                break
            count, updates = count + len(inputs), updates - 1
        epoch += 1
    return count


def test_passes_are_the_examples_that_batches_hold():
    random = np.random.default_rng(0)
    for _ in range(40):
        examples, updates = int(random.integers(1, 30)), int(random.integers(0, 60))
        split = Split(torch.zeros(examples, 1), torch.zeros(examples, dtype=torch.long))
        size = None if random.random() < 0.2 else int(random.integers(1, 40))
        (ours,) = passes(np.array([float(updates)]), size, examples)
        np.testing.assert_allclose(ours, read(TensorBatches(split, size, seed=0), updates) / examples)
        full = min(size or examples, examples)
        order = torch.zeros(1000, full, dtype=torch.long)
        (staggered,) = passes(np.array([float(updates)]), size, examples, staggered=True)
        np.testing.assert_allclose(
            staggered, read(OrderedBatches(split, full, lambda order=order: order), updates) / examples
        )
