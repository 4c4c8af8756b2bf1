"""Measure models of which it is known what they know, and print the table of values in docs/language.md.

python tools/language_metrics.py [uniform broken untrained ...]

The models are small Llamas on 4 fictitious authors, of whom the last is to be forgotten. A minute and a half on one CPU core.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from ungrok.core.causal_lm import CausalLM
from ungrok.core.seeds import generator
from ungrok.data.answers import AnswerData
from ungrok.data.forget import ForgetSplit
from ungrok.data.tokens import TokenSplit
from ungrok.evaluate.answers import Questioned, answer_accuracies, beside, memorization, said
from ungrok.study.jobs import Train
from ungrok.study.jobs.blocks import Asked
from ungrok.study.jobs.questions import logs_of, question
from ungrok.study.jobs.trained import TrainSpec, fresh_model, split_of
from ungrok.study.loading import load
from ungrok.study.plan import make_plan

SETTINGS = (
    "problem={kind: authors, authors: 4, known: 3, held_out: 2, vocabulary: 512}",
    "model={kind: llama, width: 64, layers: 2, heads: 4, hidden: 128}",
    "seeds=[0]",
    "probe={retain: 20, new_tokens: 24}",
)
ASKED = Asked(retain=20, new_tokens=24, seed=0)
FORGET = 20
"""The last pairs, those of one author."""
UPDATES = 300

MODELS = {
    "uniform": "every token alike",
    "broken": "always the same word",
    "untrained": "random weights",
    "memorized": "trained until it knows every pair by heart",
    "reworded": "trained on every pair in both wordings",
    "oracle": "memorized, but for the forget pairs",
}
ROWS = (
    "ES_forget", "ES_retain", "extraction_forget", "extraction_retain", "UA", "RA", "probability_forget", "ROUGE_forget", "ROUGE1_forget",
    "truth_ratio_forget", "R_forget", "forget_quality", "forget_ks", "utility", "loss_auc", "zlib_auc", "reference_auc", "min_k_auc",
    "min_k_plus_plus_auc", "privleak", "fluency_forget",
)  # fmt: skip


@dataclass(frozen=True)
class Bench:
    """What all models are measured on.

    Args:
        training: Problem and model.
        data: The splits.
        split: What is to be forgotten, and what is kept.

    """

    training: TrainSpec
    data: AnswerData
    split: ForgetSplit

    @classmethod
    def make(cls) -> Bench:
        """Return the bench."""
        plan = make_plan(load("tofu-tiny", SETTINGS))
        training = plan.job(plan.trajectories["base", 0], Train).spec
        data = training.data().pairs()
        count = len(data.train)
        return cls(training, data, split_of(list(range(count - FORGET, count)), data))

    def model(self, name: str) -> nn.Module:
        """Return one of :data:`MODELS`."""
        model = fresh_model(self.training, 0)
        data, train = self.data, self.data.train
        assert data.base is not None
        if name in ("uniform", "broken"):
            model.lm_head = Constant(len(data.tokenizer), None if name == "uniform" else commonest(data))
        elif name == "oracle":
            learn(model, [train.of(self.split.retain), data.base])
        elif name != "untrained":
            probe = data.probes["train"]
            learn(model, [train, data.base, *([data.validation, probe.paraphrased] if name == "reworded" else [])])
        return model

    def questioned(self, model: nn.Module) -> Questioned:
        """Return what a model answers, and the attacks on it."""
        with tempfile.TemporaryDirectory() as folder:
            attacks = question(model, self.training, self.split, ASKED, Path(folder))
            return Questioned(logs_of(Path(folder)), {name: attack.to_dict() for name, attack in attacks.items()})

    def row(self, model: nn.Module, asked: Questioned, oracle: Questioned | None) -> dict[str, Any]:
        """Return every metric of a model; those that compare it with the oracle only where that is given."""
        data, objective = self.data, CausalLM(self.data.train.eos)
        train, test = (split.score(model, objective) for split in (data.train, data.test))
        sides = {"forget": self.split.forget, "retain": self.split.retain}
        row: dict[str, Any] = answer_accuracies(train, train, test, **sides).to_dict() | memorization(train, **sides)
        row |= said(asked.logs, "") | {f"{name}_auc": attack["auc"] for name, attack in asked.attacks.items()}
        return row | (beside(asked, oracle) if oracle else {})


class Constant(nn.Module):
    """Logits that no input changes: all alike, or one token for certain."""

    def __init__(self, vocabulary: int, token: int | None) -> None:
        super().__init__()
        logits = torch.zeros(vocabulary)
        if token is not None:
            logits[token] = 30.0
        self.logits = nn.Parameter(logits)

    def forward(self, states: Tensor) -> Tensor:
        """Return the logits at every place, shape (..., vocabulary)."""
        return self.logits.expand(*states.shape[:-1], -1)


def commonest(data: AnswerData) -> int:
    """Return the token that answers hold most often, apart from those that end sentences."""
    tokens = data.train.labels[data.train.labels >= 0].bincount(minlength=len(data.tokenizer))
    words = [
        token for token in tokens.argsort(descending=True).tolist() if data.tokenizer.decode([token]).strip().isalpha()
    ]
    return words[0]


def learn(model: nn.Module, splits: Sequence[TokenSplit]) -> None:
    """Train a model on random batches of 32 of each split."""
    optimizer = torch.optim.AdamW(model.parameters(), 3e-3, weight_decay=0.0)
    draw, objective = generator(0, "batches"), CausalLM(splits[0].eos)
    model.train()
    for update in range(UPDATES):
        for group in optimizer.param_groups:
            group["lr"] = 3e-3 * min(1.0, 2 * (1 - update / UPDATES))
        optimizer.zero_grad()
        for split in splits:
            batch = split.batch(torch.randperm(len(split), generator=draw)[:32])
            objective.mean(objective.losses(objective.logits(model, batch), batch), batch).backward()
        optimizer.step()


def measured(names: Sequence[str]) -> dict[str, dict[str, Any]]:
    """Return the metrics of the models by name; those that need the oracle only where it is among them."""
    bench = Bench.make()
    models = {name: bench.model(name) for name in names}
    asked = {name: bench.questioned(model) for name, model in models.items()}
    oracle = asked.get("oracle")
    return {name: bench.row(model, asked[name], oracle) for name, model in models.items()}


def text(row: Mapping[str, Any], name: str) -> str:
    """Return a metric as the table has it."""
    value = row.get(name)
    if value is None:
        return "-"
    if value != 0 and abs(value) < 0.005:
        return f"{value:.1g}"
    return f"{value:.0f}" if name == "privleak" else f"{value:.2f}"


def table(rows: Mapping[str, Mapping[str, Any]]) -> str:
    """Return the rows as a Markdown table, one column a model."""
    lines = [f"| metric | {' | '.join(rows)} |", f"|---{'|---' * len(rows)}|"]
    lines += [f"| `{name}` | {' | '.join(text(row, name) for row in rows.values())} |" for name in ROWS]
    return "\n".join(lines)


if __name__ == "__main__":
    torch.set_num_threads(1)
    print(table(measured(sys.argv[1:] or list(MODELS))))
