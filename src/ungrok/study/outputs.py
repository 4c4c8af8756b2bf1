"""What a study writes beside its report: tables at fixed places, and where they came from."""

from __future__ import annotations

import csv
import json
import os
import platform
import subprocess
from importlib import metadata
from pathlib import Path
from typing import Any

import pandas as pd
import torch

from ungrok.core.errors import RecipeError
from ungrok.core.files import read_json, write_json, write_text
from ungrok.methods import UNLEARNERS
from ungrok.study.claims import Doses, Verdict, judge
from ungrok.study.jobs import matched_dose
from ungrok.study.plan import Plan, device_of
from ungrok.study.recipe import Recipe, load, to_yaml
from ungrok.study.results import Results
from ungrok.study.store import Store, explained

PACKAGES = ("ungrok", "torch", "numpy", "scipy", "scikit-learn", "pandas", "pyarrow", "pydantic", "safetensors", "dask")


def budgets(plan: Plan, store: Store) -> dict[str, Doses]:
    """Return, per method label, the dose at which every path ends and the dose at which doses are matched.

    Where paths differ in length (an epoch is longer with more data), the shortest counts.
    """
    found: dict[str, list[tuple[float, float]]] = {}
    for cell in plan.paths:
        record = store.open(cell.path).result
        if not record["doses"]:
            continue
        budget, claims = record["budget"], plan.recipe.claims
        method = UNLEARNERS.parse(plan.jobs[cell.path].spec["unlearn"])
        matched = matched_dose(method, budget, claims.dose, claims.strength)
        found.setdefault(cell.method, []).append((budget, matched))
    return {method: Doses(min(b for b, _ in pairs), min(d for _, d in pairs)) for method, pairs in found.items()}


def verdicts_of(plan: Plan, store: Store, results: Results) -> list[Verdict]:
    """Return the verdicts of a study whose tables have been collected."""
    return judge(results.rows, plan.recipe, budgets(plan, store))


def provenance(
    plan: Plan, store: Store, results: Results, workers: int | None, scheduler: str | None = None
) -> dict[str, Any]:
    """Return versions, commit, hardware, device, threads, the store, and seconds per job kind."""
    seconds = results.timings.groupby("kind")["seconds"].agg(["count", "sum"])
    return {
        "versions": {"python": platform.python_version(), **{name: _version(name) for name in PACKAGES}},
        "commit": _commit(),
        "platform": platform.platform(),
        "processor": _processor(),
        "processors": os.cpu_count(),
        "device": device_of(plan.recipe),
        "gpu": torch.cuda.get_device_name() if torch.cuda.is_available() else None,
        "threads_per_job": 1,
        "workers": workers,
        "scheduler": scheduler,
        "store": str(store.root),
        "jobs": {
            kind: {"count": int(row["count"]), "seconds": round(float(row["sum"]), 3)}
            for kind, row in seconds.iterrows()
        },
    }


def _version(name: str) -> str | None:
    try:
        return metadata.version(name)
    except metadata.PackageNotFoundError:
        return None


def _commit() -> str | None:
    """Return the commit of the source tree this runs from, with ``+`` if it was changed since."""
    here = Path(__file__).resolve().parent

    def git(*words: str) -> str:
        done = subprocess.run(["git", "-C", str(here), *words], capture_output=True, text=True, check=True, timeout=10)
        return done.stdout.strip()

    try:
        # An installed copy may lie inside somebody else's repository.
        if not git("ls-files", "--", __file__):
            return None
        return git("rev-parse", "HEAD") + ("+" if git("status", "--porcelain", "--", str(here)) else "")
    except (OSError, subprocess.SubprocessError):
        return None


def _processor() -> str:
    info = Path("/proc/cpuinfo")
    if info.exists():
        for line in info.read_text().splitlines():
            if line.startswith("model name"):
                return line.partition(":")[2].strip()
    return platform.processor() or platform.machine()


def write_tables(out: Path, plan: Plan, results: Results, verdicts: list[Verdict], made: dict[str, Any]) -> None:
    """Write the tables, the recipe, the verdicts and the provenance under ``out``.

    Raises:
        StoreError: If the folder cannot be written.

    """
    with explained(out):
        (out / "report").mkdir(parents=True, exist_ok=True)
        for name, table in (("results", results.rows), ("audits", results.audits)):
            _parquet(out / f"{name}.parquet", table)
        for name, table in (
            ("results", results.rows),
            ("transitions", results.transitions),
            ("oracles", results.oracles),
            ("timings", results.timings),
            ("audits", results.audits),
        ):
            write_text(out / f"{name}.csv", _csv(table))
        if plan.recipe.controls:
            write_text(out / "controls.csv", _csv(results.controls))
        if plan.recipe.analyze:
            _parquet(out / "mechanism.parquet", results.mechanism)
            write_text(out / "mechanism.csv", _csv(results.mechanism))
        if not results.groups.empty:
            write_text(out / "groups.csv", _csv(results.groups))
        write_text(out / "recipe.yaml", to_yaml(plan.recipe))
        write_json(out / "provenance.json", made)
        listed = [verdict.to_dict() for verdict in verdicts]
        write_text(out / "report" / "verdicts.json", json.dumps(listed, indent=1, allow_nan=False, ensure_ascii=False))


def _parquet(path: Path, table: pd.DataFrame) -> None:
    aside = path.with_name(f".{path.name}.tmp")
    table.to_parquet(aside, index=False)
    aside.replace(path)


def _csv(table: pd.DataFrame) -> str:
    return table.to_csv(index=False, quoting=csv.QUOTE_MINIMAL, lineterminator="\n")


def claim_folder(out: Path) -> None:
    """Make sure that ``out`` can be written, before anything is run for it.

    Raises:
        StoreError: If it cannot.

    """
    with explained(out):
        (out / "report").mkdir(parents=True, exist_ok=True)
        write_text(out / "report" / ".writable", "")
        (out / "report" / ".writable").unlink()


def reopen(out: Path, store: Path | None = None) -> tuple[Recipe, Store, dict[str, Any]]:
    """Return recipe, store and provenance of a study that has been written to ``out``.

    Args:
        out: The study's folder.
        store: Its store; by default the one it was made with or, if that is gone, the folder ``store`` beside ``out``.

    Raises:
        RecipeError: If ``out`` holds no study.

    """
    recipe, made = written(out)
    used = Path(made["store"])
    chosen = store or (used if used.is_dir() else out.parent / "store")
    return recipe, Store(chosen), made


def written(out: Path) -> tuple[Recipe, dict[str, Any]]:
    """Return recipe and provenance of a study in ``out``; its device is the one it ran on, whatever this machine has.

    Raises:
        RecipeError: If ``out`` holds no study.

    """
    for name in ("recipe.yaml", "provenance.json"):
        if not (out / name).is_file():
            raise RecipeError(f"{out}: holds no study (no {name})")
    made, recipe = read_json(out / "provenance.json"), load(str(out / "recipe.yaml"))
    return recipe.model_copy(update={"device": made.get("device", recipe.device)}), made
