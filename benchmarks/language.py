"""Training of the tofu-tiny model against the barest hand-written loop, in tokens per second.

python benchmarks/language.py [ROUNDS]

Both make the same 200 updates in the recipe's batch size, on one thread, in turn; the ratio is taken round by round. Tokens are those
of prompts and answers, padding not counted.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ungrok.study.loading import load
from ungrok.train.loop import Run

RECIPE = load("tofu-tiny")
TRAINING = RECIPE.trajectory
DATA = RECIPE.problem.load().pairs()


def network() -> nn.Module:
    return RECIPE.model.build(DATA.shape, DATA.outputs, 0)


def bare() -> None:
    """Make the updates with nothing around them: pad, forward pass, cross-entropy of answer tokens, step."""
    model, split, step = network(), DATA.train, 0
    optimizer = torch.optim.AdamW(model.parameters(), 5e-4, weight_decay=0.01, fused=True)
    while step < TRAINING.steps:
        for index in torch.randperm(len(split)).split(16):
            longest = int(split.lengths[index].max())
            ids, labels = split.inputs[index, :longest], split.labels[index, :longest]
            mask = (torch.arange(longest) < split.lengths[index, None]).long()
            logits = model(input_ids=ids, attention_mask=mask, use_cache=False).logits
            answers = labels[:, 1:] != -100
            loss = F.cross_entropy(logits[:, :-1][answers], labels[:, 1:][answers])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1


def ours() -> None:
    """Make the updates without recording."""
    Run(network(), DATA, TRAINING, 0).advance(TRAINING.steps)


def recorded() -> None:
    """Make the updates with the losses of every example at the recipe's eleven evaluated steps."""
    with tempfile.TemporaryDirectory() as folder:
        Run(network(), DATA, TRAINING, 0).record(Path(folder))


def seconds(action: Callable[[], None]) -> float:
    started = time.perf_counter()
    action()
    return time.perf_counter() - started


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    epochs = TRAINING.steps * 16 / len(DATA.train)
    tokens = int(DATA.train.lengths.sum()) * epochs
    ratios: dict[str, list[float]] = {"loop": [], "loop with recording": []}
    speeds = []
    seconds(ours)
    for _ in range(rounds):
        base = seconds(bare)
        own = seconds(ours)
        speeds.append(tokens / own)
        ratios["loop"].append(own / base)
        ratios["loop with recording"].append(seconds(recorded) / base)
    print(f"{statistics.median(speeds):,.0f} tokens per second")
    for name, values in ratios.items():
        print(f"{name} / bare: median {statistics.median(values):.3f}, {min(values):.3f} to {max(values):.3f}")


if __name__ == "__main__":
    main()
