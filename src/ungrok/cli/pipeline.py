"""The steps of a study that commands share: its folders, its plan, and what is written at its end."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

from ungrok.cli.options import BASE, load_recipe, one_of
from ungrok.cli.output import say

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ungrok.study.plan import Plan
    from ungrok.study.recipe import Recipe
    from ungrok.study.store import Store


def folders_of(recipe: Recipe, out: Path | None, store: Path | None) -> tuple[Path, Store]:
    """Return where a study writes, and its store: given ones, or those named after the recipe."""
    from ungrok.study.store import Store

    out = out or Path("runs") / f"{recipe.name.replace('/', '-')}-{recipe.hash}"
    return out, Store(store or out.parent / "store")


def planned(recipe: Recipe, *, runs: bool = True) -> Plan:
    """Return the plan of a recipe that has been tried on its data, with the warnings of that.

    Args:
        recipe: Of the study.
        runs: Whether jobs will run, for which its device must be there.

    """
    from ungrok.study.plan import check_device, make_plan, preflight

    if runs:
        check_device(recipe)
    _, warnings = preflight(recipe)
    plan = make_plan(recipe)
    plan.warnings += warnings
    return plan


def run_study(recipe: Recipe, out: Path | None, store: Path | None, workers: int | None, scheduler: str | None) -> Path:
    """Run what of a study is not finished, write its tables and its report, and return the report's path."""
    from ungrok.study import engine, outputs

    folder, where = folders_of(recipe, out, store)
    plan = planned(recipe)
    outputs.claim_folder(folder)
    say(f"{recipe.name}: {counted(plan)}")
    for warning in plan.warnings:
        say(f"warning: {warning}")
    ran = engine.run(list(plan.jobs.values()), where, workers=workers, scheduler=scheduler, say=say)
    say(f"{ran} jobs ran, {len(plan.jobs) - ran} were finished already")
    used = None if scheduler else engine.default_workers() if workers is None else workers
    return write(folder, plan, where, used, scheduler)


def rewrite(folder: Path, store: Path | None) -> Path:
    """Write the tables and the report of a finished study again, and return the report's path.

    Raises:
        StoreError: If jobs of the study are not in the store.

    """
    from ungrok.core.errors import StoreError
    from ungrok.study import outputs

    recipe, where, made = outputs.reopen(folder, store)
    plan = planned(recipe, runs=False)
    missing = [job for job in plan.jobs.values() if not where.has(job.key)]
    if missing:
        count = f"{len(missing)} of {len(plan.jobs)} jobs"
        raise StoreError(f"{where.root}: {count} are not there; name the store with --store, or run the study again")
    return write(folder, plan, where, made.get("workers"), made.get("scheduler"))


def write(folder: Path, plan: Plan, store: Store, workers: int | None, scheduler: str | None) -> Path:
    """Write tables, verdicts and report of a study whose jobs are finished, and return the report's path."""
    from ungrok.report import write_report
    from ungrok.study import outputs
    from ungrok.study.claims import CLAIMS
    from ungrok.study.results import collect

    results = collect(plan, store)
    verdicts = outputs.verdicts_of(plan, store, results)
    doses = outputs.budgets(plan, store)
    made: dict[str, Any] = outputs.provenance(plan, store, results, workers, scheduler) | {
        "doses": {method: {"budget": budget, "matched": matched} for method, (budget, matched) in doses.items()}
    }
    outputs.write_tables(folder, plan, results, verdicts, made)
    for claim in CLAIMS:
        decided = [v["verdict"] for v in verdicts if v["claim"] == claim]
        if decided:
            counts = ", ".join(f"{decided.count(word)} {word}" for word in ("supported", "refuted", "inconclusive"))
            say(f"  {claim}: {counts}")
    return write_report(folder, plan, results, verdicts, made, doses)


def counted(plan: Plan) -> str:
    """Return how many jobs of each kind a plan has, for a sentence."""
    return ", ".join(f"{count} {kind}" for kind, count in plan.counts().items()) + " jobs"


def select(
    recipe: str, overrides: Sequence[str] | None, store: Path | None, seed: int | None, arm: str
) -> tuple[Plan, Store, int, str]:
    """Return the plan of a recipe, its store, and the seed and arm that a command is to work on."""
    content = load_recipe(recipe, overrides)
    plan = planned(content)
    return (
        plan,
        folders_of(content, None, store)[1],
        one_of("--seed", seed, content.seeds),
        one_of("--arm", arm, [BASE, *content.arms]),
    )
