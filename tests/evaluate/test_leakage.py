"""Token statistics and attacks against loops; privacy leakage by its formula."""

import math
import zlib
from types import SimpleNamespace

import pytest
import torch
from torch import nn

from ungrok.core.causal_lm import CausalLM
from ungrok.evaluate.leakage import (
    MinK,
    TokenStatistics,
    attacks,
    batch_statistics,
    compressed_sizes,
    min_k,
    privleak,
    reference_attack,
    token_statistics,
)

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


@pytest.mark.parametrize(
    ("how", "value"),
    [
        (MinK(0.2, "up", True), -5),
        (MinK(0.4, "up", True), -4.5),
        (MinK(0.41, "up", True), -4),
        (MinK(0.59, "down", True), -4.5),
        (MinK(1.0, "up", True), -3),
        (MinK(0.01, "down", True), -5),
        (MinK(0.5, "down", False), -4.5),
        (MinK(1.0, "down", False), -3.5),
    ],
)
def test_min_k_is_the_mean_of_the_lowest(how, value):
    """Of five, or of the four before the last; the last of these is -2."""
    assert min_k(torch.tensor([-4.0, -5.0, -3.0, -2.0, -1.0]), how) == value


def public(tokens, k=0.4):
    """Return what locuslab/open-unlearning's attack gives, with its sign turned: the last token is left out before it."""
    seen = sorted(tokens[:-1])
    return sum(seen[: max(1, int(len(seen) * k))]) / max(1, int(len(seen) * k))


@pytest.mark.parametrize("length", [2, 3, 4, 6, 7, 11, 30])
def test_by_default_min_k_is_that_of_the_public_code(length):
    tokens = torch.randn(length, generator=torch.Generator().manual_seed(length))
    assert min_k(tokens) == pytest.approx(public(tokens.tolist()))


def test_an_only_token_counts():
    assert min_k(torch.tensor([-2.0])) == -2


def test_attacks_of_members_that_are_always_likelier():
    members = TokenStatistics([torch.tensor([-0.1, -0.2])] * 6, [torch.tensor([0.5])] * 6)
    others = TokenStatistics([torch.tensor([-1.0, -2.0])] * 8, [torch.tensor([0.1])] * 8)
    assert {name: attack.auc for name, attack in attacks(members, others).items()} == {
        "loss": 1,
        "min_k": 1,
        "min_k_plus_plus": 1,
    }  # without sizes and a reference
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


def test_two_fifths_of_the_tokens_count_unless_told_otherwise():
    """Four tokens of ten before the last: the lowest alone, and the mean of all, say the opposite."""
    assert min_k(torch.arange(11.0)) == 1.5
    members, others = (torch.tensor([*tokens, -9.0]) for tokens in ([0.0] + [3.0] * 9, [1.0] * 4 + [9.0] * 6))
    sides = [TokenStatistics([tokens] * 3, [tokens] * 3) for tokens in (members, others)]
    for name in ("min_k", "min_k_plus_plus"):
        assert [attacks(*sides, how)[name].auc for how in (MinK(), MinK(0.1), MinK(1.0))] == [1, 0, 0]


class Words:
    """Decodes tokens to words; token 0 is special."""

    def decode(self, tokens, skip_special_tokens):
        assert skip_special_tokens
        return " ".join(("", "é", "bb")[token] for token in tokens if token)


def test_sizes_are_bytes_of_compressed_answers():
    labels = torch.tensor([[-100, 1, 2, 0], [-100, -100, 2, 0]])
    assert compressed_sizes(labels, Words()) == [len(zlib.compress(text.encode())) for text in ("é bb", "bb")]


def statistics(losses, sizes=()):
    return TokenStatistics([torch.tensor([-loss]) for loss in losses], [torch.zeros(1)] * len(losses), list(sizes))


def test_a_compressed_length_divides_the_loss():
    """By loss alone members and others are in the wrong order; per byte in the right one."""
    members, others = statistics([2.0, 2.0], [40, 40]), statistics([1.0, 1.0], [10, 10])
    outcomes = attacks(members, others)
    assert (outcomes["loss"].auc, outcomes["zlib"].auc) == (0, 1)
    assert "zlib" not in attacks(statistics([2.0, 2.0]), others)


def test_a_reference_model_takes_away_what_is_hard_for_anybody():
    members, others = statistics([2.0, 3.0]), statistics([1.0, 0.5])
    reference = statistics([4.0, 3.5]), statistics([1.0, 1.25])
    outcomes = attacks(members, others, reference=reference)
    assert outcomes["loss"].auc == 0
    assert outcomes["reference"].auc == 0.75  # 2 and 0.5 below the reference, against 0 and 0.75
    same = reference_attack(*[{"forget": [1.0, 2.0], "held_out": [3.0, 1.0]}] * 2)
    assert same.auc == 0.5
