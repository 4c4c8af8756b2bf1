"""What is measured beside what is trained, and updates in few bits, on the CNN of the recipe cifar10-cnn: processor times on one thread.

python benchmarks/evaluation.py [ROUNDS]
"""

from __future__ import annotations

import statistics
import sys
import time
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace

import torch

from ungrok.core.weights import kept
from ungrok.study.jobs import unlearn
from ungrok.study.jobs.trained import build_run
from ungrok.study.loading import load
from ungrok.study.plan import make_plan
from ungrok.study.recipe import Recipe
from ungrok.train import Run

RECIPE = "cifar10-cnn"
BASE = (
    "seeds=[0]",
    "noise_seeds=1",
    "forget=[{kind: classes, classes: 2, fraction: 0.15}]",
    "analyze=[]",
    "stress=null",
)
ALL = ("trajectory.evaluate={}", "observe.drawn=null", "trajectory.speed.scores=false")
FEW = (
    "trajectory.evaluate={train: 500, validation: 500, test: 500}",
    "observe.drawn={retain: 200, validation: 200, test: 400}",
)
MEASURED = {
    "all examples": ALL,
    "all, scores in bfloat16": (*ALL, "trajectory.speed.scores=true"),
    "few examples": (*ALL, *FEW),
    "few, scores in bfloat16": (*ALL, *FEW, "trajectory.speed.scores=true"),
}
SPEEDS = {
    name: f"trajectory.speed={{bfloat16: {bits}, channels_last: {last}}}"
    for name, bits, last in (
        ("plain", "false", "false"), ("channels_last", "false", "true"), ("bfloat16", "true", "false"), ("both", "true", "true"),
    )
}  # fmt: skip
AT_ONCE = 20


def seconds(action: Callable[..., object], *given: object) -> float:
    started = time.process_time()
    action(*given)
    return time.process_time() - started


def run_of(recipe: Recipe) -> Run:
    run = build_run(next(job.spec for job in make_plan(recipe).jobs.values() if job.kind == "train"))
    run.advance(1)
    run.measure()
    return run


def updates(rounds: int) -> None:
    """Print the time of an update by option, over that of the plain one in the same round."""
    runs = {name: run_of(load(RECIPE, [*BASE, speed])) for name, speed in SPEEDS.items()}
    took = defaultdict(list)
    for _ in range(rounds):
        for name, run in runs.items():
            took[name].append(seconds(run.advance, run.step + AT_ONCE) / AT_ONCE)
    for name, own in took.items():
        ratios = [one / plain for one, plain in zip(own, took["plain"], strict=True)]
        print(f"update, {name}: {1e3 * statistics.median(own):.1f} ms, {statistics.median(ratios):.2f} of plain")


def trainings(rounds: int) -> None:
    """Print what all records of a training take over what its updates take."""
    for name, overrides in MEASURED.items():
        run = run_of(load(RECIPE, [*BASE, *overrides]))
        steps, places = run.training.steps, len(run.training.evaluated())
        shares = []
        for _ in range(rounds):
            update = seconds(run.advance, run.step + AT_ONCE) / AT_ONCE
            shares.append(places * seconds(run.measure) / (steps * update))
        print(f"records of a training, {name}: {100 * statistics.median(shares):.0f} % of its updates")


def paths(rounds: int) -> None:
    """Print which share of a path is not spent on its updates, from a model that is not trained."""
    unlearn.time = SimpleNamespace(perf_counter=time.process_time)  # type: ignore[attr-defined]
    for name, overrides in MEASURED.items():
        plan = make_plan(load(RECIPE, [*BASE, "claims.targets=[0.0001]", *overrides]))
        spec = next(job.spec for job in plan.jobs.values() if job.kind == "train")
        weights, shares = kept(build_run(spec).model), defaultdict(list)
        for path in (
            path
            for path in plan.paths
            if path.stage == plan.paths[0].stage and path.method in plan.recipe.unlearn_labels()
        ):
            own = plan.job(path.path, unlearn.Unlearn).spec.model_copy(update={"until": None})
            for _ in range(rounds):
                started = time.process_time()
                walked = unlearn.walk(spec, weights, own)
                whole = time.process_time() - started
                if walked.record.status == "completed":
                    shares[path.method].append(1 - walked.seconds / whole)
        told = ", ".join(f"{method} {100 * statistics.median(each):.0f} %" for method, each in shares.items())
        print(f"paths beside their updates, {name}: {told}", flush=True)


def main() -> None:
    torch.set_num_threads(1)
    rounds = int(sys.argv[1]) if len(sys.argv) > 1 else 7
    updates(rounds)
    trainings(rounds)
    paths(max(1, rounds // 3))


if __name__ == "__main__":
    main()
