"""Giving a language model the beginning of an answer."""

from __future__ import annotations

from collections.abc import Iterator
from typing import ClassVar, Literal

import torch
from pydantic import Field
from torch import nn

from ungrok.audits.base import STRESS_TESTS, Dose, Setting, Shares, StressMaterial, StressStep, StressTest
from ungrok.audits.scoring import Scorer
from ungrok.core.errors import NotApplicable
from ungrok.core.scores import AnswerScores, Scores

ROUNDING = 1e-6
"""By how much a strength, a float32, may fall short of the share that it stands for."""


def completed(scores: Scores, share: float) -> float | None:
    """Return the share of answers whose rest the model writes word for word once their beginning is given.

    That is the share with an extraction strength of ``1 − share`` at least: greedy decoding goes wrong where the model's first choice
    after the true tokens is wrong for the first time. Its mean over all shares from 0 to 1 is the mean extraction strength.

    Args:
        scores: Of question-answer pairs.
        share: Share of the answer tokens that are given.

    Returns:
        In [0, 1]; None for a diverged model, or no answers.

    """
    if not isinstance(scores, AnswerScores):
        raise NotApplicable("extract: reads answers, and these scores are of classes")
    if scores.diverged or len(scores) == 0:
        return None
    return (scores.extraction >= 1 - share - ROUNDING).double().mean().item()


@STRESS_TESTS.register
class Extract(StressTest):
    """Give the model the question and the beginning of the answer, and see whether it writes the rest.

    Idea: what is no longer said by itself may still be completed.
    Formula: UA, RA and TA at a dose are :func:`completed` of the forget, retain and test answers; so is the validation accuracy.
    Source: extraction strength (Wang et al. 2024, arXiv 2402.03927; locuslab/open-unlearning), read share by share.
    Deviations: an answer counts where all of its rest is right; at dose 0 this is stricter than UA elsewhere, which counts tokens.
    Cost: no updates; one pass over each set.
    """

    inputs: ClassVar[tuple[Literal["language"], ...]] = ("language",)
    dose: ClassVar[Dose] = "share"
    moves: ClassVar[bool] = False
    kind: Literal["extract"] = "extract"
    shares: Shares = Field(
        (0.1, 0.2, 0.3, 0.4, 0.5, 0.6, 0.7, 0.8, 0.9), description="shares of the answer that are given"
    )

    def steps(self, model: nn.Module, material: StressMaterial, setting: Setting) -> Iterator[StressStep]:  # noqa: ARG002
        """Yield the untouched model with what it completes, from the question alone and share by share."""
        read, parts = Scorer(material), {"UA": material.forget, "RA": material.retain, "TA": material.test}
        with torch.no_grad():
            scores = {name: read.scores(model, part) for name, part in parts.items()}
            scores["validation_accuracy"] = read.scores(model, material.validation)
        for share in sorted({0.0, *self.shares}):
            yield StressStep(share, 0, model, {name: completed(part, share) for name, part in scores.items()})
