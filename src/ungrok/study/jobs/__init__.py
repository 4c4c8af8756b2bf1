"""The kinds of job, one file each: what a job is made from, what it computes, and what it returns."""

from ungrok.study.job import KINDS
from ungrok.study.jobs.analyze import Analyze
from ungrok.study.jobs.checkpoint import Checkpoint
from ungrok.study.jobs.evaluate import Evaluate
from ungrok.study.jobs.lasting import Lasting
from ungrok.study.jobs.learned import WhenLearned
from ungrok.study.jobs.leveled import LeveledCheckpoint
from ungrok.study.jobs.matched import MatchedCheckpoint
from ungrok.study.jobs.oracle import Oracle
from ungrok.study.jobs.placed import Placed
from ungrok.study.jobs.rescaled import RescaledCheckpoint
from ungrok.study.jobs.schemes import Fulfilled, Prepared
from ungrok.study.jobs.sequence import RequestSequence
from ungrok.study.jobs.shadow import Shadow, ShadowLogits, ShadowUnlearned
from ungrok.study.jobs.shadow_split import ShadowSplit
from ungrok.study.jobs.snapshot import Snapshot
from ungrok.study.jobs.split import ChooseSplit
from ungrok.study.jobs.stage import Stage
from ungrok.study.jobs.stress import Stress
from ungrok.study.jobs.train import Train
from ungrok.study.jobs.trained import Trained
from ungrok.study.jobs.unlearn import Unlearn

__all__ = [
    "KINDS",
    "Analyze",
    "Checkpoint",
    "ChooseSplit",
    "Evaluate",
    "Fulfilled",
    "Lasting",
    "LeveledCheckpoint",
    "MatchedCheckpoint",
    "Oracle",
    "Placed",
    "Prepared",
    "RequestSequence",
    "RescaledCheckpoint",
    "Shadow",
    "ShadowLogits",
    "ShadowSplit",
    "ShadowUnlearned",
    "Snapshot",
    "Stage",
    "Stress",
    "Train",
    "Trained",
    "Unlearn",
    "WhenLearned",
]
