"""What a language model completes from the beginning of an answer."""

import pytest
import torch

from ungrok.audits import Scorer, Setting, StressMaterial, attacked
from ungrok.audits.collected import Collected
from ungrok.audits.extract import Extract, completed
from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import NotApplicable
from ungrok.core.scores import AnswerScores, ClassScores


def answers(*strengths):
    values = torch.tensor(strengths)
    return AnswerScores(torch.zeros(len(values)), values, values, torch.full((len(values),), 10))


def test_by_hand():
    scores = answers(0.0, 0.3, 0.7, 1.0)
    assert [completed(scores, share) for share in (0, 0.3, 0.5, 0.7, 0.9)] == [0.25, 0.5, 0.5, 0.75, 0.75]
    assert completed(answers(), 0.5) is None


def test_its_mean_over_shares_is_the_extraction_strength():
    strengths = torch.rand(50, generator=torch.Generator().manual_seed(0)).mul(10).floor().div(10).tolist()
    scores = answers(*strengths)
    shares = [(k + 0.5) / 1000 for k in range(1000)]
    assert sum(completed(scores, share) for share in shares) / 1000 == pytest.approx(
        scores.extraction_strength, abs=1e-3
    )


def test_a_diverged_model_completes_nothing_that_can_be_said():
    nan = torch.tensor([0.5, float("nan")])
    assert completed(AnswerScores(nan, nan, nan, torch.tensor([4, 4])), 0.5) is None


def test_classes_have_no_beginning():
    none = torch.zeros(0, dtype=torch.int64)
    with pytest.raises(NotApplicable, match="extract: reads answers"):
        completed(ClassScores(torch.zeros(0), none, none), 0.5)


class Counting(torch.nn.Module):
    """Says the next number, but for one after which it always goes wrong."""

    def __init__(self, wrong):
        super().__init__()
        self.wrong, self.scale = wrong, torch.nn.Parameter(torch.ones(1))

    def forward(self, input_ids, attention_mask):
        following = torch.where(input_ids == self.wrong, 0, input_ids + 1)
        return self.scale * torch.nn.functional.one_hot(following, 12).float()


def text(*starts):
    ids = torch.stack([torch.arange(start, start + 6) for start in starts])
    labels = ids.clone()
    labels[:, 0] = -100  # five answer tokens after one of the question
    return Collected([{"input_ids": ids, "attention_mask": torch.ones_like(ids), "labels": labels}], CausalLM())


def greedy(model, start, given):
    """Return whether greedy decoding writes the rest of an answer, of which some tokens are given, token by token."""
    answer = list(range(start + 1, start + 6))
    said = [start, *answer[:given]]
    while len(said) < 6:
        said.append(int(model(torch.tensor([said]), None)[0, -1].argmax()))
    return said[1:] == answer


@pytest.mark.parametrize("wrong", [1, 3, 5, 11])
def test_it_is_what_greedy_decoding_writes(wrong):
    model, starts = Counting(wrong), (0, 2, 4)
    given = StressMaterial(CausalLM(), forget=text(*starts), retain=text(1), test=text(5))
    rows = attacked(Extract(shares=(0.2, 0.4, 0.6, 0.8)), model, given, Scorer(given))
    assert [row["dose"] for row in rows] == [0, 0.2, 0.4, 0.6, 0.8]
    for tokens, row in enumerate(rows):
        assert row["UA"] == pytest.approx(sum(greedy(model, start, tokens) for start in starts) / 3)
        assert row["RA"] == greedy(model, 1, tokens)
        assert row["TA"] == greedy(model, 5, tokens)
    assert rows[0]["validation_accuracy"] is None
    assert rows[0]["bystander_accuracy"] is None


def test_the_model_runs_as_often_whatever_the_number_of_shares():
    calls = []

    class Counted(Counting):
        def forward(self, input_ids, attention_mask):
            calls.append(len(input_ids))
            return super().forward(input_ids, attention_mask)

    given = StressMaterial(CausalLM(), forget=text(0, 2), retain=text(1), test=text(5))
    numbers = []
    for shares in ((0.5,), (0.2, 0.4, 0.6, 0.8)):
        calls.clear()
        path = attacked(Extract(shares=shares), Counted(3), given, Scorer(given))
        numbers.append((len(path), len(calls)))
    assert numbers[0][1] == numbers[1][1]
    assert [number for number, _ in numbers] == [2, 5]
    assert Extract().settings() == (Setting(),)
