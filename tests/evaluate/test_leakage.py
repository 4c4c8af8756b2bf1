"""Token statistics and attacks against loops; privacy leakage by its formula."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.core.causal_lm import CausalLM
from ungrok.evaluate.leakage import TokenStatistics, attacks, batch_statistics, min_k, privleak, token_statistics

V = 6


class Bigram(nn.Module):
    def __init__(self):
        super().__init__()
        self.table = nn.Parameter(torch.randn(V, V, generator=torch.Generator().manual_seed(0)))

    def forward(self, input_ids, attention_mask):
        return SimpleNamespace(logits=self.table[input_ids])


def test_token_statistics_are_those_of_a_loop():
    batch = {
        "input_ids": torch.tensor([[1, 2, 3, 4], [5, 1, 0, 0]]),
        "attention_mask": torch.tensor([[1, 1, 1, 1], [1, 1, 0, 0]]),
        "labels": torch.tensor([[-100, -100, 3, 4], [-100, 1, -100, -100]]),
    }
    model = Bigram()
    found = token_statistics(model, [batch], CausalLM())
    for example, pairs in enumerate(([(2, 3), (3, 4)], [(5, 1)])):
        for place, (before, after) in enumerate(pairs):
            p = torch.softmax(model.table[before].double(), 0).tolist()
            mean = sum(x * math.log(x) for x in p)
            spread = math.sqrt(sum(x * (math.log(x) - mean) ** 2 for x in p))
            assert float(found.log_p[example][place]) == pytest.approx(math.log(p[after]), abs=1e-5)
            expected = (math.log(p[after]) - mean) / spread
            assert float(found.normalized[example][place]) == pytest.approx(expected, abs=1e-4)


@pytest.mark.parametrize(("share", "value"), [(0.2, -5), (0.4, -4.5), (0.41, -4), (1.0, -3), (0.01, -5)])
def test_min_k_is_the_mean_of_the_lowest(share, value):
    assert min_k(torch.tensor([-1.0, -5.0, -2.0, -4.0, -3.0]), share) == value


def test_attacks_of_members_that_are_always_likelier():
    members = TokenStatistics([torch.tensor([-0.1, -0.2])] * 6, [torch.tensor([0.5])] * 6)
    others = TokenStatistics([torch.tensor([-1.0, -2.0])] * 8, [torch.tensor([0.1])] * 8)
    assert {name: attack.auc for name, attack in attacks(members, others).items()} == {
        "loss": 1,
        "min_k": 1,
        "min_k_plus_plus": 1,
    }
    assert attacks(others, members)["min_k"].auc == 0
    assert attacks(members, members)["loss"].auc == 0.5


@pytest.mark.parametrize(
    ("auc", "oracle", "value"), [(0.5, 0.5, 0), (1, 0.5, -100), (0, 0.5, 100), (0.75, 0.5, -50), (0.5, 1, None)]
)
def test_privacy_leakage(auc, oracle, value):
    assert privleak(auc, oracle) == value


def test_tokens_of_a_uniform_prediction_are_all_alike():
    """Their log-probabilities have no spread; the normalized ones are 0, not a quotient of nothing by nothing."""
    batch = {name: torch.tensor([[1, 2, 3]]) for name in ("input_ids", "labels")} | {"attention_mask": torch.ones(1, 3)}
    (normalized,) = batch_statistics(torch.zeros(2, V), batch, CausalLM()).normalized
    assert normalized.tolist() == pytest.approx([0, 0], abs=1e-3)


def test_a_fifth_of_the_tokens_counts_unless_told_otherwise():
    """Two tokens of ten: the lowest alone, and the mean of all, say the opposite."""
    assert min_k(torch.arange(10.0)) == 0.5
    members, others = (torch.tensor(tokens) for tokens in ([0.0] + [3.0] * 9, [1.0] * 2 + [9.0] * 8))
    sides = [TokenStatistics([tokens] * 3, [tokens] * 3) for tokens in (members, others)]
    for name in ("min_k", "min_k_plus_plus"):
        assert [attacks(*sides, **share)[name].auc for share in ({}, {"share": 0.1}, {"share": 1.0})] == [1, 0, 0]
