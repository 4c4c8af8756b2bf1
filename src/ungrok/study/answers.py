"""What jobs on language models do beside those on classifiers: groups of local grokking, and questions put to a model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, get_args

import torch
from torch import Tensor, nn

from ungrok.core.causal_lm import CausalLM
from ungrok.core.errors import UngrokError
from ungrok.core.files import read_json, write_json
from ungrok.core.objective import Objective
from ungrok.core.scores import AnswerScores
from ungrok.core.seeds import generator
from ungrok.data.answers import AnswerData, Questions
from ungrok.data.forget import ForgetRule, ForgetSplit
from ungrok.data.local import LocalGrokking, Name, difficulty, eligible
from ungrok.data.tokens import EVALUATION_BATCH, TokenSplit
from ungrok.evaluate.generations import fluency, rouge_l_recall
from ungrok.evaluate.leakage import TokenStatistics, attacks, privleak, token_statistics
from ungrok.evaluate.tofu import FILES, UTILITY, column, forget_quality, forget_ratios, model_utility
from ungrok.study.store import Finished
from ungrok.train import Trajectory
from ungrok.train.answers import generate, look, loss_history

LOGS = "logs.json"
HARDNESS = ("question_length", "answer_length", "base_loss")


def make_split(rule: ForgetRule, data: AnswerData, trajectory: Trajectory, per_epoch: int, seed: int) -> dict[str, Any]:
    """Return the forget indices of a rule that looks at a trajectory, the sizes of the groups, and how hard their members are.

    Raises:
        UngrokError: If the trajectory has diverged, or a group is too small.

    """
    if trajectory.status == "diverged":
        raise UngrokError(f"training diverged at step {trajectory.steps}, so that nothing can be said of its examples")
    history = loss_history(trajectory, data, per_epoch)
    seen = replace(data, history=history)
    forget = rule.split(seen, seed).forget.tolist()
    assert isinstance(rule, LocalGrokking)
    groups = eligible(seen, rule.using)
    hard = difficulty(seen)
    columns = {name: getattr(hard, name) for name in HARDNESS} | {"final_loss": history.own[-1]}
    rules = {name: rule.using.model_copy(update={"rule": name, "by": "absolute"}) for name in get_args(Name)}
    found = {name: eligible(seen, other) for name, other in rules.items()} | {"used": groups}
    return {
        "forget": forget,
        "group": rule.group,
        "matched": rule.matched,
        "examples": len(data.train),
        "sizes": {rule: {name: int(mask.sum()) for name, mask in masks.items()} for rule, masks in found.items()},
        "members": {name: [float(values[i]) for i in forget] for name, values in columns.items()},
    }


def split_of(result: dict[str, Any], data: AnswerData) -> ForgetSplit:
    """Return the forget split that a finished split job made."""
    forget = torch.tensor(result["forget"])
    mask = torch.ones(len(data.train), dtype=torch.bool)
    mask[forget] = False
    touched = data.train.targets.cpu()[forget].unique().tolist()
    return ForgetSplit(forget, mask.nonzero().squeeze(1), tuple(touched))


def with_others(data: AnswerData, index: Tensor, name: str) -> TokenSplit:
    """Return train examples that carry the other answers that a method needs."""
    other = data.others[name].of(index).to(data.train.targets.device)
    return replace(data.train.of(index), others={name: other})


def answer_tensors(places: list[dict[str, AnswerScores]]) -> dict[str, Tensor]:
    """Stack the scores along a path, float32 of shape (places, n) each."""
    return {
        f"{name}.{part}": torch.stack([getattr(place[name], part) for place in places])
        for name in places[0]
        for part in ("losses", "matches", "extraction")
    }


def question(
    model: nn.Module, data: AnswerData, objective: Objective, split: ForgetSplit, settings: dict[str, Any], folder: Path
) -> dict[str, Any]:
    """Put TOFU's questions to a model, write the logs in the form of its public code, and return the attacks' outcomes.

    Args:
        model: On its device; its mode is restored.
        data: The problem's data.
        objective: That of a language model.
        split: What is forgotten and retained.
        settings: The recipe's probe, and a seed.
        folder: Where ``logs.json`` goes.

    """
    assert isinstance(objective, CausalLM)
    sets = {name: probe for name, probe in data.probes.items() if name != "train"}
    if "train" in data.probes:
        sets |= _of_train(data.probes["train"], split, settings)
    device = next(model.parameters()).device
    logs = {
        FILES[name]: _log(model, probe, data, objective, settings["new_tokens"], device) for name, probe in sets.items()
    }
    write_json(folder / LOGS, logs)
    if data.held_out is None:
        return {"attacks": {}}
    inside, outside = (
        _statistics(model, part.to(device), objective) for part in (data.train.of(split.forget), data.held_out)
    )
    return {"attacks": {name: found.to_dict() for name, found in attacks(inside, outside, settings["share"]).items()}}


def _of_train(probe: Questions, split: ForgetSplit, settings: dict[str, Any]) -> dict[str, Questions]:
    """Return all forget questions, and a draw of the retained ones, as far as they have wrong answers."""
    forget = torch.isin(probe.rows, split.forget).nonzero().squeeze(1)
    kept = torch.isin(probe.rows, split.retain).nonzero().squeeze(1)
    draw = generator(settings["seed"], "retained questions")
    kept = kept[torch.randperm(len(kept), generator=draw)[: settings["retain"]]].sort().values
    return {name: probe.of(index) for name, index in (("forget", forget), ("retain", kept)) if len(index)}


def _log(
    model: nn.Module, probe: Questions, data: AnswerData, objective: CausalLM, new_tokens: int, device: torch.device
) -> dict[str, dict[str, Any]]:
    losses = {
        name: look(model, part.to(device), objective).losses.tolist()
        for name, part in (("asked", probe.asked), ("paraphrased", probe.paraphrased), ("perturbed", probe.perturbed))
    }
    written = generate(model, probe.asked.to(device), data.tokenizer, new_tokens)
    truth = probe.asked.answers(data.tokenizer)
    wrong = [losses["perturbed"][i * probe.wrong : (i + 1) * probe.wrong] for i in range(len(truth))]
    columns = {
        "avg_gt_loss": losses["asked"],
        "avg_paraphrased_loss": losses["paraphrased"],
        "average_perturb_loss": wrong,
        "rougeL_recall": rouge_l_recall(written, truth),
        "generated_text": [[text, reference] for text, reference in zip(written, truth, strict=True)],
    }
    return {name: {str(i): value for i, value in enumerate(values)} for name, values in columns.items()}


def _statistics(model: nn.Module, split: TokenSplit, objective: CausalLM) -> TokenStatistics:
    return token_statistics(model, split.by_length(EVALUATION_BATCH), objective)


def answer_audits(end: dict[str, Any], path: Finished, oracle: Finished | None) -> list[dict[str, Any]]:
    """Return one row on the end of a path: what its logs and attacks say, beside the oracle where there is one.

    Args:
        end: The last row of the path.
        path: The unlearn job, with its logs where it put questions.
        oracle: The oracle job, likewise.

    Returns:
        Where the path ended, UA, RA, TA and extraction strengths, and :data:`ungrok.evaluate.answers.ANSWERS`; nothing without logs.

    """
    if not (path.path / LOGS).exists():
        return []
    logs, found = read_json(path.path / LOGS), path.result["attacks"]
    row = {name: end[name] for name in ("dose", "updates", "diverged", "UA", "RA", "TA", "ES_forget", "ES_retain")}
    row |= {f"{name}_passes": end[f"{name}_passes"] for name in ("forget", "retain")}
    row |= _said(logs, "") | {f"{name}_auc": attack["auc"] for name, attack in found.items()}
    if oracle is not None and (oracle.path / LOGS).exists():
        row |= _beside(logs, found, read_json(oracle.path / LOGS), oracle.result["attacks"])
    return [row]


def _said(logs: Any, prefix: str) -> dict[str, float]:
    row = {}
    if all(FILES[name] in logs for name in UTILITY):
        row[f"{prefix}utility"] = model_utility(logs)
    for name in ("forget", "retain"):
        if FILES[name] in logs:
            texts = [text for text, _ in logs[FILES[name]]["generated_text"].values()]
            row[f"{prefix}ROUGE_{name}"] = float(column(logs, name, "rougeL_recall").mean())
            row[f"{prefix}fluency_{name}"] = sum(map(fluency, texts)) / len(texts)
    if FILES["forget"] in logs:
        row[f"{prefix}truth_ratio_forget"] = float(forget_ratios(logs).mean())
    return row


def _beside(logs: Any, found: dict[str, Any], oracle_logs: Any, reference: dict[str, Any]) -> dict[str, Any]:
    row: dict[str, Any] = dict(_said(oracle_logs, "oracle_"))
    row |= {f"oracle_{name}_auc": attack["auc"] for name, attack in reference.items()}
    if FILES["forget"] in logs:
        row["forget_quality"], row["forget_ks"] = forget_quality(logs, oracle_logs)
    if "min_k" in found:
        row["privleak"] = privleak(found["min_k"]["auc"], reference["min_k"]["auc"])
    return row
