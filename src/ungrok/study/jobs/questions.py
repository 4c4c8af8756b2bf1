"""TOFU's questions, put to a language model at the end of a path."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from torch import nn

from ungrok.core.causal_lm import CausalLM
from ungrok.core.files import read_json, write_json
from ungrok.core.schema import Schema
from ungrok.core.seeds import generator
from ungrok.data.answers import AnswerData, Questions
from ungrok.data.forget import ForgetSplit
from ungrok.data.tokens import EVALUATION_BATCH
from ungrok.evaluate.generations import rouge_recall
from ungrok.evaluate.leakage import LOSSES, MinK, attacks, token_statistics
from ungrok.evaluate.tofu import FILES
from ungrok.study.jobs.blocks import Asked
from ungrok.study.jobs.trained import TrainSpec
from ungrok.train.answers import generate

LOGS = "logs.json"


class AttackFigures(Schema):
    """The outcome of one attack; see :class:`ungrok.evaluate.roc.AttackOutcome`."""

    auc: float
    low: float
    high: float
    tpr_at_0_01: float | None
    tpr_at_0_001: float | None
    members: int
    non_members: int


Attacks = dict[str, AttackFigures]


def question(model: nn.Module, training: TrainSpec, split: ForgetSplit, asked: Asked, folder: Path) -> Attacks:
    """Put TOFU's questions to a model, write the logs in the form of its public code, and return the attacks' outcomes.

    Args:
        model: On its device; its mode is restored.
        training: Its problem and objective are those of the model.
        split: What is forgotten and retained.
        asked: How many questions, how long the answers, and the seed of the draw.
        folder: Where ``logs.json`` goes.

    Returns:
        By attack; none where the problem holds no pairs that were never trained on.

    """
    data = training.data().pairs()
    objective = data.objective(training.trajectory.loss)
    sets = {name: probe for name, probe in data.probes.items() if name != "train"}
    if "train" in data.probes:
        sets |= _of_train(data.probes["train"], split, asked)
    device = next(model.parameters()).device
    logs = {FILES[name]: _log(model, probe, data, objective, asked.new_tokens, device) for name, probe in sets.items()}
    if data.held_out is None:
        write_json(folder / LOGS, logs)
        return {}
    inside, outside = (
        token_statistics(model, part.to(device).by_length(EVALUATION_BATCH), objective, data.tokenizer)
        for part in (data.train.of(split.forget), data.held_out)
    )
    losses = {
        LOSSES[name]: {"avg_loss": _column(side.losses())} for name, side in (("forget", inside), ("held_out", outside))
    }
    write_json(folder / LOGS, logs | losses)
    outcomes = attacks(inside, outside, MinK(asked.share, asked.rounding, asked.last_token))
    return {name: AttackFigures.model_validate(outcome.to_dict()) for name, outcome in outcomes.items()}


def logs_of(folder: Path) -> Any:
    """Return the logs that :func:`question` wrote to a job's folder; None where it asked nothing."""
    return read_json(folder / LOGS) if (folder / LOGS).exists() else None


def _of_train(probe: Questions, split: ForgetSplit, asked: Asked) -> dict[str, Questions]:
    """Return all forget questions, and a draw of the retained ones, as far as they have wrong answers."""
    forget = torch.isin(probe.rows, split.forget).nonzero().squeeze(1)
    kept = torch.isin(probe.rows, split.retain).nonzero().squeeze(1)
    draw = generator(asked.seed, "retained questions")
    kept = kept[torch.randperm(len(kept), generator=draw)[: asked.retain]].sort().values
    return {name: probe.of(index) for name, index in (("forget", forget), ("retain", kept)) if len(index)}


def _log(
    model: nn.Module, probe: Questions, data: AnswerData, objective: CausalLM, new_tokens: int, device: torch.device
) -> dict[str, dict[str, Any]]:
    losses = {
        name: part.to(device).score(model, objective).losses.tolist()
        for name, part in (("asked", probe.asked), ("paraphrased", probe.paraphrased), ("perturbed", probe.perturbed))
    }
    written = generate(model, probe.asked.to(device), data.tokenizer, new_tokens)
    truth = probe.asked.answers(data.tokenizer)
    wrong = [losses["perturbed"][i * probe.wrong : (i + 1) * probe.wrong] for i in range(len(truth))]
    columns = {
        "avg_gt_loss": losses["asked"],
        "avg_paraphrased_loss": losses["paraphrased"],
        "average_perturb_loss": wrong,
        "rougeL_recall": rouge_recall(written, truth),
        "rouge1_recall": rouge_recall(written, truth, "rouge1"),
        "generated_text": [[text, reference] for text, reference in zip(written, truth, strict=True)],
    }
    return {name: _column(values) for name, values in columns.items()}


def _column(values: Sequence[Any]) -> dict[str, Any]:
    return {str(i): value for i, value in enumerate(values)}
