"""Updates of the relearning attack against the barest hand-written loop, on the digits recipe's model.

python benchmarks/stress.py [ROUNDS]

Both make the same updates with the same optimizer, on batches of the same size and make-up, on one thread, in turn; the ratio of processor times is
taken round by round.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch import nn

from ungrok.audits import Setting, StressMaterial
from ungrok.audits.relearn import Relearn
from ungrok.study.loading import load

UPDATES, HELD, BATCH = 2000, 4, 64
RECIPE = load("digits")
DATA = RECIPE.problem.load()
SEVENS = DATA.train.targets == 7
FORGET, RETAIN = DATA.train.of(SEVENS), DATA.train.of(~SEVENS)


def network() -> nn.Module:
    return RECIPE.model.build(tuple(DATA.train.inputs.shape[1:]), DATA.classes, 0)


def bare(share: float) -> None:
    """Make the updates with nothing around them."""
    model, held = network(), HELD if share else 0
    optimizer = torch.optim.SGD(model.parameters(), 1e-2, momentum=0.9)
    order = torch.randperm(len(RETAIN))
    for _ in range(UPDATES):
        if len(order) < BATCH - held:
            order = torch.cat([order, torch.randperm(len(RETAIN))])
        index, order = order[: BATCH - held], order[BATCH - held :]
        inputs, targets = RETAIN.inputs[index], RETAIN.targets[index]
        if held:
            inputs, targets = torch.cat([inputs, FORGET.inputs[:held]]), torch.cat([targets, FORGET.targets[:held]])
        optimizer.zero_grad()
        loss = F.mse_loss(model(inputs), F.one_hot(targets, DATA.classes).float())
        loss.backward()
        optimizer.step()


def ours(share: float) -> None:
    """Walk the path of the attack to its end."""
    material = StressMaterial(DATA.objective("mse"), FORGET, RETAIN, DATA.test)
    places = Relearn(updates=UPDATES, batch=BATCH).path(network(), material, Setting("", share, 1e-2))
    assert sum(1 for _ in places) == UPDATES + 1
    assert len(material.held(share)) == (HELD if share else 0)


def seconds(action: Callable[[float], None], share: float) -> float:
    started = time.process_time()  # one thread: what other processes do counts less
    action(share)
    return time.process_time() - started


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for share in (0.0, 0.1):
        ratios = []
        for _ in range(rounds):
            alone = seconds(bare, share)
            ratios.append(seconds(ours, share) / alone)
        print(f"share {share:g}: attack / bare: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}")


if __name__ == "__main__":
    main()
