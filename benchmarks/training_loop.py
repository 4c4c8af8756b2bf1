"""The training loop against the barest hand-written loop, on the digits recipe's model.

python benchmarks/training_loop.py [ROUNDS]

All make the same updates (6,000 in the recipe) with the same optimizer on one thread, in turn; the ratio of processor times is taken round by round.
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
from ungrok.train import Run

RECIPE = load("digits")
STEPS = RECIPE.trajectory.steps
DATA = RECIPE.problem.load()
SHAPE = tuple(DATA.train.inputs.shape[1:])


def network() -> nn.Module:
    return RECIPE.model.build(SHAPE, DATA.classes, 0)


def bare() -> None:
    """Make the updates with nothing around them."""
    model, inputs = network(), DATA.train.inputs
    targets = F.one_hot(DATA.train.targets).float()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.2, fused=True)
    step = 0
    while step < STEPS:
        for index in torch.randperm(len(inputs)).split(200):
            loss = F.mse_loss(model(inputs[index]), targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            step += 1


def ours() -> None:
    """Make the updates without recording."""
    Run(network(), DATA, RECIPE.trajectory, 0).advance(STEPS)


def recorded() -> None:
    """Make the updates with every evaluation and checkpoint of the recipe."""
    with tempfile.TemporaryDirectory() as folder:
        Run(network(), DATA, RECIPE.trajectory, 0).record(Path(folder))


def seconds(action: Callable[[], None]) -> float:
    started = time.process_time()  # one thread: what other processes do counts less
    action()
    return time.process_time() - started


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    ratios: dict[str, list[float]] = {"loop": [], "loop with recording": []}
    for _ in range(rounds):
        base = seconds(bare)
        ratios["loop"].append(seconds(ours) / base)
        ratios["loop with recording"].append(seconds(recorded) / base)
    for name, values in ratios.items():
        print(f"{name} / bare: median {statistics.median(values):.3f}, {min(values):.3f} to {max(values):.3f}")


if __name__ == "__main__":
    main()
