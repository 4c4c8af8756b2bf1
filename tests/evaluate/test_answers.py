"""Leakage and generations against loops and closed forms."""

import math
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.core.causal_lm import CausalLM
from ungrok.evaluate.generations import fluency, rouge_l_recall
from ungrok.evaluate.leakage import TokenStatistics, attacks, min_k, privleak, token_statistics

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


@pytest.mark.parametrize(
    ("text", "reference", "recall"),
    [
        ("the cat sat", "the cat sat", 1),
        ("a cat lay", "the cat sat", 1 / 3),
        ("sat the cat", "the cat sat", 2 / 3),
        ("", "the cat sat", 0),
        ("the the cat and sat down", "the cat sat", 1),
        ("He was writing", "he writes", 1),
    ],
)
def test_rouge_l_recall(text, reference, recall):
    assert rouge_l_recall([text], [reference]) == [pytest.approx(recall)]


def test_fluency_by_hand():
    """Bigrams ab ba ab ba: one bit; trigrams aba bab aba: H(2/3)."""
    third = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    assert fluency("a b a b a") == pytest.approx(1 / 3 + 2 / 3 * third)
    assert fluency("a a a a a a") == 0
    assert fluency("a b c d e") == pytest.approx(2 / 3 + 2 / 3 * math.log2(3))
    assert fluency("") == fluency("one") == 0
