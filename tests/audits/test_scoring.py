"""What is read of a model, computed again by loops."""

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from ungrok.audits import Scorer
from ungrok.audits.scoring import CHUNK, NUMBERS, batches

from .conftest import examples, material, network


@torch.no_grad()
def slow(model, part, index=None, keep=lambda y: True):
    right, losses = [], []
    for number in range(len(part)) if index is None else index:
        x, y = part.batch(torch.tensor([number]))
        if keep(int(y)):
            logits = model(x)
            right.append(int(logits.argmax()) == int(y))
            losses.append(float(F.cross_entropy(logits, y)))
    return sum(right) / len(right), sum(losses) / len(losses)


def test_numbers_by_loops():
    given = material(validation=examples(11, 9))
    model, back = network(6), [0, 3, 5, 19]
    numbers = Scorer(given)(model, torch.tensor(back))
    assert tuple(numbers) == NUMBERS
    ua, forget_loss = slow(model, given.forget, back)
    ra, retain_loss = slow(model, given.retain)
    expected = {
        "UA": ua,
        "RA": ra,
        "TA": slow(model, given.test)[0],
        "validation_accuracy": slow(model, given.validation)[0],
        "bystander_accuracy": slow(model, given.test, keep=lambda y: y != 2)[0],
        "forget_loss": forget_loss,
        "retain_loss": retain_loss,
    }
    assert numbers == pytest.approx(expected)
    assert 0 < expected["bystander_accuracy"] < 1


def test_what_there_is_none_of():
    given = material(forget=examples(20, 1, [0, 1, 2]))
    numbers = Scorer(given)(network(), torch.arange(20))
    assert numbers["bystander_accuracy"] is None  # every class has forget examples
    assert numbers["validation_accuracy"] is None


def test_a_model_that_has_diverged(score):
    model = network()
    nn.init.constant_(model[2].bias, torch.nan)
    assert set(score(model, torch.arange(20)).values()) == {None}


def test_the_mode_is_restored_and_eval_is_what_counts(score):
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(6, 8), nn.Dropout(0.9), nn.Linear(8, 3)).train()
    numbers = score(model, torch.arange(20))
    assert model[1].training
    assert numbers == score(model.eval(), torch.arange(20))


def test_examples_come_a_few_at_a_time_in_their_order():
    part = examples(2500, 0)
    sizes = [len(y) for _, y in batches(part, torch.arange(2500).flip(0), "classifier")]
    assert sizes == [CHUNK["classifier"], CHUNK["classifier"], 452]
    first = next(batches(part, torch.tensor([7, 3]), "classifier"))
    assert torch.equal(first[1], part.batch(torch.tensor([7, 3]))[1])
