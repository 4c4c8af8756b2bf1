"""Schemes that prepare during training: who reads what and when, and several models as one."""

from itertools import pairwise

import numpy as np
import pytest
import torch
from torch import nn

from ungrok.audits import shards_hit, share_retrained
from ungrok.core.errors import RecipeError
from ungrok.train.schemes import SISA, Ensemble


@pytest.mark.parametrize(("shards", "slices", "examples"), [(1, 1, 7), (3, 2, 20), (4, 3, 12), (5, 1, 23)])
def test_every_example_is_in_one_shard_and_enters_with_one_slice(shards, slices, examples):
    members = SISA(shards=shards, slices=slices).members(examples, 6000, seed=3)
    assert len(members) == shards
    everything = torch.cat([parts[-1].examples for parts in members])
    assert sorted(everything.tolist()) == list(range(examples))
    sizes = [len(parts[-1].examples) for parts in members]
    assert max(sizes) - min(sizes) <= 1
    for parts in members:
        reads, total = [set(part.examples.tolist()) for part in parts], slices * (slices + 1) / 2
        assert [len(part.examples) for part in parts] == sorted({len(read) for read in reads})
        assert all(earlier < later for earlier, later in pairwise(reads))
        assert parts[-1].until == round(6000 * len(reads[-1]) / examples)
        made = np.diff([0, *(part.until for part in parts)])
        np.testing.assert_allclose(made, [parts[-1].until * k / total for k in range(1, slices + 1)], atol=1)


def test_one_shard_of_one_slice_is_training_as_ever():
    ((part,),) = SISA(shards=1).members(9, 100, seed=1)
    assert part.examples.tolist() == list(range(9))
    assert part.until == 100


def test_shards_are_hit_as_often_as_the_closed_form_says():
    scheme, examples, requests, draw = SISA(shards=5, slices=4), 1000, 3, np.random.default_rng(0)
    hit, share = [], []
    for seed in range(300):
        asked = set(draw.choice(examples, requests, replace=False).tolist())
        members = scheme.members(examples, 10_000, seed)
        touched = [[bool(asked & {*part.examples.tolist()}) for part in parts] for parts in members]
        hit.append(sum(map(any, touched)))
        made = [np.diff([0, *(part.until for part in parts)]) for parts in members]
        share.append(sum(own[np.array(flags)].sum() for own, flags in zip(made, touched, strict=True)) / 10_000)
    assert abs(np.mean(hit) - shards_hit(5, requests)) < 4 * np.std(hit) / 300**0.5
    assert abs(np.mean(share) - share_retrained(5, 4, requests)) < 4 * np.std(share) / 300**0.5 + 0.002


@pytest.mark.parametrize(
    ("settings", "examples", "steps", "message"),
    [
        ({"shards": 4, "slices": 3}, 11, 1000, "schemes: sisa: 4 shards of 3 slices of 11 training examples"),
        ({"shards": 2, "slices": 3, "name": "mine"}, 100, 10, "schemes: mine: 5 updates for a shard of 3 slices; allowed: at least 6"),
    ],
)  # fmt: skip
def test_what_is_too_small(settings, examples, steps, message):
    with pytest.raises(RecipeError, match=message):
        SISA(**settings).members(examples, steps, 0)


class Constant(nn.Module):
    """Gives the same outputs for every input."""

    def __init__(self, *outputs):
        super().__init__()
        self.outputs = nn.Parameter(torch.tensor(outputs))

    def forward(self, inputs):
        return self.outputs.expand(len(inputs), -1)


def of_probabilities(*p):
    return Constant(*torch.tensor(p).log().tolist())


MODELS = (of_probabilities(0.9, 0.05, 0.05), of_probabilities(0.1, 0.5, 0.4), of_probabilities(0.2, 0.45, 0.35))


def test_the_mean_and_the_vote():
    inputs = torch.zeros(2, 1)
    mean = SISA(combine="mean").combined(MODELS, values=False)(inputs)
    torch.testing.assert_close(mean.exp()[1], torch.tensor([1.2, 1.0, 0.8]) / 3)
    assert mean.argmax(1).tolist() == [0, 0]
    vote = SISA(combine="vote").combined(MODELS, values=False)(inputs)
    torch.testing.assert_close(vote.exp()[0], (torch.tensor([1.0, 2.0, 0.0]) + torch.tensor([1.2, 1.0, 0.8]) / 3) / 4)
    assert vote.argmax(1).tolist() == [1, 1]
    torch.testing.assert_close(vote.exp().sum(1), torch.ones(2))


def test_the_mean_decides_between_equally_many_votes():
    two = (of_probabilities(0.6, 0.4, 0.0001), of_probabilities(0.1, 0.9, 0.0001))
    assert Ensemble(two, vote=True)(torch.zeros(1, 1)).argmax(1).tolist() == [1]


def test_outputs_that_are_no_logits_are_averaged_as_they_are():
    two = Constant(1.0, -0.5), Constant(0.0, 0.5)
    assert Ensemble(two, values=True)(torch.zeros(1, 1)).tolist() == [[0.5, 0.0]]
    voted = Ensemble(two, vote=True, values=True)(torch.zeros(1, 1))
    torch.testing.assert_close(voted, torch.tensor([[1.5 / 3, 1 / 3]]))


def test_one_model_is_itself_and_one_that_is_sure_stays_finite():
    model = nn.Linear(1, 3)
    inputs = torch.randn(4, 1)
    assert torch.equal(Ensemble([model], vote=True)(inputs), model(inputs))
    assert torch.isfinite(Ensemble([Constant(500.0, -500.0)] * 2)(inputs)).all()
