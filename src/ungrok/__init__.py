"""Machine unlearning as a function of when a model's training stopped."""

from __future__ import annotations

from importlib import metadata

from ungrok.api import audit
from ungrok.evaluate import Audit
from ungrok.methods import Step, Unlearner, unlearn, unlearning_path

__version__ = metadata.version("ungrok")
__all__ = ["Audit", "Step", "Unlearner", "audit", "unlearn", "unlearning_path"]
