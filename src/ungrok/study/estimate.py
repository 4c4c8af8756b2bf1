"""What a study will cost, from a few updates timed here."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass, replace

import torch

from ungrok.core.causal_lm import CausalLM
from ungrok.data.base import Data
from ungrok.data.tokens import TokenSplit
from ungrok.methods import UNLEARNERS, Iterative, OneShot
from ungrok.study.jobs import build_run, observed
from ungrok.study.plan import Plan
from ungrok.study.store import Job
from ungrok.train import Training
from ungrok.train.answers import AnswerRun, look
from ungrok.train.loop import Run

SAMPLE = 16
"""Examples of a language model's data, and of those attacked, that are timed; an update counts as three forward passes."""

FEW = 512
"""Examples of each split of other data that are timed."""


@dataclass(frozen=True)
class StudyCost:
    """Rough cost of a study, without its analyses, whose time depends on their settings most.

    Args:
        seconds: Of one processor, by job kind.
        bytes: On disk.
        checkpoints: Training checkpoints kept, over all trajectories.

    """

    seconds: dict[str, float]
    bytes: int
    checkpoints: int


def _timed(action: Callable[[], object], seconds: float = 0.5) -> float:
    """Return the mean seconds of an action, repeated for about ``seconds`` after one warm-up."""
    action()
    count, started = 0, time.perf_counter()
    while time.perf_counter() - started < seconds:
        action()
        count += 1
    return (time.perf_counter() - started) / count


def estimate(plan: Plan, data: Data) -> StudyCost:
    """Time an update and an evaluation of each kind of training, and add up the plan."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        return _add_up(plan, data)
    finally:
        torch.set_num_threads(threads)


def _add_up(plan: Plan, data: Data) -> StudyCost:
    seconds = dict.fromkeys(plan.counts(), 0.0)
    size = checkpoints = 0
    cost: dict[str, tuple[float, float, int]] = {}
    for job in plan.jobs.values():
        if job.kind != "train":
            continue
        if (kind := _alike(job)) not in cost:
            cost[kind] = _unit_costs(build_run(job.spec))
        update, look, weights = cost[kind]
        training = Training.model_validate(job.spec["trajectory"])
        seconds["train"] += training.steps * update + len(training.evaluated()) * look
        checkpoints += len(training.kept())
        # Weights and two moments; SGD keeps one.
        size += 3 * weights * len(training.kept())
    update, look, weights = cost[_alike(plan.jobs[next(iter(plan.trajectories.values()))])]
    replay = plan.recipe.trajectory.steps * plan.recipe.trajectory.checkpoint_every / 4 * update
    examples = len(data.train) + len(data.validation) + len(data.test)
    for kind in {"stage", "matched", "oracle"} & seconds.keys():
        seconds[kind] = plan.counts().get(kind, 0) * replay
        size += plan.counts().get(kind, 0) * weights
    for job in plan.jobs.values():
        if job.kind in ("unlearn", "unlearned"):
            method = UNLEARNERS.parse(job.spec["unlearn"])
            updates, places = 0, 0
            if isinstance(method, Iterative):
                updates = method.updates or 10 * (method.epochs or method.default_epochs)
                places = len(observed(updates, plan.recipe.observe))
            elif isinstance(method, OneShot):
                places = len(method.doses())
            if job.kind == "unlearned":
                seconds["unlearned"] += job.spec["dose"] * updates * update
                size += weights
            else:
                seconds["unlearn"] += updates * update + places * look
                size += places * examples * 6
    return StudyCost(seconds, size, checkpoints)


def _alike(job: Job) -> str:
    """Return what train jobs have in common whose updates take as long."""
    return str({key: job.spec[key] for key in ("problem", "model", "trajectory")})


def _unit_costs(run: Run) -> tuple[float, float, int]:
    """Return seconds per update, seconds per evaluation, and bytes of weights."""
    weights = sum(p.numel() * p.element_size() for p in run.model.parameters())
    if isinstance(run, AnswerRun):
        one, examples = _forward(run), len(run.data.train) + len(run.data.validation) + len(run.data.test)
        return 3 * one * run.batches.batch_size, examples * one, weights
    return _timed(lambda: run.advance(run.step + 1)), _measure(run), weights


def _measure(run: Run) -> float:
    """Return the seconds of an evaluation, from a part of large splits and of the examples that are attacked."""
    data, attacked, robustness = run.data, run.attacked, run.training.robustness
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    few = {name: split.of(torch.arange(min(FEW, len(split)))) for name, split in splits.items()}
    run.data = replace(data, train=few["train"], validation=few["validation"], test=few["test"])
    run.attacked = None
    try:
        seconds = _timed(run.measure) * sum(map(len, splits.values())) / sum(map(len, few.values()))
    finally:
        run.data, run.attacked = data, attacked
    if robustness and attacked:
        some = attacked.of(torch.arange(min(SAMPLE, len(attacked))))
        seconds += _timed(lambda: robustness.measure(run.model, some, run.objective)) * len(attacked) / len(some)
    return seconds


def _forward(run: AnswerRun) -> float:
    """Return the seconds that a forward pass takes per example: a real model's evaluation is too long to wait for."""
    train, objective = run.data.train, run.objective
    assert isinstance(train, TokenSplit)
    assert isinstance(objective, CausalLM)
    few = train.of(torch.arange(min(SAMPLE, len(train))))
    return _timed(lambda: look(run.model, few, objective)) / len(few)
