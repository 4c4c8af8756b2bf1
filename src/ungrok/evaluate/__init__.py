"""Metrics: functions of scores."""

from ungrok.evaluate.accuracy import Accuracies, accuracies
from ungrok.evaluate.gap import oracle_gap, ues
from ungrok.evaluate.rewind import rewind
from ungrok.evaluate.targets import first_passage, target_column

__all__ = ["Accuracies", "accuracies", "first_passage", "oracle_gap", "rewind", "target_column", "ues"]
