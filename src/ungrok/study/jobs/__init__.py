"""The kinds of job, one file each: what a job is made from, what it computes, and what it returns."""

from ungrok.study.job import KINDS
from ungrok.study.jobs.analyze import Analyze
from ungrok.study.jobs.checkpoint import Checkpoint
from ungrok.study.jobs.evaluate import Evaluate
from ungrok.study.jobs.matched import Matched
from ungrok.study.jobs.oracle import Oracle
from ungrok.study.jobs.rescaled import Rescaled
from ungrok.study.jobs.snapshot import Snapshot
from ungrok.study.jobs.split import Split
from ungrok.study.jobs.stage import Stage
from ungrok.study.jobs.train import Train
from ungrok.study.jobs.trained import Trained
from ungrok.study.jobs.unlearn import Unlearn

__all__ = [
    "KINDS",
    "Analyze",
    "Checkpoint",
    "Evaluate",
    "Matched",
    "Oracle",
    "Rescaled",
    "Snapshot",
    "Split",
    "Stage",
    "Train",
    "Trained",
    "Unlearn",
]
