"""What a study writes beside its report: its tables, recipe and verdicts, and what they were made with."""

from __future__ import annotations

import csv
import json
import os
import platform
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ungrok.core.files import checksum, write_json, write_text
from ungrok.core.machine import commit, processor, versions
from ungrok.core.schema import digest
from ungrok.study.claims import Doses, Verdict, answers, durable_of, first_things, lasting_of, told_of
from ungrok.study.exposure_checks import check_sentences
from ungrok.study.jobs import Unlearn
from ungrok.study.jobs.paths import matched_dose
from ungrok.study.loading import to_yaml
from ungrok.study.names import Names
from ungrok.study.plan import Plan
from ungrok.study.plan_requests import device_of
from ungrok.study.recipe import Recipe
from ungrok.study.results import Results
from ungrok.study.store import Store, explained
from ungrok.study.verdict_file import VERSION

PACKAGES = ("ungrok", "torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "pydantic", "safetensors", "dask")
"""Packages whose versions are recorded."""

BEGUN = "begun.yaml"
"""The recipe of a study that runs, or was interrupted, where a finished one lies in the same folder."""

TABLES = {
    "results": "rows",
    "transitions": "transitions",
    "oracles": "oracles",
    "curves": "curves",
    "timings": "timings",
    "audits": "audits",
    "mechanism": "mechanism",
    "groups": "groups",
    "controls": "controls",
    "sequences": "sequences",
    "stress": "stress",
    "lasting": "lasting",
    "schemes": "schemes",
    "learned": "learned",
}
"""By the name of a table's file: the attribute of the results that holds it."""

ALWAYS = ("results", "transitions", "oracles", "curves", "timings", "audits")
"""Tables that every study has; the others are written where the recipe asks for them."""


def sealed(made: dict[str, Any]) -> dict[str, Any]:
    """Return a provenance with a checksum over it."""
    return made | {"checksum": digest(made)}


def doses_of(plan: Plan, store: Store) -> dict[str, Doses]:
    """Return, per method label, the dose at which every path ends and the dose at which doses are matched.

    Where paths differ in length (an epoch is longer with more data), the shortest counts.
    """
    pairs: dict[str, list[tuple[float, float]]] = {}
    for path in [*plan.paths, *plan.replicates]:
        budget, claims = store.open(path.path, Unlearn, tensors=False).result.budget, plan.recipe.claims
        if budget is None:
            continue
        matched = matched_dose(plan.job(path.path, Unlearn).spec.unlearn, budget, claims.dose, claims.strength)
        pairs.setdefault(path.method, []).append((budget, matched))
    return {method: Doses(min(b for b, _ in both), min(d for _, d in both)) for method, both in pairs.items()}


def provenance(
    plan: Plan, store: Store, results: Results, workers: int | None, scheduler: str | None = None
) -> dict[str, Any]:
    """Return versions, commit, day (in UTC), hardware, device, threads, the store, and seconds per job kind."""
    seconds = results.timings.groupby("kind")["seconds"].agg(["count", "sum"])
    return origin(plan.recipe) | {
        "threads_per_job": 1,
        "workers": workers,
        "scheduler": scheduler,
        "store": str(store.root),
        "jobs": {
            kind: {"count": int(row["count"]), "seconds": round(float(row["sum"]), 3)}
            for kind, row in seconds.iterrows()
        },
    }


def origin(recipe: Recipe) -> dict[str, Any]:
    """Return what results of a recipe are made with here and now: versions, commit, day (in UTC), hardware and device."""
    return {
        "versions": versions(PACKAGES),
        "commit": commit(),
        "date": datetime.now(UTC).date().isoformat(),
        "platform": platform.platform(),
        "processor": processor(),
        "processors": os.cpu_count(),
        "device": device_of(recipe),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
    }


def begin(out: Path, recipe: Recipe) -> None:
    """Write the recipe of a study before its first job runs, so that one that is interrupted is known.

    A finished study of another recipe in the same folder keeps its own beside its tables until these are replaced.

    Raises:
        StoreError: If the folder cannot be written.

    """
    with explained(out):
        write_text(out / (BEGUN if (out / "provenance.json").is_file() else "recipe.yaml"), to_yaml(recipe))


def write_tables(
    out: Path,
    plan: Plan,
    results: Results,
    verdicts: list[Verdict],
    made: dict[str, Any],
    answered: dict[str, Any] | None = None,
) -> None:
    """Write the tables, the recipe, verdicts, answers and the provenance, which lists the tables' checksums, under ``out``.

    Args:
        out: The study's folder.
        plan: Its plan.
        results: Its tables.
        verdicts: Its verdicts.
        made: What it was made with, of :func:`provenance`.
        answered: What :func:`filed_answers` returns, where that is known.

    Raises:
        StoreError: If the folder cannot be written.

    """
    with explained(out):
        (out / "report").mkdir(parents=True, exist_ok=True)
        sums: dict[str, str] = {}
        tables = {name: getattr(results, attribute) for name, attribute in TABLES.items()}
        for name, table in tables.items():
            if name in ALWAYS or not table.empty:
                _parquet(out / f"{name}.parquet", table)
                sums[f"{name}.parquet"] = checksum(out / f"{name}.parquet")
                write_text(out / f"{name}.csv", _csv(table))
        write_text(out / "recipe.yaml", to_yaml(plan.recipe))
        checked = {"recipe": plan.recipe.hash, "warnings": plan.warnings}
        write_json(
            out / "provenance.json", sealed(made | {"verdicts_schema": VERSION, "files": sums, "checked": checked})
        )
        _json(out / "report" / "verdicts.json", [verdict.to_dict() for verdict in verdicts])
        _json(out / "report" / "answers.json", answered or filed_answers(plan.recipe, results, verdicts))
        (out / BEGUN).unlink(missing_ok=True)


def filed_answers(recipe: Recipe, results: Results, verdicts: list[Verdict]) -> dict[str, Any]:
    """Return what ``answers.json`` holds: what did not happen and what checks say, a word and a sentence per claim, and whether forgetting lasts.

    The sentences are those of the report's first screen.
    """
    names = Names(recipe)
    named = names.called(verdicts)
    tried = results.lasting
    lasting = [] if tried.empty else lasting_of(told_of(results.paths, lasting=tried), recipe)
    return {
        "first": [*first_things(named, recipe, results.transitions), *check_sentences(recipe, results)],
        "claims": [
            {"claim": own.claim.kind, "verdict": own.word, "text": own.sentence, "overturned_by": own.overturned_by}
            for own in answers(named, recipe)
        ],
        "durable": durable_of(lasting, recipe, results.stress).to_dict(),
    }


def _json(path: Path, content: Any) -> None:
    write_text(path, json.dumps(content, indent=1, allow_nan=False, ensure_ascii=False))


def _parquet(path: Path, table: pd.DataFrame) -> None:
    aside = path.with_name(f".{path.name}.tmp")
    table.to_parquet(aside, index=False)
    aside.replace(path)


def _csv(table: pd.DataFrame) -> str:
    # Of Python's own numbers the same text is made in less time.
    return table.astype(object).to_csv(index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")
