"""Finds the first step at which a signal of training reaches a level, and keeps the model there."""

from __future__ import annotations

from pydantic import Field

from ungrok.core.schema import Schema
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Spec, register
from ungrok.study.jobs.checkpoint import Checkpoint, CheckpointResult, keep_at
from ungrok.study.jobs.trained import Trained, trajectory_of
from ungrok.study.store import Work
from ungrok.train.stages import Signal, level_crossing


class LeveledSpec(Spec):
    """Which signal of the input ``trajectory``, which level of it, and in how many evaluations in a row it must be held."""

    of: Signal
    at: float
    times: int = Field(ge=1)


class Reached(Schema):
    """The signal at the step that was found, and the evaluated step before, by which the level was not held yet."""

    value: float
    after: int


class LeveledResult(CheckpointResult):
    """Where the model stands; ``reached`` is None where the level was not held."""

    reached: Reached | None


@register
class LeveledCheckpoint(Checkpoint):
    """Find the first evaluated step from which a signal holds a level, and keep the model there."""

    kind = "leveled"
    version = 1
    spec_type = LeveledSpec
    result_type = LeveledResult
    cost = 1.0

    spec: LeveledSpec

    def run(self, work: Work) -> LeveledResult:
        """Find the step."""
        source, spec = work.open("trajectory", Trained), self.spec
        trajectory = trajectory_of(source)
        crossing, reason = level_crossing(trajectory.metrics, spec.of, spec.at, spec.times)
        if crossing is None:
            return LeveledResult(step=None, reason=reason, reached=None, training=source.spec)
        here = trajectory.metrics.set_index("step")[spec.of]
        keep_at(source, trajectory, crossing.step, work.folder)
        reached = Reached(value=float(here.loc[crossing.step]), after=crossing.after)
        return LeveledResult(step=crossing.step, reason="", reached=reached, training=source.spec)

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of a replay."""
        return Bill(prices.replay, prices.unlearning.weights)
