"""The model at which one request of a sequence ends, and the next begins."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Literal

from ungrok.evaluate.targets import target_column
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import register
from ungrok.study.jobs.checkpoint import Checkpoint, CheckpointResult, keep, weights_of
from ungrok.study.jobs.evaluate import Evaluate
from ungrok.study.jobs.paths import PathSpec, Sources, depart
from ungrok.study.store import Work

Target = float | Literal["oracle"] | None
"""The level of UA at which a phase ends; None for its end."""


class PhaseSpec(PathSpec):
    """A path whose rows are the input ``rows``, and the target at which the phase ends; see :func:`end_of_phase`."""

    target: Target


class PhaseResult(CheckpointResult):
    """The stage from which the sequence starts, and the ``dose`` at which the phase ends; None where there is no such model."""

    dose: float | None


@register
class Phase(Checkpoint):
    """Walk an unlearning path to the place where its phase ends, without scoring any place on the way, and keep the model there."""

    kind = "phase"
    version = 1
    spec_type = PhaseSpec
    result_type = PhaseResult
    cost = 2.0

    spec: PhaseSpec

    def run(self, work: Work) -> PhaseResult:
        """Walk the path."""
        source, spec = work.open("stage", Checkpoint), self.spec
        step, reason, training = source.result.step, source.result.reason, source.result.training
        rows = work.open("rows", Evaluate).result.rows
        if step is None or not rows:
            return PhaseResult(step=None, reason=reason, training=training, dose=None)
        last = rows[end_of_phase(rows, spec.target)]
        if last["diverged"]:
            return PhaseResult(step=None, reason="an earlier request broke the model", training=training, dose=None)
        departure, dose = depart(training, weights_of(source), spec, Sources.of(work, training)), last["dose"]
        model = departure.run.model
        for place in departure.path if dose else ():
            model = place.model
            work.tick(place.dose / dose)
            if place.dose >= dose * (1 - 1e-9):
                break
        keep(model, work.folder, training)
        return PhaseResult(step=step, reason=reason, training=training, dose=dose)

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of all updates of the path, since it is not known where on it the phase ends."""
        price = prices.unlearning
        return Bill(self.spec.updates() * price.update, price.weights)


def end_of_phase(rows: Sequence[Mapping[str, Any]], target: Target) -> int:
    """Return the index of the place at which a phase ends: the first that reaches the target, or the last.

    Args:
        rows: Of the path, as :func:`ungrok.evaluate.path.path_rows` makes them.
        target: One of the targets that the rows were made for.

    """
    reached = None if target is None else target_column(target)
    return next((index for index, row in enumerate(rows) if reached and row[reached]), len(rows) - 1)
