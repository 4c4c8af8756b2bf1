"""Metrics: functions of scores."""

from ungrok.evaluate.accuracy import Accuracies, accuracies, class_accuracies
from ungrok.evaluate.audit import Audit
from ungrok.evaluate.catalog import metrics
from ungrok.evaluate.cost import Metered
from ungrok.evaluate.gap import oracle_gap, ues
from ungrok.evaluate.membership import membership
from ungrok.evaluate.rewind import rewind
from ungrok.evaluate.roc import AttackOutcome, roc
from ungrok.evaluate.targets import first_passage, target_column

__all__ = [
    "Accuracies",
    "AttackOutcome",
    "Audit",
    "Metered",
    "accuracies",
    "class_accuracies",
    "first_passage",
    "membership",
    "metrics",
    "oracle_gap",
    "rewind",
    "roc",
    "target_column",
    "ues",
]
