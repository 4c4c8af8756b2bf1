"""The model at the matched dose of an unlearning path, to be measured."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from ungrok.study.bill import Bill, Prices
from ungrok.study.job import register
from ungrok.study.jobs.checkpoint import Checkpoint, CheckpointResult, keep, weights_of
from ungrok.study.jobs.paths import PathSpec, Sources, depart, matched_dose, walk_to
from ungrok.study.store import Work


class SnapshotSpec(PathSpec):
    """A path, and where on it paths are compared: a share of the updates, or of the list of strengths."""

    dose: float
    strength: float


class SnapshotResult(CheckpointResult):
    """The stage from which the path starts, and the ``dose`` at which the model stands; None where there is no such stage."""

    dose: int | float | None


@register
class Snapshot(Checkpoint):
    """Walk an unlearning path to the matched dose, without scoring any place on the way, and keep the model there."""

    kind = "snapshot"
    version = 1
    spec_type = SnapshotSpec
    result_type = SnapshotResult
    cost = 2.0

    spec: SnapshotSpec

    def run(self, work: Work) -> SnapshotResult:
        """Walk the path."""
        source, spec = work.open("stage", Checkpoint), self.spec
        step, reason, training = source.result.step, source.result.reason, source.result.training
        if step is None:
            return SnapshotResult(step=None, reason=reason, training=training, dose=None)
        path = depart(training, weights_of(source), spec, Sources.of(work, training)).path
        dose = matched_dose(spec.unlearn, path.budget, spec.dose, spec.strength)
        keep(walk_to(path, dose, work.tick), work.folder, training)
        return SnapshotResult(step=step, reason=reason, training=training, dose=dose)

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of the updates to the matched dose."""
        price = prices.unlearning
        return Bill(self.spec.dose * self.spec.updates() * price.update, price.weights)

    def earlier(self) -> Iterator[tuple[str, int, dict[str, Any], dict[str, str]]]:
        """Yield the name under which earlier versions of the package kept these models."""
        yield "unlearned", 1, self.spec.spec(), self.inputs
