"""Training along a path: loop, optimizers, trajectories, transitions, stages."""

from ungrok.train.loop import Run, Training
from ungrok.train.matching import match_step, value_at
from ungrok.train.optimizers import OPTIMIZERS, Optimizer
from ungrok.train.stages import stage_step
from ungrok.train.trajectory import Trajectory, materialize
from ungrok.train.transition import Transition, TransitionRule, find_transition

__all__ = [
    "OPTIMIZERS",
    "Optimizer",
    "Run",
    "Training",
    "Trajectory",
    "Transition",
    "TransitionRule",
    "find_transition",
    "match_step",
    "materialize",
    "stage_step",
    "value_at",
]
