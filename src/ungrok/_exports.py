"""What ``ungrok`` offers by name, and where it is defined; ``python -m ungrok._exports`` writes ``__init__.pyi``."""

from __future__ import annotations

from importlib import import_module
from pathlib import Path
from typing import Any

from ungrok.core.catalog import entries
from ungrok.core.collector import paused

PLACES = {
    "Audit": "ungrok.evaluate.audit",
    "CausalLM": "ungrok.core.causal_lm",
    "Classification": "ungrok.core.objective",
    "Deletion": "ungrok.deletion.run",
    "DeletionRecord": "ungrok.deletion.record",
    "NotApplicable": "ungrok.core.errors",
    "Objective": "ungrok.core.objective",
    "RecipeError": "ungrok.core.errors",
    "Recorder": "ungrok.train.recorder",
    "Step": "ungrok.methods.path",
    "StressReport": "ungrok.audits.report",
    "StressTest": "ungrok.audits.base",
    "Unlearner": "ungrok.methods.base",
    "UnlearningWarning": "ungrok.core.errors",
    "attack": "ungrok.api",
    "audit": "ungrok.api",
    "audits": "ungrok",
    "delete": "ungrok.deletion.run",
    "sweep": "ungrok.api",
    "unlearn": "ungrok.methods.run",
    "unlearning_path": "ungrok.methods.run",
    "verify": "ungrok.deletion.verify",
}
"""Names and their modules; the classes of the methods and of the stress tests come on top."""

REGISTERED = (("ungrok.methods", "UNLEARNERS.register"), ("ungrok.audits", "STRESS_TESTS.register"))
"""Packages whose registered classes are offered, with the decorators that register them."""


def places() -> dict[str, str]:
    """Return the module of every name, in alphabetical order."""
    classes = {entry.class_name: entry.module for where in REGISTERED for entry in entries(*where).values()}
    return dict(sorted((PLACES | classes).items()))


def load(name: str) -> Any:
    """Import what is offered under a name, and return it."""
    module = PLACES.get(name) or places()[name]
    with paused():
        return import_module(f"ungrok.{name}") if module == "ungrok" else getattr(import_module(module), name)


def stub() -> str:
    """Return what ``__init__.pyi`` should hold, for editors and type checkers, which do not run ``__getattr__``."""
    pairs = sorted((module, name) for name, module in places().items())
    imports = [f"from {module} import {name} as {name}" for module, name in pairs]
    return "\n".join(['"""Written by ``python -m ungrok._exports``."""', "", *imports, "", "__version__: str", ""])


if __name__ == "__main__":
    Path(__file__).with_name("__init__.pyi").write_text(stub(), encoding="utf-8")
