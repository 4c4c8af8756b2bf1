"""The logits of one shadow model, as it stands at a stage or after it has unlearned a forget set there."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import torch
from torch import Tensor, nn

from ungrok.core.files import save_packed
from ungrok.core.scores import ClassScores
from ungrok.core.weights import whole
from ungrok.data.base import Data, Split
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Job, Result, Spec, register
from ungrok.study.jobs.checkpoint import Checkpoint, weights_of
from ungrok.study.jobs.paths import Departure, Sources, depart, matched_dose, walk_to
from ungrok.study.jobs.snapshot import SnapshotSpec
from ungrok.study.jobs.trained import TrainSpec, build_run
from ungrok.study.problem_data import load_data
from ungrok.study.store import Tick, Work
from ungrok.train import Run

LOGITS = "logits.safetensors"
POOL, TEST = "pool", "test"
"""Names of the tensors in it."""

NOT_FINITE = "its logits are not finite"
NO_LEVEL = "no shadow that never saw the forget set reached this stage, so nothing says where to stop"


class ShadowSpec(Spec):
    """Nothing but the input ``stage``."""


class ShadowResult(Result):
    """``step`` of the training at which the model stands; None where there are no logits, for the ``reason`` given."""

    step: int | None
    reason: str


NEVER = "never-"
"""How the roles of inputs begin that are the logits of shadows that never saw the forget set, at the same stage."""


class ShadowUnlearnedSpec(SnapshotSpec):
    """The path of a shadow model that holds the forget set, one of the sets of its training, and where it stops.

    That is the first update, or strength, with UA at or below the mean UA of the inputs :data:`NEVER`, or the end where there is none. Without
    such inputs it is at ``dose``.
    """


class ShadowUnlearnedResult(ShadowResult):
    """The same, the ``dose`` at which the model stands, and the ``level`` of UA at which it was to stop; None at the matched dose."""

    optional: ClassVar[frozenset[str]] = frozenset({"level"})

    dose: int | float | None = None
    level: float | None = None


class ShadowLogits(Job[Any, Any]):
    """A job that keeps the float16 logits of one shadow model on the pool and on the test examples.

    Weights are read from the job ``stage`` and kept nowhere else: what a training and its stages keep can go once all logits are there, and
    the engine makes it again, bit for bit, where a further method asks for it.
    """

    cost = 0.5


@register
class Shadow(ShadowLogits):
    """Score a shadow model at a stage."""

    kind = "shadow"
    version = 1
    spec_type = ShadowSpec
    result_type = ShadowResult

    spec: ShadowSpec

    def run(self, work: Work) -> ShadowResult:
        """Score the model."""
        source = work.open("stage", Checkpoint)
        if source.result.step is None:
            return ShadowResult(step=None, reason=source.result.reason)
        run = build_run(source.result.training)
        run.model.load_state_dict(whole(run.model, weights_of(source)))
        finite = keep_logits(run.model, run, source.result.training, work.folder)
        return ShadowResult(step=source.result.step if finite else None, reason="" if finite else NOT_FINITE)

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of one evaluation."""
        return Bill(prices.unlearning.evaluation, prices.logits)


@register
class ShadowUnlearned(ShadowLogits):
    """Unlearn a forget set from a shadow model that holds it, up to a place on the path, and score it there."""

    kind = "shadow_unlearned"
    version = 1
    spec_type = ShadowUnlearnedSpec
    result_type = ShadowUnlearnedResult
    cost = 2.0
    advice = "batches.forget, batches.retain or trajectory.evaluation_batch"

    spec: ShadowUnlearnedSpec

    def run(self, work: Work) -> ShadowUnlearnedResult:
        """Walk the path."""
        source, spec = work.open("stage", Checkpoint), self.spec
        step, training = source.result.step, source.result.training
        if step is None:
            return ShadowUnlearnedResult(step=None, reason=source.result.reason)
        assert training.held is not None
        never = [work.open(role, ShadowLogits) for role in work.inputs if role.startswith(NEVER)]
        there = [one.tensors(LOGITS)[POOL] for one in never if one.result.step is not None]
        if never and not there:
            return ShadowUnlearnedResult(step=None, reason=NO_LEVEL)
        pool = load_data(training.problem)
        split = training.held.split(pool, spec.forget)
        departure = depart(training, weights_of(source), spec, replace(Sources.of(work, training), split=split))
        level = _level(there, pool, training.held.examples(pool)[split.forget])
        if level is None:
            dose = matched_dose(spec.unlearn, departure.path.budget, spec.dose, spec.strength)
            model = walk_to(departure.path, dose, work.tick)
        else:
            dose, model = _walk_until(departure, level, work.tick)
        finite = keep_logits(model, departure.run, training, work.folder)
        return ShadowUnlearnedResult(
            step=step if finite else None, reason="" if finite else NOT_FINITE, dose=dose, level=level
        )

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of the updates to the matched dose, and of one evaluation."""
        price, to_end = prices.unlearning, any(role.startswith(NEVER) for role in self.inputs)
        updates = (1.0 if to_end else self.spec.dose) * self.spec.updates()
        return Bill(updates * price.update + price.evaluation, prices.logits)


def _level(never: Sequence[Tensor], pool: Data, forget: Tensor) -> float | None:
    """Return the mean UA, on examples of the pool, of shadows that never saw them, from their logits; None without any."""
    right = [(logits[forget].float().argmax(dim=1) == pool.train.targets[forget]).double().mean() for logits in never]
    return float(torch.stack(right).mean()) if right else None


def _walk_until(departure: Departure, level: float, tick: Tick) -> tuple[float, nn.Module]:
    """Return the dose and the live model of the first place on a path with UA at or below a level, or those of its end."""
    run, path = departure.run, departure.path
    forget = run.data.train.of(departure.split.forget)
    dose, model = 0.0, run.model
    for place in path:
        dose, model = place.dose, place.model
        tick(place.dose / path.budget)
        scores = forget.score(model, run.objective, run.training.evaluation_batch, keep_logits=False)
        if scores.diverged or (scores.accuracy is not None and scores.accuracy <= level):
            break
    return dose, model


def keep_logits(model: nn.Module, run: Run, training: TrainSpec, folder: Path) -> bool:
    """Write a model's logits on all examples of the pool and on all test examples into a job's folder, unless some are not finite.

    Args:
        model: On the run's device.
        run: Says how it is scored.
        training: That of the model.
        folder: Of the job.

    Returns:
        Whether they are all finite.

    """
    data = load_data(training.problem).to(run.device)
    parts: dict[str, Split] = {POOL: data.train, TEST: data.test}
    scores = {name: part.score(model, run.scorer, run.training.evaluation_batch) for name, part in parts.items()}
    if any(part.diverged for part in scores.values()):
        return False
    save_packed(folder / LOGITS, {name: _halved(part) for name, part in scores.items()})
    return True


def _halved(scores: Any) -> Tensor:
    """Return logits as float16; what is too large for that becomes the largest that there is."""
    assert isinstance(scores, ClassScores)
    assert scores.logits is not None
    largest = torch.finfo(torch.float16).max
    return scores.logits.clamp(-largest, largest).half()
