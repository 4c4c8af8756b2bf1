"""The part of a plan that makes the models of stages."""

from __future__ import annotations

from typing import TYPE_CHECKING

from ungrok.study import jobs
from ungrok.study.jobs.leveled import LeveledSpec
from ungrok.study.jobs.matched import MatchedSpec
from ungrok.study.jobs.rescaled import RescaledSpec
from ungrok.study.jobs.stage import StageSpec
from ungrok.study.recipe_blocks import Level, Matched, Rescaled
from ungrok.train.stages import stage_name

if TYPE_CHECKING:
    from ungrok.study.plan import Plan


def add_stage(plan: Plan, arm: str, seed: int, stage: str) -> str:
    """Add the job that makes a stage's model, and what it is made from."""
    control, label = plan.recipe.controls.get(stage), f"{stage}, {arm}, seed {seed}"
    trajectory = plan.trajectories[arm, seed]
    if isinstance(control, Rescaled):
        source = add_stage(plan, arm, seed, stage_name(control.stage))
        return plan.add(
            jobs.RescaledCheckpoint(RescaledSpec(factor=control.factor), {"stage": source}, f"rescaled {label}")
        )
    if isinstance(control, Matched):
        inputs = {
            "trajectory": trajectory,
            "to": add_stage(plan, control.arm, seed, stage_name(control.stage)),
            "to_trajectory": plan.trajectories[control.arm, seed],
        }
        spec = MatchedSpec(
            equal=control.equal, tolerance=control.tolerance, part=control.part, transition=plan.recipe.transition
        )
        return plan.add(jobs.MatchedCheckpoint(spec, inputs, f"matched {label}"))
    return add_reached(plan, trajectory, stage, label)


def add_reached(plan: Plan, trajectory: str, stage: str, label: str) -> str:
    """Add the job that makes the model of a stage which is found along one training: a named one, a step or a level.

    Args:
        plan: The plan.
        trajectory: Key of the training.
        stage: Name of the stage.
        label: What the job is called, after what it does.

    """
    control, rule, inputs = plan.recipe.controls.get(stage), plan.recipe.transition, {"trajectory": trajectory}
    if isinstance(control, Level):
        level = LeveledSpec(of=control.of, at=control.at, times=rule.sustained if control.sustained else 1)
        return plan.add(jobs.LeveledCheckpoint(level, inputs, f"level {label}"))
    return plan.add(jobs.Stage(StageSpec(stage=stage, transition=rule), inputs, f"stage {label}"))
