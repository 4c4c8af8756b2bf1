"""Finds the step of a stage, and keeps the model there."""

from __future__ import annotations

from ungrok.study.bill import Bill, Prices
from ungrok.study.job import Spec, register
from ungrok.study.jobs.checkpoint import Checkpoint, CheckpointResult, keep_at
from ungrok.study.jobs.trained import Trained, trajectory_of
from ungrok.study.store import Work
from ungrok.train import TransitionRule, stage_step


class StageSpec(Spec):
    """Which stage of the input ``trajectory``, and by which rule its transition is found."""

    stage: str
    transition: TransitionRule


@register
class Stage(Checkpoint):
    """Find the step of a stage and keep the model there."""

    kind = "stage"
    version = 1
    spec_type = StageSpec
    cost = 1.0

    spec: StageSpec

    def run(self, work: Work) -> CheckpointResult:
        """Find the step."""
        source = work.open("trajectory", Trained)
        trajectory = trajectory_of(source)
        transition = trajectory.transition(self.spec.transition)
        step, reason = stage_step(self.spec.stage, trajectory.metrics, transition)
        if step is not None:
            keep_at(source, trajectory, step, work.folder)
        return CheckpointResult(step=step, reason=reason, training=source.spec)

    def bill(self, prices: Prices) -> Bill:
        """Return the cost of a replay."""
        return Bill(prices.replay, prices.unlearning.weights)
