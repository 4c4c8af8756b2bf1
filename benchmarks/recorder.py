"""What a recorder adds to a loop, beside what it writes and the metrics that it is given.

python benchmarks/recorder.py [ROUNDS]

The loop is that of training_loop.py: the shortest hand-written one on the digits recipe, whose updates are short: the hardest case. The recorder
is called after every update, with metrics as a function, so that weights and metrics are kept on its own grids. Calls of it and blocks of
updates are timed in turn.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable
from contextlib import ExitStack
from itertools import islice
from pathlib import Path
from typing import Any
from unittest import mock

import torch

from training_loop import bare, network
from ungrok.train import recorder as module

STEPS, BLOCK = 2_000, 20


def compared(folder: Path) -> dict[str, float]:
    """Return processor times over that of the bare updates."""
    spent = Counter[str]()

    def timed(name: str, action: Callable[..., Any]) -> Callable[..., Any]:
        def run(*given: Any) -> Any:
            started = time.process_time()
            done = action(*given)
            spent[name] += time.process_time() - started
            return done

        return run

    model = network()
    path = bare(model)
    next(path)  # what the first update alone sets up
    recorder = module.Recorder(folder, stop=True)
    metrics = {"train_accuracy": 1.0, "validation_accuracy": 0.5}

    def block(first: int) -> None:
        for step in range(first, first + BLOCK):
            recorder.step(model, step, lambda: metrics)

    with ExitStack() as patches:
        for name in ("save_tensors", "write_json", "write_text"):
            patches.enter_context(mock.patch.object(module, name, timed("writing", getattr(module, name))))
        patches.enter_context(mock.patch.object(module.Recorder, "_append", timed("writing", module.Recorder._append)))
        for first in range(1, STEPS, BLOCK):
            timed("updates", lambda: list(islice(path, BLOCK)))()
            timed("recorder", block)(first)
    return {
        "recorder without writing": (spent["recorder"] - spent["writing"]) / spent["updates"],
        "writing": spent["writing"] / spent["updates"],
    }


def main(rounds: int) -> None:
    """Print medians and ranges over rounds."""
    torch.set_num_threads(1)
    with tempfile.TemporaryDirectory() as folder:
        each = [compared(Path(folder) / str(number)) for number in range(rounds)]
    for name in each[0]:
        values = [ratios[name] for ratios in each]
        print(f"{name} / updates: {statistics.median(values):.4f} ({min(values):.4f} to {max(values):.4f})")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 3)
