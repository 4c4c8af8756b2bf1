"""What a model writes: overlap with the true answer, and how repetitive it is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from math import log2
from typing import Literal

from ungrok.core.errors import NotApplicable


def rouge_recall(
    generated: Sequence[str], references: Sequence[str], kind: Literal["rouge1", "rougeL"] = "rougeL"
) -> list[float]:
    """Return the share of each reference's words that were generated, in [0, 1].

    ``rougeL`` counts the words of the longest common subsequence, ``rouge1`` words in any order.

    By the package rouge-score with stemming, as locuslab/tofu does.

    Raises:
        NotApplicable: If rouge-score is not installed.

    """
    try:
        from rouge_score.rouge_scorer import RougeScorer
    except ImportError:
        raise NotApplicable("ROUGE: needs rouge-score; install ungrok[text]") from None
    scorer = RougeScorer([kind], use_stemmer=True)
    pairs = zip(generated, references, strict=True)
    return [float(scorer.score(reference, text)[kind].recall) for text, reference in pairs]


def fluency(text: str) -> float:
    """Return the n-gram entropy of a text in bits: ``⅓·H(bigrams) + ⅔·H(trigrams)`` over words; repetition lowers it, 0 is least.

    Zhang et al. 2018 (arXiv 1809.05972); weights as in Meng et al. 2022 (2202.05262, "fluency").
    """
    words = text.split()
    return sum(
        weight * _entropy(list(zip(*(words[i:] for i in range(n)), strict=False)))
        for n, weight in ((2, 1 / 3), (3, 2 / 3))
    )


def _entropy(grams: Sequence[tuple[str, ...]]) -> float:
    total = len(grams)
    return -sum(count / total * log2(count / total) for count in Counter(grams).values()) + 0.0
