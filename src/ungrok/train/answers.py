"""Answers that a language model writes, and the losses of its single examples along a trajectory."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from ungrok.core.causal_lm import IGNORED
from ungrok.core.files import load_tensors
from ungrok.core.scores import evaluating
from ungrok.data.answers import AnswerData
from ungrok.data.history import LossHistory
from ungrok.data.tokens import TokenSplit
from ungrok.train.record import EXAMPLES
from ungrok.train.trajectory import Trajectory

GENERATION_BATCH = 64
"""Prompts of like length that are answered together."""


@torch.no_grad()
def generate(model: nn.Module, split: TokenSplit, tokenizer: Any, new_tokens: int) -> list[str]:
    """Return what a model answers to each question by greedy decoding with the key-value cache, in the split's order.

    Args:
        model: A causal language model of transformers, on the split's device; in eval mode while it writes.
        split: Its prompts are read, its answers are not.
        tokenizer: Turns tokens into text.
        new_tokens: Tokens after which an answer is cut.

    """
    written: list[str] = [""] * len(split)
    order = (split.lengths - split.labels.ne(IGNORED).sum(dim=1)).argsort(stable=True)
    options = {"max_new_tokens": new_tokens, "do_sample": False, "use_cache": True}
    with evaluating(model):
        for index in order.split(GENERATION_BATCH):
            prompt = split.prompts(index)
            tokens = model.generate(**prompt, **options, pad_token_id=split.pad, eos_token_id=split.eos)  # type: ignore[operator]
            texts = tokenizer.batch_decode(tokens[:, prompt["input_ids"].shape[1] :], skip_special_tokens=True)
            for place, text in zip(index.tolist(), texts, strict=True):
                written[place] = text.strip()
    return written


def loss_history(trajectory: Trajectory, data: AnswerData, per_epoch: int) -> LossHistory:
    """Return the losses of single examples along a finished trajectory.

    Args:
        trajectory: Of a run on all of ``data``.
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
