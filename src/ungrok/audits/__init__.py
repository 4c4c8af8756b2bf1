"""Audits: attacks after unlearning ("stress tests"), found in this folder by a registry, and audits of many models by their signals."""

from ungrok.audits.attacked import attacked
from ungrok.audits.base import STRESS_TESTS, Examples, Setting, StressMaterial, StressStep, StressTest
from ungrok.audits.entanglement import entanglement
from ungrok.audits.klom import klom
from ungrok.audits.memorization import influence, memorization, worst_case
from ungrok.audits.neurips import neurips_score
from ungrok.audits.one_model import one_model
from ungrok.audits.planted import planted
from ungrok.audits.rmia import rmia
from ungrok.audits.scoring import Score, Scorer
from ungrok.audits.shadows import load_shadows
from ungrok.audits.sharded import shards_hit, share_retrained
from ungrok.audits.signals import correctness, margins, probabilities
from ungrok.audits.ulira import ulira
from ungrok.core.accountant import noisy_fine_tuning, output_perturbation, output_perturbation_sigma

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
    "correctness",
    "entanglement",
    "influence",
    "klom",
    "load_shadows",
    "margins",
    "memorization",
    "neurips_score",
    "noisy_fine_tuning",
    "one_model",
    "output_perturbation",
    "output_perturbation_sigma",
    "planted",
    "probabilities",
    "rmia",
    "shards_hit",
    "share_retrained",
    "ulira",
    "worst_case",
]
