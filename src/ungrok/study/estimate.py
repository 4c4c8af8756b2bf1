"""What a study will cost, from a few updates timed here."""

from __future__ import annotations

import shutil
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import torch
from torch import nn

from ungrok.core.errors import StoreError, shown_file
from ungrok.core.memory import readable
from ungrok.core.schema import canonical
from ungrok.core.weights import kept
from ungrok.study.bill import Price, timed
from ungrok.study.job import AnyJob
from ungrok.study.jobs import ShadowLogits, ShadowUnlearned, Train
from ungrok.study.jobs.trained import TrainSpec, build_run, fresh_model
from ungrok.study.plan import Plan
from ungrok.study.store import Store
from ungrok.train.loop import Run

SAMPLE = 16
"""Number of examples that are timed where a single one takes long: for language models, and under an attack."""

UPDATE = 3
"""An update, a forward and a backward pass, is taken to last as long as so many forward passes."""

FEW = 512
"""Number of examples of each split that are timed for all other models."""


@dataclass(frozen=True)
class AuditCost:
    """Rough cost of an audit.

    Args:
        shadows: Models that are trained.
        unlearned: Models that unlearn.
        seconds: Time of one processor.
        bytes: Size on disk while it runs.
        kept: Size of what stays: logits.

    """

    shadows: int
    unlearned: int
    seconds: float
    bytes: int
    kept: int


@dataclass(frozen=True)
class StudyCost:
    """Rough cost of a study without its analyses: how long those take depends mostly on their settings.

    Args:
        seconds: Time of one processor, by job kind.
        bytes: Size on disk.
        checkpoints: Number of training checkpoints that are kept, over all trajectories.
        audit: The part of it that an audit by shadow models takes; None without one.

    """

    seconds: dict[str, float]
    bytes: int
    checkpoints: int
    audit: AuditCost | None = None


def estimate(plan: Plan) -> StudyCost:
    """Time an update and an evaluation of each kind of training, and add up what the jobs of the plan cost."""
    return estimates([plan])[0]


def estimates(plans: Sequence[Plan]) -> list[StudyCost]:
    """Return what the jobs of several plans of one recipe cost, at the same prices.

    A path that ends at a target is taken to go on to its budget.
    """
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        prices = _Prices(plans[0], lambda spec: _price(build_run(spec)))
        return [_add_up(plan, prices) for plan in plans]
    finally:
        torch.set_num_threads(threads)


def check_disk(plan: Plan, jobs: Sequence[AnyJob], store: Store) -> None:
    """Make sure that the disk has room for the files of jobs that are to run; what interrupted runs left of them counts.

    Raises:
        StoreError: If it has not.

    """
    sizes = _Prices(plan, _size)
    needed = sum(bill.bytes for job in jobs if (bill := job.bill(sizes)))
    left = sum(file.stat().st_size for job in jobs for file in (store.root / ".partial" / job.key).rglob("*"))
    disk = shutil.disk_usage(next(path for path in (store.root, *store.root.parents) if path.is_dir()))
    if disk.total and needed - left > disk.free:  # some file systems do not tell: they have 0 bytes in all
        raise StoreError(
            f"{shown_file(store.root)}: the study's files need about {readable(needed - left)} of disk, and {readable(disk.free)} are free; "
            "name another folder with --store, or raise trajectory.checkpoint_every or trajectory.replay"
        )


def _add_up(plan: Plan, prices: _Prices) -> StudyCost:
    seconds = dict.fromkeys(plan.counts(), 0.0)
    size = checkpoints = 0
    for job in plan.jobs.values():
        bill = job.bill(prices)
        if bill is not None:
            seconds[job.kind] += bill.seconds
            size += bill.bytes
            checkpoints += bill.checkpoints
    return StudyCost(seconds, size, checkpoints, _audit(plan, prices) if plan.shadows else None)


def _audit(plan: Plan, prices: _Prices) -> AuditCost:
    """Return the cost of the jobs that make a plan's shadow models."""
    jobs = plan.needed_for(*(own.logits for own in plan.shadows))
    bills = [(job, bill) for job in jobs if (bill := job.bill(prices))]
    return AuditCost(
        shadows=sum(isinstance(job, Train) for job in jobs),
        unlearned=sum(isinstance(job, ShadowUnlearned) for job in jobs),
        seconds=sum(bill.seconds for _, bill in bills),
        bytes=sum(bill.bytes for _, bill in bills),
        kept=sum(bill.bytes for job, bill in bills if isinstance(job, ShadowLogits)),
    )


class _Prices:
    """Prices in a study, each found out when it is first asked for; see :class:`ungrok.study.bill.Prices`."""

    def __init__(self, plan: Plan, price: Callable[[TrainSpec], Price]) -> None:
        first = plan.job(next(iter(plan.trajectories.values())), Train).spec
        data = first.data()
        self.examples = len(data.train) + len(data.validation) + len(data.test)
        self.logits = 2 * data.outputs * (2 * len(data.train) + len(data.test))
        self._price = price
        self._known: dict[str, Price] = {}
        self.unlearning = self.of(first)
        training = plan.recipe.trajectory
        gaps = [after - here for here, after in pairwise([*training.restarts(), training.steps])]
        self.replay = sum(gap**2 for gap in gaps) / (2 * training.steps) * self.unlearning.update

    def of(self, spec: TrainSpec) -> Price:
        """Return the price of a training; trainings that differ only in seeds and forget splits are taken to cost the same."""
        same = canonical([part.spec() for part in (spec.problem, spec.model, spec.trajectory)])
        if same not in self._known:
            self._known[same] = self._price(spec)
        return self._known[same]


def _size(spec: TrainSpec) -> Price:
    """Return the price of a training of which nothing is asked but the size of its model."""
    return Price(0.0, 0.0, _weights(fresh_model(spec, 0)))


def _weights(model: nn.Module) -> int:
    return sum(value.nbytes for value in kept(model).values())


def _price(run: Run) -> Price:
    weights = _weights(run.model)
    if run.data.timed_in_part:
        train = run.data.train
        few = train.of(torch.arange(min(SAMPLE, len(train))))
        each = timed(lambda: few.score(run.model, run.scorer, SAMPLE)) / len(few)
        examples = len(train) + len(run.data.validation) + len(run.data.test)
        return Price(UPDATE * each * run.batches.batch_size, examples * each, weights)
    evaluation, measuring = _measure(run)
    return Price(timed(lambda: run.advance(run.step + 1)), evaluation, weights, measuring)


def _measure(run: Run) -> tuple[float, float]:
    """Return the seconds of an evaluation and of a measurement along a trajectory, computed from those of a part of the examples."""
    data, attacked, robustness = run.data, run.attacked, run.training.robustness
    splits = {"train": data.train, "validation": data.validation, "test": data.test}
    few = {name: split.of(torch.arange(min(FEW, len(split)))) for name, split in splits.items()}
    run.data = replace(data, train=few["train"], validation=few["validation"], test=few["test"])
    run.attacked = None
    try:
        each = timed(run.measure) / sum(map(len, few.values()))
    finally:
        run.data, run.attacked = data, attacked
    under_attack = 0.0
    if robustness and attacked:
        some = attacked.of(torch.arange(min(SAMPLE, len(attacked))))
        under_attack = timed(lambda: robustness.measure(run.model, some, run.objective)) * len(attacked) / len(some)
    every = sum(map(len, splits.values()))
    read = sum(len(run.training.evaluate.part(name, split)) for name, split in splits.items())
    return each * every + under_attack, each * read + under_attack
