"""Places on a path: what is live, what is copied, what the loss is that of."""

import pytest
import torch
from torch import nn

from ungrok.core.objective import Classification
from ungrok.methods.finetune import Finetune
from ungrok.methods.path import Step, UnlearningPath

OBJECTIVE = Classification()


def batches(count):
    return [(torch.full((2, 1), 1.0 + i), torch.zeros(2, dtype=torch.int64)) for i in range(count)]


@pytest.fixture
def model():
    return nn.Linear(1, 2)


def path_of(model, updates):
    return Finetune(lr=0.5, updates=updates).path(model, batches(1), batches(3), OBJECTIVE)


def test_a_step_is_live_and_a_snapshot_is_not(model):
    path = path_of(model, 3)
    first = next(path)
    then, copy = first.model.weight.detach().clone(), first.snapshot()
    second = next(path)
    assert second.model is first.model
    assert second.model is not model
    assert torch.equal(copy.weight, then)
    assert not torch.equal(second.model.weight, then)


def test_loss_is_that_of_the_update(model):
    (step,) = path_of(model, 1)
    (batch,) = batches(1)
    assert step.loss == OBJECTIVE.losses(model(batch[0]), batch).mean().item()
    assert not step.loss_tensor.requires_grad


def test_a_step_without_a_loss(model):
    assert Step(0, 1e-3, model).loss is None


def test_a_path_knows_where_it_ends_before_it_starts(model):
    path = UnlearningPath(iter([Step(1, 1, model), Step(2, 2, model)]), 2)
    assert path.budget == 2
    assert [step.updates for step in path] == [1, 2]
