"""Machine unlearning as a function of when a model's training stopped."""

from __future__ import annotations

import sys
from importlib import metadata
from inspect import signature
from types import ModuleType

from ungrok.evaluate import Audit, audit
from ungrok.unlearn import Step, Unlearner, unlearn, unlearning_path

__version__ = metadata.version("ungrok")
__all__ = ["Audit", "Step", "Unlearner", "audit", "unlearn", "unlearning_path"]


class _Callable(ModuleType):
    """The package ``ungrok.unlearn``, which can be called as its main function."""

    __call__ = staticmethod(unlearn)
    __signature__ = signature(unlearn)


# `ungrok.unlearn` is both the function for users and the package of methods; neither may hide the other.
sys.modules["ungrok.unlearn"].__class__ = _Callable
setattr(sys.modules[__name__], "unlearn", sys.modules["ungrok.unlearn"])  # noqa: B010 (mypy sees the function)
