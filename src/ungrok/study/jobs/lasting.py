"""The first place of an unlearning path whose forgetting stands a repair: training on retained data alone."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, ClassVar, Literal

import numpy as np
import torch
from torch import Tensor

from ungrok.audits import Setting
from ungrok.audits.relearn import Relearn
from ungrok.core.schema import Schema
from ungrok.core.weights import kept, whole
from ungrok.evaluate.targets import first_passage
from ungrok.methods import OneShot
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Job, Result, register
from ungrok.study.jobs.checkpoint import Checkpoint, weights_of
from ungrok.study.jobs.evaluate import Evaluate
from ungrok.study.jobs.paths import Departure, PathSpec, Sources, arrived, depart
from ungrok.study.jobs.placed import row_at
from ungrok.study.jobs.stress import material, scorer
from ungrok.study.jobs.unlearn import observed
from ungrok.study.recipe_blocks import Observation
from ungrok.study.seeding import repair_of
from ungrok.study.store import Work
from ungrok.train.speed import UnlearningSpeed

HANDFUL = 6
"""Number of places, spaced evenly by the logarithm of the dose, that are tried before the search goes on by halves."""

BEFORE = ("UA", "RA", "TA", "validation_accuracy", "bystander_accuracy")
"""Accuracies of a tried place; those after the repair have the suffix ``_after``."""


class Repair(Schema):
    """Training on retained data alone, at each of several rates; SGD has a momentum of 0.9."""

    updates: int
    lr: tuple[float, ...]
    batch: int
    optimizer: Literal["sgd", "adamw"] = "sgd"


class LastingSpec(PathSpec):
    """A path, where it is observed, the level of UA that is to last, and what it is to last through.

    The input ``rows`` says where the level is first reached; the path is walked to its end, also where the rows end there.
    """

    optional: ClassVar[frozenset[str]] = PathSpec.optional | {"repair_speed"}

    target: float
    observe: Observation
    repair: Repair
    repair_speed: UnlearningSpeed = UnlearningSpeed()


class LastingResult(Result):
    """One row per tried place in the order of the path, or the ``reason`` why there are none.

    ``dose``, ``updates`` (None on one-shot paths), :data:`BEFORE`, and the same with ``_after`` at the rate of the repair that brings
    most back, None where none leaves finite numbers; ``lasts``: UA is at or below the target before and after; ``first``: the first
    such place; ``monotone``: no place with finite numbers that was tried after it fails. ``budget`` is the dose at which the path ends.
    """

    rows: list[dict[str, Any]] = []
    reason: str = ""
    budget: float | None = None


@register
class Lasting(Job[LastingSpec, LastingResult]):
    """Find the first observed place of a path whose UA stays at or below a target through a repair."""

    kind = "lasting"
    version = 1
    spec_type = LastingSpec
    result_type = LastingResult
    cost = 6.0
    advice = "batches.forget, batches.retain or lasting.batch"

    def run(self, work: Work) -> LastingResult:
        """Walk the path, and try places."""
        source, spec = work.open("stage", Checkpoint), self.spec
        if source.result.step is None:
            return LastingResult(reason=source.result.reason)
        training = source.result.training
        departure = depart(training, weights_of(source), spec, Sources.of(work, training))
        budget, hit = departure.path.budget, row_at(work.open("rows", Evaluate).result.rows, spec.target)
        if hit is None:
            return LastingResult(reason=f"UA never came down to {spec.target:g}", budget=budget)
        if hit["dose"] == 0:
            return LastingResult(reason="nothing to forget", budget=budget)
        places = list(_candidates(departure, spec, float(hit["dose"]), work))
        if not places:
            return LastingResult(
                reason=f"no place with UA at or below {spec.target:g} has finite weights", budget=budget
            )
        trial = _Trial(departure, spec, places)
        outcome = tried([place.dose for place in places], trial.lasts)
        first = next((index for index, stays in outcome.items() if stays), None)
        later = [index for index in outcome if first is not None and index > first]
        monotone = not any(outcome[index] is False for index in later)
        rows = [
            trial.rows[index] | {"lasts": bool(stays), "first": index == first, "monotone": monotone}
            for index, stays in outcome.items()
        ]
        return LastingResult(rows=rows, budget=budget)

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of the path, and of repairing as many places as the longest search tries."""
        price, total, repair = prices.unlearning, self.spec.updates(), self.spec.repair
        method = self.spec.unlearn
        places = len(method.doses()) if isinstance(method, OneShot) else len(observed(total, self.spec.observe))
        tries = min(places, HANDFUL + math.ceil(math.log2(max(2, places))))
        each = len(repair.lr) * (repair.updates * price.update + price.evaluation) + price.evaluation
        return Bill(total * price.update + tries * each, 0)


@dataclass(frozen=True)
class _Place:
    """An observed place of a path, with a copy of what is kept of its model's weights; ``updates`` is None on one-shot paths."""

    dose: float
    updates: int | None
    weights: dict[str, Tensor]


def _candidates(departure: Departure, spec: LastingSpec, first: float, work: Work) -> Iterator[_Place]:
    """Walk a path to its end, and yield its observed places from a dose on, as long as their weights are finite."""
    one_shot, budget = isinstance(spec.unlearn, OneShot), departure.path.budget
    observed_at = set() if one_shot else observed(int(budget), spec.observe)
    for step in departure.path:
        if not arrived(step.dose, first) or not (one_shot or step.updates in observed_at):
            continue
        weights = {name: value.detach().cpu().clone() for name, value in kept(step.model).items()}
        if not all(bool(value.isfinite().all()) for value in weights.values()):
            return
        yield _Place(float(step.dose), None if one_shot else step.updates, weights)
        work.tick(step.dose / budget / 2)


class _Trial:
    """Tries places of a path: is the forgetting still there after the repair?

    Args:
        departure: The path, which has been walked; its model is used again.
        spec: The job's.
        places: Candidates.

    """

    def __init__(self, departure: Departure, spec: LastingSpec, places: Sequence[_Place]) -> None:
        self.rows: dict[int, dict[str, Any]] = {}
        """By the number of a tried place: dose, updates, and accuracies before and after the repair."""
        self._model = departure.run.model
        self._spec = spec
        self._places = places
        self._score = scorer(departure.run, departure.split)
        self._material = material(departure.run, departure.split, repair_of(spec.seed), speed=spec.repair_speed)
        self._all = torch.arange(len(departure.split.forget))

    def lasts(self, index: int) -> bool | None:
        """Repair the model of a place at every rate, note its row, and return whether UA stays at or below the target.

        None where that cannot be said: the numbers are not finite, before the repair or, at all rates, after it.
        """
        place, target = self._places[index], self._spec.target
        self._model.load_state_dict(whole(self._model, place.weights))
        before = self._score(self._model, self._all)
        after = max((self._repaired(setting) for setting in self._relearn.settings()), key=_ua)
        self.rows[index] = {
            "dose": place.dose,
            "updates": place.updates,
            **{name: before[name] for name in BEFORE},
            **{f"{name}_after": after[name] for name in BEFORE},
        }
        below = [None if each["UA"] is None else first_passage([each["UA"]], target) == 0 for each in (before, after)]
        return False if False in below else None if None in below else True

    @property
    def _relearn(self) -> Relearn:
        return Relearn(shares=(0.0,), **self._spec.repair.to_dict())

    def _repaired(self, setting: Setting) -> Mapping[str, float | None]:
        """Return the numbers of the model after the repair at one rate."""
        last = deque(self._relearn.path(self._model, self._material, setting), maxlen=1).pop()
        return self._score(last.model, self._all)


def _ua(numbers: Mapping[str, float | None]) -> float:
    """Return UA, or less than any where numbers are not finite: a repair that diverges brings nothing back."""
    return -1.0 if numbers["UA"] is None else numbers["UA"]


def tried(doses: Sequence[float], lasts: Callable[[int], bool | None]) -> dict[int, bool | None]:
    """Try places of a path until the first that lasts is known, taking it that all after it last, too, or say nothing.

    First a handful, spaced evenly by the logarithm of the dose, the first and the last place among them; then halves between the
    first of these that lasts and the one before it. Where none of them lasts, but some after the last that fails say nothing, what lasts
    may lie before these.

    Args:
        doses: Of the places, increasing and above 0.
        lasts: Says whether a place lasts, by its number; None where that cannot be said.

    Returns:
        What was said of each tried place, by its number, in the order of the path. The place before the first that lasts is among
        them, and does not last.

    """
    outcome = {index: lasts(index) for index in handful(doses)}
    last_fails = max((index for index, stays in outcome.items() if stays is False), default=-1)
    silent = next((index for index in outcome if index > last_fails), None)
    first = next((index for index, stays in outcome.items() if stays), silent)
    if first is not None:
        fails = max((index for index in outcome if index < first), default=first - 1)
        while first - fails > 1:
            middle = (first + fails) // 2
            outcome[middle] = stays = lasts(middle)
            sooner = stays or (stays is None and outcome[first] is None)
            first, fails = (middle, fails) if sooner else (first, middle)
    return dict(sorted(outcome.items()))


def handful(doses: Sequence[float]) -> list[int]:
    """Return the numbers of at most :data:`HANDFUL` places, spaced evenly by the logarithm of the dose, the first and last among them."""
    logs = np.log(np.asarray(doses, dtype=np.float64))
    wanted = np.linspace(logs[0], logs[-1], HANDFUL)
    return sorted({int(np.abs(logs - one).argmin()) for one in wanted})
