"""What the updates of a finished study cost by themselves: processor time of loops with nothing around them, timed on this machine."""

from __future__ import annotations

import statistics
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any

import torch

from ungrok.audits.relearn import Relearn
from ungrok.core.errors import UngrokError
from ungrok.core.schema import canonical
from ungrok.methods import OneShot
from ungrok.study.folder import StudyFolder
from ungrok.study.job import AnyJob, Job
from ungrok.study.jobs import Checkpoint, Lasting, Oracle, Placed, Snapshot, Stress, Train, Unlearn
from ungrok.study.jobs.checkpoint import weights_of
from ungrok.study.jobs.lasting import LastingSpec
from ungrok.study.jobs.paths import PathSpec, Sources, depart
from ungrok.study.jobs.split import made_split
from ungrok.study.jobs.stress import StressSpec, material
from ungrok.study.jobs.trained import Trained, TrainSpec, build_run, forget_split, trajectory_of
from ungrok.study.store import Store, Work
from ungrok.train import Run

AnyKind: type[Job[Any, Any]] = Job

AT_ONCE, BLOCKS = 20, 10
"""Updates between two looks at the clock, and how many such blocks are timed, of which the median counts."""


def training(run: Run) -> Iterator[None]:
    """Make the updates of a training one after another: batch, forward, backward, step. Runs with more to an update make their own."""
    own, order = run.training, torch.zeros(0, dtype=torch.int64)
    if own.sam or own.grokfast or own.penalty or own.micro_batch or run.data.augment or own.exposure:
        while True:
            run.advance(run.step + 1)
            yield
    model, size, objective = run.model.train(), run.batches.batch_size, run.objective
    optimizer = own.optimizer.build(run.parameters)
    while True:
        if len(order) < size:
            order = torch.randperm(len(run.data.train))
        index, order = order[:size], order[size:]
        batch = run.data.train.batch(index)
        with own.speed.autocast(run.device):
            logits = objective.logits(model, batch)
        loss = objective.losses(logits.float(), batch).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        yield


def seconds(loop: Iterator[Any]) -> float:
    """Return the processor seconds of one turn of a loop that may end, the first left out, since it sets things up."""
    next(loop)
    blocks = []
    for _ in range(BLOCKS):
        started = time.process_time()
        made = sum(1 for _ in islice(loop, AT_ONCE))
        if made:
            blocks.append((time.process_time() - started) / made)
        if made < AT_ONCE:
            break
    return statistics.median(blocks) if blocks else 0.0


@dataclass
class Bare:
    """The bare time of the jobs of one study; jobs that differ in nothing but seeds and rates are timed once.

    Args:
        study: Finished.

    """

    study: StudyFolder
    timed: dict[str, float] = field(default_factory=dict)

    def of(self, job: AnyJob) -> float:
        """Return the bare processor seconds of all updates of a job; 0 for one that makes none."""
        if isinstance(job, Train):
            steps = self.study.store.open(job.key, Train, tensors=False).result.steps
            return steps * self._of_training(job.spec)
        if isinstance(job, Unlearn | Snapshot | Placed):
            return self._of_path(job)
        if isinstance(job, Checkpoint | Oracle) and "trajectory" in job.inputs:
            return self._of_replay(job)
        if isinstance(job, Stress) and isinstance(job.spec.test, Relearn):
            if not self.study.store.open(job.key, Stress, tensors=False).result.rows:
                return 0.0
            test = job.spec.test
            each = self._once("relearn", job.spec.spec(), lambda: self._relearning(job, job.spec, test))
            return each * test.updates * len(test.settings())
        if isinstance(job, Lasting):
            rows = self.study.store.open(job.key, Lasting, tensors=False).result.rows
            repair = job.spec.repair
            test = Relearn(shares=(0.0,), **repair.to_dict())
            each = self._once("repair", job.spec.spec(), lambda: self._relearning(job, job.spec, test)) if rows else 0.0
            return each * repair.updates * len(repair.lr) * len(rows)
        return 0.0

    def _once(self, kind: str, spec: dict[str, Any], timed: Callable[[], float]) -> float:
        """Return a time that is taken once for all specs that differ only in seeds and rates."""
        key = canonical([kind, _same(spec)])
        if key not in self.timed:
            self.timed[key] = timed()
        return self.timed[key]

    def _of_training(self, spec: TrainSpec) -> float:
        """Return the seconds of an update."""
        return self._once("train", spec.spec(), lambda: seconds(training(build_run(spec))))

    def _of_replay(self, job: AnyJob) -> float:
        """Return the seconds of the updates from the last checkpoint before a step up to it; none where weights of the step are on disk."""
        step = self.study.store.open(job.key, AnyKind, tensors=False).result.step
        source = self.study.store.open(job.inputs["trajectory"], Trained, tensors=False)
        if step is None or (trajectory := trajectory_of(source)).at_or_before(step, restart=False) == step:
            return 0.0
        return (step - trajectory.at_or_before(step)) * self._of_training(source.spec)

    def _of_path(self, job: Unlearn | Snapshot | Placed) -> float:
        """Return the seconds of the updates up to the end of a path, or up to the place at which a model was kept."""
        updates = self._updates(job)
        if not updates:
            return 0.0
        one_shot, spec = isinstance(job.spec.unlearn, OneShot), job.spec.spec()
        path = {name: spec[name] for name in PathSpec.model_fields if name in spec}
        each = self._once("path", path, lambda: self._walking(job, whole=one_shot))
        return each if one_shot else each * updates

    def _updates(self, job: Unlearn | Snapshot | Placed) -> float:
        """Return the number of updates that a job made; of a one-shot path anything but 0 where it made its jump."""
        store = self.study.store
        if isinstance(job, Unlearn):
            made = store.open(job.key, Unlearn, tensors=False).result
            if len(made.doses) < 2:
                return 0
            return made.doses[-1] if made.one_shot else made.updates[-1]
        any_kind: type[Snapshot | Placed] = type(job)
        return store.open(job.key, any_kind, tensors=False).result.dose or 0

    def _walking(self, job: Unlearn | Snapshot | Placed, *, whole: bool) -> float:
        """Return the seconds of an update of a path that nobody looks at; of the whole path where it makes none."""
        with tempfile.TemporaryDirectory() as folder:
            work = Work(self.study.store, job.inputs, Path(folder))
            source = work.open("stage", Checkpoint)
            before = source.result.training
            path = depart(before, weights_of(source), job.spec, Sources.of(work, before)).path
            started = time.process_time()
            if not whole:
                return seconds(iter(path))
            for _ in path:
                pass
            return time.process_time() - started

    def _relearning(self, job: AnyJob, spec: StressSpec | LastingSpec, test: Relearn) -> float:
        """Return the seconds of an update of an attack that trains, on the model before unlearning."""
        with tempfile.TemporaryDirectory() as folder:
            work = Work(self.study.store, job.inputs, Path(folder))
            before = work.open("original" if work.has("original") else "stage", Checkpoint).result.training
            run = build_run(before)
            split = made_split(work, before.data()) or forget_split(before.data(), spec.forget)
            speed = spec.speed if isinstance(spec, StressSpec) else spec.repair_speed
            long = test.model_copy(update={"updates": max(test.updates, AT_ONCE * BLOCKS), "observe": None})
            ends = (test.settings()[0], test.settings()[-1])
            paths = [long.path(run.model, material(run, split, 0, speed=speed), setting) for setting in ends]
            return statistics.mean(map(seconds, paths))


def _same(spec: Any) -> Any:
    """Return a spec without its seeds and learning rates."""
    if isinstance(spec, dict):
        left_out = ("seed", "training_seed", "data_seed", "until", "before", "probe")
        rates = ("lr",) if "kind" in spec else ()
        return {key: _same(value) for key, value in spec.items() if key not in (*left_out, *rates)}
    return [_same(value) for value in spec] if isinstance(spec, list) else spec


def again(study: StudyFolder, jobs: Sequence[AnyJob]) -> float:
    """Return the processor seconds of some jobs of a study, run once more with their results thrown away; of them what a study counts."""
    spent = 0.0
    for job in jobs:
        with tempfile.TemporaryDirectory() as folder:
            store = Store(study.store.root)
            for key in job.inputs.values():
                store.check(key)
            started = time.process_time()
            job.run(Work(store, job.inputs, Path(folder)))
            spent += time.process_time() - started
    return spent


def neighbors(jobs: Sequence[AnyJob], few: int) -> list[AnyJob]:
    """Return jobs from as many places of a plan: each with the two after it, with which it may share what a process keeps; trainings alone."""
    length = 1 if any(isinstance(job, Train) for job in jobs) else 3
    starts = range(0, len(jobs), max(1, len(jobs) // few))[:few] if few else ()
    return [job for start in starts for job in jobs[start : start + length]]


def compared(study: StudyFolder, few: int) -> tuple[dict[str, tuple[float, float, int]], bool]:
    """Return, per kind of job, seconds of all jobs, bare seconds of their updates and the number of jobs, and whether seconds are of the processor.

    Args:
        study: Finished.
        few: Trainings, and threes of other jobs of each kind, spread over the plan, that are run once more; the seconds that all jobs of the kind filed are then those of as
            busy a machine as the bare loops find. With 0 they are taken as they were filed.

    Raises:
        UngrokError: If a job of the study is not in its store.

    """
    jobs: dict[str, list[AnyJob]] = {}
    for job in study.plan.jobs.values():
        if not study.store.has(job.key):
            raise UngrokError(f"{study.path}: {job.label} is not in the store")
        jobs.setdefault(job.kind, []).append(job)
    filed = {key: study.store.open(key, type(job), tensors=False).seconds for key, job in study.plan.jobs.items()}
    clock = "processor" if all("processor" in own for own in filed.values()) else "total"
    bare, spent = Bare(study), {}
    for kind, own in jobs.items():
        took = sum(filed[job.key].get(clock, 0.0) for job in own)
        some = neighbors(own, few)
        if some:
            took *= again(study, some) / sum(filed[job.key].get(clock, 0.0) for job in some)
        spent[kind] = took, sum(map(bare.of, own)), len(own)
    return spent, clock == "processor" or few > 0
