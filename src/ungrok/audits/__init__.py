"""Attacks after unlearning ("stress tests"): one file each, one contract, one registry, which finds them in this folder."""

from ungrok.audits.attacked import attacked
from ungrok.audits.base import STRESS_TESTS, Examples, Setting, StressMaterial, StressStep, StressTest
from ungrok.audits.scoring import Score, Scorer

__all__ = [
    "STRESS_TESTS",
    "Examples",
    "Score",
    "Scorer",
    "Setting",
    "StressMaterial",
    "StressStep",
    "StressTest",
    "attacked",
]
