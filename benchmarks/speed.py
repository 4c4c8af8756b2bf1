"""What the options of `trajectory.speed` and training several seeds as one change in the time of an update.

python benchmarks/speed.py [ROUNDS]

One thread on a CPU, or the GPU where there is one; rounds go through all variants in turn, and ratios are taken round by round.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable

import torch

from ungrok.data.base import Data, Split
from ungrok.study.recipe import load
from ungrok.train import Run
from ungrok.train.speed import Speed
from ungrok.train.together import advance_together

DEVICE = torch.device("cuda" if torch.cuda.is_available() else "cpu")
VARIANTS = {
    "channels_last": Speed(channels_last=True),
    "bfloat16": Speed(bfloat16=True),
    "channels_last + bfloat16": Speed(channels_last=True, bfloat16=True),
    "compile": Speed(compile=True),
}
if DEVICE.type == "cuda":
    VARIANTS["cuda_graphs"] = Speed(cuda_graphs=True)
MODELS = {"paper/table1-cnn": 256, "cifar10-small": 128}


def images(count: int) -> Data:
    split = Split(torch.randn(count, 3, 32, 32), torch.randint(10, (count,)))
    return Data(split, split, split, 10, torch.zeros(0, dtype=torch.int64)).to(DEVICE)


def make(name: str, batch: int, speed: Speed, seed: int = 0) -> Run:
    recipe = load(name)
    changes = {"batch_size": batch, "speed": speed, "robustness": None}
    training = recipe.trajectory.model_copy(update=changes)
    return Run(recipe.model.build((3, 32, 32), 10, seed).to(DEVICE), images(4 * batch), training, seed)


def seconds(advance: Callable[[], None]) -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    advance()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def options(name: str, batch: int, rounds: int, updates: int = 12) -> None:
    """Print the time of an update with each option as a share of that without."""
    runs = {label: make(name, batch, speed) for label, speed in {"plain": Speed(), **VARIANTS}.items()}
    for run in runs.values():
        run.advance(updates)
    found: dict[str, list[float]] = {label: [] for label in runs}
    for _ in range(rounds):
        for label, run in runs.items():
            found[label].append(seconds(lambda run=run: run.advance(run.step + updates)) / updates)
    print(f"{name}, batch {batch}, {DEVICE.type}: {1e3 * statistics.median(found['plain']):.1f} ms an update")
    for label in VARIANTS:
        ratios = [a / b for a, b in zip(found[label], found["plain"], strict=True)]
        print(f"  {label} / plain: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})")


def together(name: str, batch: int, rounds: int, seeds: int = 4, updates: int = 12) -> None:
    """Print the time of several seeds trained as one as a share of one after another."""
    stacked, single = ([make(name, batch, Speed(), seed) for seed in range(seeds)] for _ in range(2))
    ratios = []
    for _ in range(rounds + 1):
        stop = stacked[0].step + updates
        as_one = seconds(lambda stop=stop: advance_together(stacked, stop))
        ratios.append(as_one / seconds(lambda stop=stop: [run.advance(stop) for run in single]))
    ratios = ratios[1:]
    print(
        f"{name}, batch {batch}, {seeds} seeds as one / one by one: {statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
    )


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 5
    options("paper/table1-cnn", 256, rounds)
    for name, batch in MODELS.items():
        together(name, batch, rounds)


if __name__ == "__main__":
    main()
