"""Mechanism measures on a checkpoint: plain numbers with units, each beside its null."""

from ungrok.analyze import (
    alignment,
    cka,
    curvature,
    fourier,
    learning_coefficient,
    local_complexity,
    representation,
    robustness,
    separation,
    sharpness,
)
from ungrok.analyze.base import ANALYSES, ROLES, Analysis, Null, Reading, Subject

__all__ = [
    "ANALYSES",
    "ROLES",
    "Analysis",
    "Null",
    "Reading",
    "Subject",
    "alignment",
    "cka",
    "curvature",
    "fourier",
    "learning_coefficient",
    "local_complexity",
    "representation",
    "robustness",
    "separation",
    "sharpness",
]
