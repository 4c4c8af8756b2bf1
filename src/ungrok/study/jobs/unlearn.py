"""Walks an unlearning path, and keeps the scores at the observed places."""

from __future__ import annotations

import time
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Any, ClassVar, Literal

import torch
from torch import Tensor, nn

from ungrok.core.files import save_packed
from ungrok.core.schema import canonical
from ungrok.core.scores import Scores
from ungrok.evaluate.cost import Metered
from ungrok.evaluate.displacement import DISPLACEMENTS, Displacement
from ungrok.evaluate.drawn import WHOLE, Drawn
from ungrok.evaluate.path import place_accuracies
from ungrok.evaluate.targets import first_passage
from ungrok.methods import Iterative, OneShot, Step
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Job, Result, register
from ungrok.study.jobs.blocks import Asked, without_counts
from ungrok.study.jobs.checkpoint import Checkpoint, weights_of
from ungrok.study.jobs.paths import Departure, PathSpec, Sources, arrived, depart
from ungrok.study.jobs.questions import Attacks, question
from ungrok.study.jobs.split import split_for
from ungrok.study.jobs.trained import TrainSpec
from ungrok.study.recipe_blocks import Observation
from ungrok.study.store import Tick, Work

SCORES = "path.safetensors"
BYTES = 6
"""Size of one example's prediction and loss at one place of a path, before they are packed."""

KEPT = 2**26
"""Bytes of scores of a stage that may stay in memory for the next path from there."""

_starts: dict[str, dict[str, Scores]] = {}
"""Scores of the last stage from which this process walked a path: many start from one."""


class UnlearnSpec(PathSpec):
    """A path, where it is observed, of which kind its scores are, and what the model at its end is asked.

    Where ``until`` is given, the path ends at the first observed place with UA at or below it.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"objective", "probe", "scores", "speed", "until"})

    observe: Observation
    probe: Asked | None = None
    scores: Literal["class", "answer"] = "class"
    until: float | None = None


class UnlearnResult(Result):
    """The observed places of a path; none where there is no stage to start from.

    ``doses``, ``updates`` and ``passes`` (over the forget and over the retain set) hold one entry per place; ``classes`` are
    those with forget examples; ``budget`` is the dose at which the path ends, or would have ended without ``until``; ``scores`` says of which kind the scores are;
    ``moved`` holds :data:`ungrok.evaluate.displacement.DISPLACEMENTS`.
    """

    optional: ClassVar[frozenset[str]] = frozenset({"attacks", "moved"})

    status: str
    reason: str = ""
    doses: list[float] = []
    updates: list[int] = []
    passes: dict[str, list[float]] = {}
    classes: list[int] = []
    one_shot: bool = False
    budget: int | float | None = None
    scores: Literal["class", "answer"] | None = None
    moved: dict[str, list[float | None]] = {}
    attacks: Attacks | None = None


@dataclass(frozen=True)
class Walk:
    """A path that has been walked.

    Args:
        tensors: The scores at the observed places, and ``forget`` and ``retain`` indices.
        record: What the job returns.
        end: The model at the end.
        seconds: Of the updates alone.

    """

    tensors: dict[str, Tensor]
    record: UnlearnResult
    end: nn.Module
    seconds: float


@register
class Unlearn(Job[UnlearnSpec, UnlearnResult]):
    """Walk one unlearning path from a stage and keep the scores at the observed places."""

    kind = "unlearn"
    version = 6
    spec_type = UnlearnSpec
    result_type = UnlearnResult
    cost = 4.0
    advice = "batches.forget, batches.retain or trajectory.evaluation_batch"

    @property
    def steps(self) -> int | None:
        """Number of updates, where the recipe gives it."""
        method = self.spec.unlearn
        return method.updates if isinstance(method, Iterative) else None

    def run(self, work: Work) -> UnlearnResult:
        """Walk the path."""
        source = work.open("stage", Checkpoint)
        if source.result.step is None:
            return UnlearnResult(status="no stage", reason=source.result.reason)
        training = source.result.training
        walked = walk(training, weights_of(source), self.spec, work.tick, Sources.of(work, training))
        save_packed(work.folder / SCORES, walked.tensors, differences=2)
        work.seconds["updates"] = walked.seconds
        if self.spec.probe is None or walked.record.status != "completed":
            return walked.record
        split = split_for(work, training.data(), self.spec.forget)
        attacks = question(walked.end, training, split, self.spec.probe, work.folder)
        return walked.record.model_copy(update={"attacks": attacks})

    def earlier(self) -> Iterator[tuple[str, int, dict[str, Any], dict[str, str]]]:
        """Yield earlier versions; those of language models both from before and from after answer tokens were counted."""
        spec = self.spec.spec()
        for version in range(1, self.version):
            yield self.kind, version, without_counts(spec), self.inputs
            if self.spec.scores == "answer":
                yield self.kind, version, spec, self.inputs

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of all updates and of the observed places."""
        updates, method = self.spec.updates(), self.spec.unlearn
        places = len(observed(updates, self.spec.observe)) if updates else 0
        if isinstance(method, OneShot):
            places = len(method.doses())
        scored, drawn = places * prices.examples, self.spec.observe.drawn
        if drawn is not None and places > 2:
            scored = 2 * prices.examples + (places - 2) * drawn.scored(prices.examples)
        seconds = updates * prices.unlearning.update + scored / prices.examples * prices.unlearning.evaluation
        return Bill(seconds, places * prices.examples * BYTES)


def observed(total: int, rule: Observation) -> set[int]:
    """Return the updates after which a path of ``total`` updates is observed."""
    grid, update = set(range(min(total, rule.every_until) + 1)), rule.every_until
    while update < total:
        grid.add(update)
        update = max(update + 1, int(update * (1 + rule.spacing)))
    return grid | {total}


def walk(
    training: TrainSpec,
    weights: dict[str, Tensor],
    spec: UnlearnSpec,
    tick: Tick = lambda _: None,
    sources: Sources = Sources(),  # noqa: B008 (frozen)
) -> Walk:
    """Walk an unlearning path from given weights.

    Args:
        training: Its problem and model are those of the weights.
        weights: What was kept of the model to start from.
        spec: The path.
        tick: Is told the share that is done.
        sources: What other jobs provide.

    """
    departure = depart(training, weights, spec, sources)
    run, path, one_shot = departure.run, departure.path, isinstance(spec.unlearn, OneShot)
    look = _Look(departure, spec, sources.stage)
    start = look.at(run.model, 0.0)
    places = _Places(departure.sets, look.drawn, [start.scores], [start.moved])
    observed_at = set() if one_shot else observed(int(path.budget), spec.observe)
    status, seconds, end = "completed", 0.0, run.model
    steps: Iterable[Step] = () if places.reached(departure, spec.until) else path
    started = time.perf_counter()
    for step in steps:
        if not one_shot and step.updates not in observed_at:
            continue
        seconds += time.perf_counter() - started
        end, seen = step.model, look.at(step.model, step.dose)
        places.add(step, seen)
        tick(len(places.doses) / (len(observed_at) or len(places.doses) + 1))
        if any(part.diverged for part in seen.scores.values()):
            status = "diverged"
            break
        if places.reached(departure, spec.until):
            break
        started = time.perf_counter()
    if status == "completed" and spec.until is None and not places.whole[-1]:
        places.complete(look.whole(end))  # the method has stopped before its budget
    return Walk(*places.sealed(departure, status, one_shot), end, seconds)


@dataclass(frozen=True)
class _Seen:
    """What is measured at one place; ``whole`` says whether all examples are scored there."""

    scores: dict[str, Scores]
    moved: dict[str, float | None]
    whole: bool


class _Look:
    """Measures the model at a place of a path.

    Args:
        departure: The path before its first update.
        spec: Says what is scored.
        stage: Key of the job that kept the model from which the path starts, where one did.

    """

    def __init__(self, departure: Departure, spec: UnlearnSpec, stage: str | None) -> None:
        self.run, self.budget, numbers = departure.run, departure.path.budget, spec.observe.drawn
        sets = {"forget": departure.split.forget, "retain": departure.split.retain}
        self.drawn, moved = None, None
        if numbers is not None:
            every = Drawn.of(self.run.data, **sets, numbers=numbers.to_dict(), seed=spec.seed)
            self.drawn = every.prepared(channels_last=self.run.training.speed.channels_last)
            moved = numbers.moved
        model, objective, train, own = self.run.model, self.run.objective, self.run.data.train, spec.objective
        self.start = self._at_start(model, None if stage is None else canonical([stage, own and own.spec()]))
        self.displacement = Displacement(model, objective, train, sets, spec.seed, self.start["train"], moved)

    def _at_start(self, model: nn.Module, name: str | None) -> dict[str, Scores]:
        """Return the scores of the stage; those of the last that had a name stay in memory."""
        if name is not None and name in _starts:
            return _starts[name]
        _starts.clear()
        scores = self.whole(model)
        if name is not None and sum(part.nbytes for part in scores.values()) <= KEPT:
            _starts[name] = scores
        return scores

    def whole(self, model: nn.Module) -> dict[str, Scores]:
        """Return the scores of a model on all examples."""
        return self.run.data.score(model, self.run.scorer, self.run.training.evaluation_batch)

    def at(self, model: nn.Module, dose: float) -> _Seen:
        """Return what is measured of the model at a dose: on all examples at both ends of the path."""
        if dose == 0:
            return _Seen(self.start, self.displacement.of(model, self.start["train"]), whole=True)
        if self.drawn is None or arrived(dose, self.budget):
            scores = self.whole(model)
            return _Seen(scores, self.displacement.of(model, scores["train"]), whole=True)
        scores = self.drawn.score(model, self.run.scorer, self.run.training.evaluation_batch)
        return _Seen(scores, self.displacement.of(model), whole=False)


@dataclass
class _Places:
    """The observed places of a path so far; the first is where it starts."""

    sets: dict[str, Metered]
    drawn: Drawn | None
    scores: list[dict[str, Scores]]
    moved: list[dict[str, float | None]]
    whole: list[bool] = field(default_factory=lambda: [True])
    doses: list[float] = field(default_factory=lambda: [0.0])
    updates: list[int] = field(default_factory=lambda: [0])
    passes: dict[str, list[float]] = field(init=False)

    def __post_init__(self) -> None:
        self.passes = {role: [0.0] for role in self.sets}

    def add(self, step: Step, seen: _Seen) -> None:
        """Note a place."""
        self.scores.append(seen.scores if seen.whole or self.drawn is None else self.drawn.spread(seen.scores))
        self.moved.append(seen.moved)
        self.whole.append(seen.whole)
        self.doses.append(float(step.dose))
        self.updates.append(step.updates)
        for role, batches in self.sets.items():
            self.passes[role].append(batches.passes)

    def complete(self, scores: dict[str, Scores]) -> None:
        """Score the last place on all examples."""
        self.scores[-1], self.whole[-1] = scores, True

    def reached(self, departure: Departure, level: float | None) -> bool:
        """Return whether UA at the last place is at or below a level; never without a level."""
        if level is None:
            return False
        split, kind = departure.split, departure.run.objective.scores_type
        last = place_accuracies(kind.stack(self.scores[-1:]), split.forget, split.retain, split.classes, kind.kind)
        return first_passage([last.UA], level) == 0

    def sealed(self, departure: Departure, status: str, one_shot: bool) -> tuple[dict[str, Tensor], UnlearnResult]:
        """Return tensors and record of the whole path."""
        split, kind = departure.split, departure.run.objective.scores_type
        record = UnlearnResult(
            status=status,
            doses=self.doses,
            updates=self.updates,
            passes=self.passes,
            classes=list(split.classes),
            one_shot=one_shot,
            budget=departure.path.budget,
            scores=kind.kind,
            moved={name: [place[name] for place in self.moved] for name in DISPLACEMENTS},
        )
        tensors = kind.stack(self.scores) | {"forget": split.forget, "retain": split.retain}
        if self.drawn is not None:
            tensors |= self.drawn.tensors() | {WHOLE: torch.tensor(self.whole)}
        return tensors, record
