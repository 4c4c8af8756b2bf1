"""Shadow models against the bare loop: how many a minute, and the ratio of processor times.

python benchmarks/shadows.py [ROUNDS] [KEY=VALUE ...]

Ours are the jobs of a study that train a shadow model of digits-audit, find its stages and keep its logits there, run into an empty store one
by one; bare is a hand-written loop that makes the same number of updates on the same examples and looks at nothing. A round is one shadow
of each, in turn, in one process on one thread. First as a bare loop would ask it, looking at the first and the last step alone; then as the recipe stands, where
finding a stage takes many looks at every split.
"""

from __future__ import annotations

import statistics
import sys
import tempfile
import time
from collections.abc import Sequence
from itertools import islice
from pathlib import Path

import torch

from bare import training
from ungrok.study import engine
from ungrok.study.jobs import Train
from ungrok.study.jobs.trained import build_run
from ungrok.study.loading import load
from ungrok.study.plan import Plan, make_plan
from ungrok.study.store import Store

LAST = ("stages=[final]", "claims.compare=[]", "trajectory.evaluate_steps=6000")


def planned(overrides: Sequence[str]) -> Plan:
    """Return the plan of digits-audit with as few shadow models as it may have."""
    return make_plan(load("digits-audit", ("audit.shadows=8", *overrides)))


def ours(plan: Plan, shadow: int) -> float:
    """Return the processor seconds of the jobs of one shadow model."""
    jobs = plan.needed_for(*(own.logits for own in plan.shadows if own.shadow == shadow and own.method is None))
    with tempfile.TemporaryDirectory() as folder:
        started = time.process_time()
        engine.run(jobs, Store(Path(folder)), workers=0)
        return time.process_time() - started


def bare(plan: Plan, shadow: int) -> float:
    """Return the processor seconds of its updates."""
    spec = plan.job(next(own.training for own in plan.shadows if own.shadow == shadow), Train).spec
    started = time.process_time()
    for _ in islice(training(build_run(spec)), spec.trajectory.steps):
        pass
    return time.process_time() - started


def main(rounds: int, overrides: Sequence[str]) -> None:
    """Print both ratios."""
    torch.set_num_threads(1)
    for name, own in (("last step alone", LAST), ("stages of the recipe", ())):
        few = planned((*own, *overrides, "trajectory.steps=20"))
        ours(few, 0), bare(few, 0)
        plan = planned((*own, *overrides))
        pairs = [(ours(plan, shadow), bare(plan, shadow)) for shadow in range(rounds)]
        ratios, seconds = [took / least for took, least in pairs], statistics.median(took for took, _ in pairs)
        spread = f"{statistics.median(ratios):.2f} ({min(ratios):.2f} to {max(ratios):.2f})"
        print(f"{name}: ours / bare {spread}, {60 / seconds:.1f} shadow models a minute of processor time", flush=True)


if __name__ == "__main__":
    words = sys.argv[1:]
    main(next((int(word) for word in words if "=" not in word), 3), [word for word in words if "=" in word])
