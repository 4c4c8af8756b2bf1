"""What ``ungrok`` offers by name, and where it is defined; ``python -m ungrok._exports`` writes ``__init__.pyi`` from it."""

from __future__ import annotations

from pathlib import Path

from ungrok.core.catalog import entries

PLACES = {
    "Audit": "ungrok.evaluate.audit",
    "CausalLM": "ungrok.core.causal_lm",
    "Classification": "ungrok.core.objective",
    "Step": "ungrok.methods.base",
    "Unlearner": "ungrok.methods.base",
    "audit": "ungrok.evaluate.audit",
    "unlearn": "ungrok.methods.run",
    "unlearning_path": "ungrok.methods.run",
}
"""Names and their modules; the classes of the methods come on top."""


def places() -> dict[str, str]:
    """Return the module of every name, in alphabetical order."""
    methods = {entry.class_name: entry.module for entry in entries("ungrok.methods", "UNLEARNERS.register").values()}
    return dict(sorted((PLACES | methods).items()))


def stub() -> str:
    """Return what ``__init__.pyi`` should hold, for editors and type checkers, which do not run ``__getattr__``."""
    names = places()
    lines = [f"from {module} import {name} as {name}" for name, module in sorted(names.items(), key=lambda x: x[::-1])]
    listed = [f'    "{name}",' for name in names]
    return "\n".join([f'"""{__doc__}"""', "", *lines, "", "__version__: str", "__all__ = [", *listed, "]", ""])


if __name__ == "__main__":
    Path(__file__).with_name("__init__.pyi").write_text(stub(), encoding="utf-8")
