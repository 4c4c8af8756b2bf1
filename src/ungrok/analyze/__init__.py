"""Mechanism measures on a checkpoint: plain numbers with units, each beside its null."""

from ungrok.analyze.base import ANALYSES, ROLES, Analysis, Null, Reading, Subject

__all__ = ["ANALYSES", "ROLES", "Analysis", "Null", "Reading", "Subject"]
