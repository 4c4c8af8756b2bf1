"""The time of an update on images: against the barest loop, with the options of `trajectory.speed`, several seeds as one.

python benchmarks/speed.py [loop|epoch-resnet|epoch-cnn|path|options|options-resnet|together-cnn|together-mlp] ...

One thread on a CPU, or the GPU where there is one; rounds go through all variants in turn, and ratios are taken round by round.
"""

from __future__ import annotations

import copy
import statistics
import sys
import time
from collections.abc import Callable

import torch
import torch.nn.functional as F
from torch.utils.data import DataLoader

from data_path import OneByOne
from ungrok.core.objective import Classification
from ungrok.data import Augment, Data, Split, TensorBatches
from ungrok.data.pixels import Scale
from ungrok.methods.gradient_ascent import GradientAscent
from ungrok.study.loading import load
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


EPOCH = 50_000


def images(count: int) -> Data:
    split = Split(torch.randn(count, 3, 32, 32), torch.randint(10, (count,)))
    return Data(split, split, split, 10, torch.zeros(0, dtype=torch.int64)).to(DEVICE)


def make(name: str, batch: int, speed: Speed, seed: int = 0, data: Data | None = None) -> Run:
    recipe = load(name)
    changes = {"batch_size": batch, "speed": speed, "robustness": None}
    training = recipe.trajectory.model_copy(update=changes)
    return Run(recipe.model.build((3, 32, 32), 10, seed).to(DEVICE), data or images(4 * batch), training, seed)


def seconds(advance: Callable[[], None]) -> float:
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    started = time.perf_counter()
    advance()
    if DEVICE.type == "cuda":
        torch.cuda.synchronize()
    return time.perf_counter() - started


def report(label: str, ratios: list[float]) -> None:
    print(f"  {label}: {statistics.median(ratios):.3g} ({min(ratios):.3g} to {max(ratios):.3g})", flush=True)


def loop(name: str, batch: int, rounds: int, updates: int) -> None:
    """Print the time of an update as a share of that of the barest hand-written loop, and images per second."""
    run, data = make(name, batch, Speed()), images(4 * batch).train
    model = load(name).model.build((3, 32, 32), 10, 0).to(DEVICE)
    optimizer = torch.optim.SGD(model.parameters(), 0.1, momentum=0.9, weight_decay=5e-4)

    def bare() -> None:
        for index in torch.randperm(len(data)).repeat(updates)[: updates * batch].split(batch):
            loss = F.cross_entropy(model(data.inputs[index]), data.targets[index])
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()

    run.advance(2)
    bare()
    pairs = [(seconds(bare), seconds(lambda: run.advance(run.step + updates))) for _ in range(rounds)]
    speed = statistics.median(batch * updates / ours for _, ours in pairs)
    print(f"{name}, batch {batch}, {DEVICE.type}: {speed:.0f} images/s")
    report("training loop / bare loop", [ours / base for base, ours in pairs])


def epoch(name: str, batch: int, rounds: int, updates: int) -> None:
    """Print the time of an augmented epoch, its share in the data path, and that of a per-image pipeline beside it."""
    pixels, targets = torch.randint(256, (batch * updates, 3, 32, 32), dtype=torch.uint8), torch.zeros(batch * updates)
    split = Split(pixels, targets.long(), Scale())
    data = Data(split, split, split, 10, torch.zeros(0, dtype=torch.int64), Augment(pad=4)).to(DEVICE)
    run, other = (make(name, batch, Speed(), data=data) for _ in range(2))
    one_by_one = OneByOne(pixels.permute(0, 2, 3, 1).contiguous().numpy(), targets.int().tolist())
    loader = DataLoader(one_by_one, batch, shuffle=True, num_workers=2)

    def conventional() -> None:
        for inputs, labels in loader:
            loss = F.cross_entropy(other.model(inputs.to(DEVICE)), labels.to(DEVICE))
            other.optimizer.zero_grad()
            loss.backward()
            other.optimizer.step()

    run.advance(updates)
    found = [
        (
            seconds(lambda: run.advance(run.step + updates)),
            seconds(lambda: [None for _ in run.batches.epoch(0)]),
            seconds(conventional),
        )
        for _ in range(rounds)
    ]
    ours = statistics.median(mine for mine, _, _ in found) * EPOCH / len(pixels)
    print(f"{name}, batch {batch}, {DEVICE.type}: {ours:.0f} s an epoch of {EPOCH}, {EPOCH / ours:.0f} images/s")
    report("per-image pipeline, 2 loader processes / ours", [theirs / mine for mine, _, theirs in found])
    report("share in the data path", [reading / mine for mine, reading, _ in found])


def path(name: str, batch: int, rounds: int, updates: int) -> None:
    """Print the time of a path of gradient ascent as a share of that of a bare loop."""
    model, data = load(name).model.build((3, 32, 32), 10, 0).to(DEVICE), images(batch).train
    method = GradientAscent(lr=1e-6, updates=updates)

    def bare() -> None:
        copied = copy.deepcopy(model)
        optimizer = torch.optim.SGD(copied.parameters(), 1e-6, momentum=0.9, weight_decay=5e-4)
        for _ in range(updates):
            optimizer.zero_grad()
            (-F.cross_entropy(copied(data.inputs), data.targets)).backward()
            optimizer.step()

    def ours() -> None:
        for _ in method.path(model, TensorBatches(data, batch), None, Classification()):
            pass

    bare()
    pairs = [(seconds(bare), seconds(ours)) for _ in range(rounds)]
    print(f"{name}, batch {batch}, {DEVICE.type}")
    report("unlearning path / bare loop", [mine / base for base, mine in pairs])


def options(name: str, batch: int, rounds: int, updates: int) -> None:
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
        report(f"{label} / plain", [a / b for a, b in zip(found[label], found["plain"], strict=True)])


def together(name: str, batch: int, rounds: int, seeds: int = 4, updates: int = 12) -> None:
    """Print the time of several seeds trained as one as a share of one after another."""
    stacked, single = ([make(name, batch, Speed(), seed) for seed in range(seeds)] for _ in range(2))
    ratios = []
    for _ in range(rounds + 1):
        stop = stacked[0].step + updates
        as_one = seconds(lambda stop=stop: advance_together(stacked, stop))
        ratios.append(as_one / seconds(lambda stop=stop: [run.advance(stop) for run in single]))
    print(f"{name}, batch {batch}, {DEVICE.type}")
    report(f"{seeds} seeds as one / one by one", ratios[1:])


WHAT: dict[str, Callable[[], None]] = {
    "loop": lambda: loop("paper/table1-resnet-sgd", 128, 3, 2),
    "epoch-resnet": lambda: epoch("paper/table1-resnet-sgd", 128, 3, 2),
    "epoch-cnn": lambda: epoch("paper/table1-cnn", 256, 3, 4),
    "path": lambda: path("paper/table1-cnn", 64, 5, 30),
    "options": lambda: options("paper/table1-cnn", 256, 3, 4),
    "options-resnet": lambda: options("paper/table1-resnet-sgd", 32, 3, 2),
    "together-cnn": lambda: together("paper/table1-cnn", 256, 4),
    "together-mlp": lambda: together("cifar10-small", 128, 4),
}


def main() -> None:
    torch.set_num_threads(1)
    for name in sys.argv[1:] or WHAT:
        WHAT[name]()


if __name__ == "__main__":
    main()
