"""Updates of the relearning attack against the barest hand-written loop, on the models of the recipes digits and digits-cnn.

python benchmarks/stress.py [ROUNDS]

Both make the same updates with the same optimizer on batches of the same make-up, on one thread: twenty by the one, then twenty by the other, so
that whatever else the machine does slows both down. Ratios are of processor times, round by round.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Iterator
from itertools import islice

import torch
import torch.nn.functional as F
from torch import nn

from ungrok.audits import Setting, StressMaterial, StressStep
from ungrok.audits.relearn import Relearn
from ungrok.study.loading import load

UPDATES, AT_ONCE, BATCH = 1000, 20, 64


class Case:
    """A recipe's model and data, of which one class is to be forgotten.

    Args:
        name: Of a shipped recipe whose loss is the mean squared error.

    """

    def __init__(self, name: str) -> None:
        self.recipe = load(name)
        assert self.recipe.trajectory.loss == "mse"
        self.data = self.recipe.problem.load()
        chosen = self.data.train.targets == 7
        self.forget, self.retain = self.data.train.of(chosen), self.data.train.of(~chosen)

    def network(self) -> nn.Module:
        """Return a fresh model, the same each time."""
        return self.recipe.model.build(self.data.shape, self.data.classes, 0)

    def bare(self, held: int) -> Iterator[None]:
        """Make one update after another with nothing around them."""
        model, order = self.network().train(), torch.randperm(len(self.retain))
        optimizer = torch.optim.SGD(model.parameters(), 1e-2, momentum=0.9)
        kept, gone = self.retain.batch(slice(None)), self.forget.batch(slice(0, held))
        while True:
            if len(order) < BATCH - held:
                order = torch.cat([order, torch.randperm(len(self.retain))])
            index, order = order[: BATCH - held], order[BATCH - held :]
            inputs, targets = kept[0][index], kept[1][index]
            if held:
                inputs, targets = torch.cat([inputs, gone[0]]), torch.cat([targets, gone[1]])
            optimizer.zero_grad()
            loss = F.mse_loss(model(inputs), F.one_hot(targets, self.data.classes).float())
            loss.backward()
            optimizer.step()
            yield

    def ours(self, material: StressMaterial, share: float) -> Iterator[StressStep]:
        """Return the path of the attack."""
        return Relearn(updates=UPDATES, batch=BATCH).path(self.network(), material, Setting("", share, 1e-2))

    def compared(self, share: float) -> float:
        """Return the processor time of the attack over that of the bare loop."""
        material = StressMaterial(self.data.objective("mse"), self.forget, self.retain, self.data.test)
        loops = {"bare": self.bare(len(material.held(share))), "ours": self.ours(material, share)}
        spent = dict.fromkeys(loops, 0.0)
        for loop in loops.values():
            next(loop)  # the first update sets things up, and the first place of a path is the untouched model
        for _ in range(UPDATES // AT_ONCE):
            for name, loop in loops.items():
                started = time.process_time()
                assert sum(1 for _ in islice(loop, AT_ONCE)) == AT_ONCE
                spent[name] += time.process_time() - started
        return spent["ours"] / spent["bare"]


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 9
    for name in ("digits", "digits-cnn"):
        case = Case(name)
        for share in (0.0, 0.1):
            ratios = [case.compared(share) for _ in range(rounds)]
            print(
                f"{name}, share {share:g}: median {statistics.median(ratios):.3f}, {min(ratios):.3f} to {max(ratios):.3f}"
            )


if __name__ == "__main__":
    main()
