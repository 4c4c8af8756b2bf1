"""Metrics: functions of scores."""

from ungrok.evaluate.accuracy import Accuracies, accuracies, class_accuracies
from ungrok.evaluate.audit import Audit, audit
from ungrok.evaluate.gap import oracle_gap, ues
from ungrok.evaluate.membership import Attack, membership
from ungrok.evaluate.rewind import rewind
from ungrok.evaluate.targets import first_passage, target_column

__all__ = [
    "Accuracies",
    "Attack",
    "Audit",
    "accuracies",
    "audit",
    "class_accuracies",
    "first_passage",
    "membership",
    "oracle_gap",
    "rewind",
    "target_column",
    "ues",
]
