"""ROUGE recall and fluency by hand."""

import math

import pytest

from ungrok.evaluate.generations import fluency, rouge_recall


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
def test_rouge_recall(text, reference, recall):
    assert rouge_recall([text], [reference]) == [pytest.approx(recall)]


@pytest.mark.parametrize(
    ("text", "recall"), [("sat the cat", 1), ("cat cat cat", 1 / 3), ("the the dog", 1 / 3), ("", 0)]
)
def test_rouge_1_counts_words_in_any_order(text, recall):
    """Each word of the reference at most as often as it was generated."""
    assert rouge_recall([text], ["the cat sat"], "rouge1") == [pytest.approx(recall)]


def test_fluency_by_hand():
    """Bigrams ab ba ab ba: one bit; trigrams aba bab aba: H(2/3)."""
    third = -(2 / 3 * math.log2(2 / 3) + 1 / 3 * math.log2(1 / 3))
    assert fluency("a b a b a") == pytest.approx(1 / 3 + 2 / 3 * third)
    assert fluency("a a a a a a") == 0
    assert fluency("a b c d e") == pytest.approx(2 / 3 + 2 / 3 * math.log2(3))
    assert fluency("") == fluency("one") == 0


def test_no_entropy_is_zero_and_not_minus_zero():
    assert math.copysign(1, fluency("a a a a")) == math.copysign(1, fluency("")) == 1
