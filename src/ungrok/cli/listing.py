"""The command that lists what recipes may name; it reads source files, so that it answers before torch is imported."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Annotated

import typer

from ungrok.cli.options import AsJson
from ungrok.cli.output import print_table
from ungrok.core.errors import unknown

REGISTRIES = {
    "datasets": ("problem", "ungrok.problems", ("ungrok.data", "PROBLEMS.register")),
    "models": ("model", "ungrok.models", ("ungrok.models", "MODELS.register")),
    "methods": ("unlearner", "ungrok.unlearners", ("ungrok.methods", "UNLEARNERS.register")),
    "schemes": ("scheme", "ungrok.schemes", ("ungrok.train", "SCHEMES.register")),
    "stress": ("stress test", "ungrok.stress_tests", ("ungrok.audits", "STRESS_TESTS.register")),
    "analyses": ("analysis", "ungrok.analyses", ("ungrok.analyze", "ANALYSES.register")),
    "claims": ("claim", "ungrok.claims", ("ungrok.study.claims", "CLAIMS.register")),
}
"""The arguments of each registry. The registries themselves are in modules that import torch, which takes long."""


def recipes() -> dict[str, str]:
    """Return the first line of each shipped recipe by name."""
    from ungrok.recipes import shipped

    return {name: path.read_text(encoding="utf-8").partition("\n")[0].lstrip("# ") for name, path in shipped().items()}


def _registered(what: str) -> dict[str, str]:
    from ungrok.core.registry import Registry

    return Registry(*REGISTRIES[what]).summaries()


def _datasets() -> dict[str, str]:
    from ungrok.core.source import constant

    hub = constant("ungrok.data.vision", "HUB")
    return _registered("datasets") | {f"vision dataset={name}": row[0] for name, row in hub.items()}


def _metrics() -> dict[str, str]:
    from ungrok.evaluate.catalog import metrics

    return metrics()


def _paper() -> dict[str, str]:
    from importlib import resources

    import yaml

    text = (resources.files("ungrok") / "report" / "paper.yaml").read_text(encoding="utf-8")
    loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
    return {f"paper:{part}": content["title"] for part, content in yaml.load(text, loader).items()}  # noqa: S506 (safe)


LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "datasets": _datasets,
    "models": lambda: _registered("models"),
    "methods": lambda: _registered("methods"),
    "metrics": _metrics,
    "schemes": lambda: _registered("schemes"),
    "stress": lambda: _registered("stress"),
    "analyses": lambda: _registered("analyses"),
    "claims": lambda: _registered("claims"),
    "paper": _paper,
    "recipes": recipes,
}


def _complete(incomplete: str) -> list[str]:
    return [what for what in LISTS if what.startswith(incomplete)]


def list_(
    what: Annotated[str, typer.Argument(metavar="|".join(LISTS), help="What to list.", autocompletion=_complete)],
    as_json: AsJson = False,
) -> None:
    """List what recipes may name."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    entries = LISTS[what]()
    if as_json:
        typer.echo(json.dumps(entries, indent=1, ensure_ascii=False))
        return
    print_table(["name", what], [list(entry) for entry in entries.items()], header=False)
