"""The training loop against the barest hand-written loop, on the digits recipe's model.

python benchmarks/training_loop.py [ROUNDS]

Both make the same updates (6,000 in the recipe) with the same optimizer on one thread: those up to the next record by the one, then as
many by the other, so that whatever else the machine does slows both down. Ratios are of processor times, round by round.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator
from itertools import islice
from pathlib import Path

import torch
import torch.nn.functional as F
from torch import nn

from ungrok.study.loading import load
from ungrok.train import Run
from ungrok.train.record import record_all

RECIPE = load("digits")
DATA = RECIPE.problem.load()
SHAPE = tuple(DATA.train.inputs.shape[1:])


def network() -> nn.Module:
    return RECIPE.model.build(SHAPE, DATA.classes, 0)


def bare(model: nn.Module) -> Iterator[None]:
    """Make one update after another with nothing around them."""
    inputs = DATA.train.inputs
    targets = F.one_hot(DATA.train.targets).float()
    optimizer = torch.optim.AdamW(model.parameters(), 1e-3, weight_decay=0.2, fused=True)
    while True:
        for index in torch.randperm(len(inputs)).split(200):
            loss = F.mse_loss(model(inputs[index]), targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            yield


def passes(model: nn.Module) -> None:
    """Run the model over the three splits, and back over the one that it trains on: all that a record of the run cannot do without."""
    targets = F.one_hot(DATA.train.targets).float()
    F.mse_loss(model(DATA.train.inputs), targets).backward()
    with torch.no_grad():
        model(DATA.validation.inputs)
        model(DATA.test.inputs)


def compared() -> dict[str, float]:
    """Return processor times over that of the bare updates."""
    model = network()
    updates, run = bare(model), Run(network(), DATA, RECIPE.trajectory, 0)
    evaluated, spent = set(RECIPE.trajectory.evaluated()), Counter[str]()

    def timed(name: str, action: Callable[[], object]) -> None:
        started = time.process_time()
        action()
        spent[name] += time.process_time() - started

    def all_of_them(_: list[Run], to: int) -> None:
        timed("bare", lambda: list(islice(updates, to - run.step)))
        timed("loop", lambda: run.advance(to))
        if to in evaluated:
            timed("passes of the records alone", lambda: passes(model))

    next(updates)  # what the first update alone sets up
    with tempfile.TemporaryDirectory() as folder:
        timed("loop with recording", lambda: record_all([run], [Path(folder)], all_of_them))
    spent["loop with recording"] -= spent["bare"] + spent["passes of the records alone"]
    return {name: spent[name] / spent["bare"] for name in sorted(spent) if name != "bare"}


def main() -> None:
    torch.set_num_threads(1)
    rounds = [compared() for _ in range(int(sys.argv[1]) if len(sys.argv) > 1 else 5)]
    for name in rounds[0]:
        values = [ratios[name] for ratios in rounds]
        print(f"{name} / bare: median {statistics.median(values):.3f}, {min(values):.3f} to {max(values):.3f}")


if __name__ == "__main__":
    main()
