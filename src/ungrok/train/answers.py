"""Training runs of language models: what is measured on the way, and the losses of single examples."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ungrok.core.causal_lm import IGNORED, AnswerScores, CausalLM, score_answers
from ungrok.core.files import load_tensors
from ungrok.core.scores import evaluating
from ungrok.data.answers import AnswerData
from ungrok.data.base import Data
from ungrok.data.history import LossHistory
from ungrok.data.tokens import TokenSplit
from ungrok.train.loop import EXAMPLES, Run, Training, norm_of
from ungrok.train.trajectory import Trajectory

EVALUATION_BATCH = 64
"""Examples of like length per forward pass of an evaluation."""

GENERATION_BATCH = 64
"""Prompts of like length that are answered together."""


def look(model: nn.Module, split: TokenSplit, objective: CausalLM) -> AnswerScores:
    """Score a model on a split, examples of like length together; the scores come in the split's order."""
    if len(split) == 0:
        return AnswerScores(*[torch.zeros(0)] * 3)
    batches = split.by_length(EVALUATION_BATCH)
    return score_answers(model, batches, objective).of(batches.order.cpu().argsort())


@torch.no_grad()
def generate(model: nn.Module, split: TokenSplit, tokenizer: Any, new_tokens: int) -> list[str]:
    """Return what a model answers to each question by greedy decoding with the key-value cache, in the split's order.

    Args:
        model: A causal language model of transformers, on the split's device; in eval mode while it writes.
        split: Its prompts are read, its answers are not.
        tokenizer: Turns tokens into text.
        new_tokens: Length at which an answer is cut.

    """
    written: list[str] = [""] * len(split)
    order = (split.lengths - split.labels.ne(IGNORED).sum(dim=1)).argsort(stable=True)
    options = {"max_new_tokens": new_tokens, "do_sample": False, "use_cache": True}
    with evaluating(model):
        for index in order.split(GENERATION_BATCH):
            prompt = split.prompts(index)
            found = model.generate(**prompt, **options, pad_token_id=split.pad, eos_token_id=split.eos)  # type: ignore[operator]
            texts = tokenizer.batch_decode(found[:, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
            for place, text in zip(index.tolist(), texts, strict=True):
                written[place] = text.strip()
    return written


class AnswerRun(Run):
    """A training run on question-answer pairs.

    Each measurement is one forward pass over every split. Of ``train`` and ``validation`` (the questions in other words) the
    losses of single examples are kept: what the rules of local grokking read. No gradient is computed.
    """

    def measure(self) -> dict[str, float | int | None]:
        """Return loss, accuracy (share of answer tokens predicted) and extraction strength on each split, and the weight norm."""
        assert isinstance(self.objective, CausalLM)
        row: dict[str, float | int | None] = {"step": self.step, "epoch": self.step / len(self.batches)}
        row["weight_norm"] = norm_of(self.model.parameters())
        for name in ("train", "validation", "test"):
            split = getattr(self.data, name)
            assert isinstance(split, TokenSplit)
            scores = look(self.model, split, self.objective)
            row[f"{name}_loss"], row[f"{name}_accuracy"] = scores.loss, scores.accuracy
            row[f"{name}_extraction"] = scores.extraction_strength
            if name != "test":
                self.examples[name] = scores.losses
        return row


def make_run(model: nn.Module, data: Data, training: Training, seed: int) -> Run:
    """Return the run that fits the data; arguments are those of :class:`ungrok.train.Run`."""
    return (AnswerRun if isinstance(data, AnswerData) else Run)(model, data, training, seed)


def loss_history(trajectory: Trajectory, data: AnswerData, per_epoch: int) -> LossHistory:
    """Return the losses of single examples along a finished trajectory.

    Args:
        trajectory: Of a :class:`AnswerRun` on all of ``data``.
        data: The problem's data.
        per_epoch: Updates per epoch.

    """
    tensors = load_tensors(trajectory.folder / EXAMPLES)
    own = _array(tensors["train"])
    paraphrase = np.full_like(own, np.nan)
    paraphrase[:, data.validation.index.cpu().numpy()] = _array(tensors["validation"])
    return LossHistory(trajectory.metrics["step"].to_numpy(dtype=np.int64), own, paraphrase, per_epoch)


def _array(losses: Tensor) -> np.ndarray[tuple[int, ...], np.dtype[np.float64]]:
    return losses.double().numpy()
