"""The share of an unlearning path's time that goes into measuring how far the model has moved, on one thread.

python benchmarks/displacement.py [ROUNDS]

A path is made as a job of a study makes it: updates, at every observed place scores on all examples and the distances, and in the end
all scores are written. The rest of its time is that of updates, scores and writing.
"""

from __future__ import annotations

import statistics
import sys
import time
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch

from ungrok.core.files import save_tensors
from ungrok.core.weights import kept
from ungrok.evaluate.displacement import Displacement
from ungrok.study.jobs.paths import Sources
from ungrok.study.jobs.trained import fresh_model, split_of
from ungrok.study.jobs.unlearn import SCORES, Unlearn, walk
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.train import Run

MOST = 0.05
"""Largest share allowed."""


class Clock:
    """Adds up the time that is spent in a method of a class."""

    def __init__(self, owner: type, name: str) -> None:
        self.seconds, method = 0.0, getattr(owner, name)

        def timed(*args: Any) -> Any:
            started = time.perf_counter()
            try:
                return method(*args)
            finally:
                self.seconds += time.perf_counter() - started

        setattr(owner, name, timed)


def shares(recipe: str, method: str, rounds: int) -> list[float]:
    """Return the share of the distances in the time of a whole path from weights trained for 3,000 updates, forgetting a class, round by round."""
    plan = make_plan(load(recipe))
    path = next(path for path in plan.paths if path.method == method)
    training = plan.settings(path.arm, path.seed).spec(path.seed)
    data = training.data()
    forget = split_of((data.train.targets == 0).nonzero().flatten().tolist(), data)
    run = Run(fresh_model(training, 0), data, training.trajectory, 0)
    run.advance(3000)
    weights = kept(run.model)
    start, places = Clock(Displacement, "__init__"), Clock(Displacement, "of")
    values = []
    for _ in range(rounds):
        start.seconds = places.seconds = 0.0
        started = time.perf_counter()
        walked = walk(training, weights, plan.job(path.path, Unlearn).spec, sources=Sources(split=forget))
        with TemporaryDirectory() as folder:
            save_tensors(Path(folder) / SCORES, walked.tensors)
        values.append((start.seconds + places.seconds) / (time.perf_counter() - started))
    print(
        f"{recipe}, {method}: {len(walked.record.doses)} places, {walked.record.updates[-1]} updates; "
        f"median {statistics.median(values):.1%}, {min(values):.1%} to {max(values):.1%}",
        flush=True,
    )
    return values


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    medians = [
        statistics.median(shares(recipe, method, rounds))
        for recipe in ("digits", "digits-cnn")
        for method in ("gradient_ascent", "scrub")
    ]
    if max(medians) > MOST:
        raise SystemExit(f"more than {MOST:.0%}")


if __name__ == "__main__":
    main()
