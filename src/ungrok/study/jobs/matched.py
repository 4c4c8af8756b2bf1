"""Finds the step at which one quantity is nearest to its value at another checkpoint, and keeps the model there."""

from __future__ import annotations

from ungrok.core.schema import Schema
from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Spec, register
from ungrok.study.jobs.checkpoint import WEIGHTS, Checkpoint, CheckpointResult, keep_at
from ungrok.study.jobs.trained import Trained, trajectory_of
from ungrok.study.store import Work
from ungrok.train import TransitionRule, match_step, value_at
from ungrok.train.matching import Nuisance, Part


class MatchedSpec(Spec):
    """What is to be equal on the input ``trajectory`` and at the checkpoint ``to`` of ``to_trajectory``."""

    equal: Nuisance
    tolerance: float
    part: Part
    transition: TransitionRule


class MatchValues(Schema):
    """The quantity at the checkpoint to be matched (``wanted``) and at the nearest step (``found``), and how far apart they are."""

    wanted: float | None
    found: float | None
    mismatch: float | None


class MatchedResult(CheckpointResult):
    """Where the matched model stands; ``match`` is None where there was no checkpoint to be matched."""

    match: MatchValues | None


@register
class MatchedCheckpoint(Checkpoint):
    """Find the step of a trajectory at which one quantity is nearest to its value at another checkpoint, and keep the model there."""

    kind = "matched"
    version = 1
    unread = frozenset({WEIGHTS})
    spec_type = MatchedSpec
    result_type = MatchedResult
    cost = 1.0

    spec: MatchedSpec

    def run(self, work: Work) -> MatchedResult:
        """Find the step."""
        source, other, to = (
            work.open("trajectory", Trained),
            work.open("to_trajectory", Trained),
            work.open("to", Checkpoint),
        )
        trajectory, step, spec = trajectory_of(source), to.result.step, self.spec
        if step is None:
            reason = f"no checkpoint to be matched ({to.result.reason})"
            return MatchedResult(step=None, reason=reason, match=None, training=source.spec)
        transition = trajectory.transition(spec.transition)
        wanted = float(step) if spec.equal == "updates" else value_at(trajectory_of(other), step, spec.equal)
        same = step if source.path == other.path else None
        nearest = match_step(trajectory.metrics, transition, wanted, spec.equal, spec.tolerance, spec.part, same)
        if nearest.step is not None:
            keep_at(source, trajectory, nearest.step, work.folder)
        match = MatchValues(wanted=nearest.wanted, found=nearest.reached, mismatch=nearest.mismatch)
        return MatchedResult(step=nearest.step, reason=nearest.reason, match=match, training=source.spec)

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of a replay."""
        return Bill(prices.replay, prices.unlearning.weights)
