"""The audit of a study: its shadow models, from the store to ``audit.json``."""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from pathlib import Path
from typing import Any

import numpy as np

from ungrok.audits.calibrated import LEAST
from ungrok.audits.shadows import Shadows, Unlearned, save_shadows
from ungrok.audits.table import table
from ungrok.core.files import read_json, write_json
from ungrok.data.base import Data
from ungrok.study import engine
from ungrok.study.cluster import Report, check_dashboard
from ungrok.study.estimate import check_disk
from ungrok.study.folder import check_writable, kept_where_read_only
from ungrok.study.inference import FEWEST
from ungrok.study.job import AnyJob
from ungrok.study.jobs import ShadowLogits, Train
from ungrok.study.jobs.held import drawn_sets
from ungrok.study.jobs.shadow import LOGITS, POOL, TEST
from ungrok.study.looks import look_at_shadows
from ungrok.study.manifest import TENSORS
from ungrok.study.outputs import origin
from ungrok.study.plan import Plan
from ungrok.study.plan_shadows import ShadowJobs, held_of
from ungrok.study.privacy import family, privacy
from ungrok.study.problem_data import load_data
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_audit import audited_rules, audited_stages, privacy_pairs
from ungrok.study.running import InUse, at_rest
from ungrok.study.store import Store, explained

FILE = "audit.json"
FOLDER = "shadows"
"""Of a study: where the logits of its shadow models lie, for ``ungrok.audit(..., shadows=)``."""


def audit_jobs(plan: Plan) -> list[AnyJob]:
    """Return the jobs that the audit of a plan needs, inputs first."""
    return plan.needed_for(*(own.logits for own in plan.shadows))


def signals(plan: Plan, store: Store) -> list[Shadows]:
    """Return the logits of all shadow models of a plan, by stage; all jobs of :func:`audit_jobs` must be finished."""
    recipe = plan.recipe
    assert recipe.audit is not None
    pool = load_data(plan.job(plan.shadows[0].training, Train).spec.problem)
    return [_of_stage(plan, store, pool, stage, recipe.audit.shadows) for stage in audited_stages(recipe)]


def _of_stage(plan: Plan, store: Store, pool: Data, stage: str, trained: int) -> Shadows:
    recipe = plan.recipe
    here = [own for own in plan.shadows if own.stage == stage]
    numbers, logits, test = _stacked([own for own in here if own.method is None], store, pool)
    held = np.zeros((len(numbers), len(pool.train)), dtype=bool)
    for row, number in enumerate(numbers):
        held[row, held_of(recipe, int(number)).examples(pool).numpy()] = True
    first = held_of(recipe, 0)
    sets = drawn_sets(pool, first.size, first.forget).sets
    unlearned: dict[str, dict[str, Unlearned]] = {}
    for rule in audited_rules(recipe):
        for method in dict.fromkeys(own.method for own in here if own.method is not None):
            group = [own for own in here if (own.forget, own.method) == (rule.label, method)]
            unlearned.setdefault(rule.label, {})[method] = Unlearned(*_stacked(group, store, pool))
    return Shadows(
        stage,
        trained,
        numbers,
        held,
        logits,
        test,
        pool.train.targets.cpu().numpy(),
        pool.test.targets.cpu().numpy(),
        {rule.label: chosen.numpy() for rule, chosen in zip(audited_rules(recipe), sets, strict=True)},
        unlearned,
    )


def _stacked(group: Sequence[ShadowJobs], store: Store, pool: Data) -> tuple[Any, Any, Any]:
    """Return which shadows have logits, and those on the pool and on test examples, each of shape (models, examples, classes)."""
    there, parts = [], {POOL: list[Any](), TEST: list[Any]()}
    for own in group:
        finished = store.open(own.logits, ShadowLogits)
        if finished.result.step is not None:
            there.append(own.shadow)
            tensors = finished.tensors(LOGITS)
            for name, part in parts.items():
                part.append(tensors[name].numpy())
    sizes = {POOL: len(pool.train), TEST: len(pool.test)}
    stacked = [
        np.stack(part) if part else np.zeros((0, sizes[name], pool.classes), dtype=np.float16)
        for name, part in parts.items()
    ]
    return np.array(there, dtype=np.int64), stacked[0], stacked[1]


def written_audit(out: Path, plan: Plan, store: Store, say: Report = lambda _: None) -> dict[str, Any]:
    """Write ``audit.json`` and the logits of a study whose shadow models are all finished, and return what the file holds."""
    asked = plan.recipe.audit
    assert asked is not None
    every = signals(plan, store)
    recipe = plan.recipe
    content = {
        "recipe": recipe.name,
        "hash": recipe.hash,
        "settings": recipe.to_dict(),
        "made": origin(recipe),
    } | table(every, asked.measures, memorization=asked.memorization, entanglement=asked.entanglement)
    if privacy_pairs(recipe):
        own = look_at_shadows(store, recipe, family(recipe), max(FEWEST, 2 * LEAST))
        content["privacy"] = privacy(recipe, every, content["planted"], own)
    with kept_where_read_only(out, "its audit", say), explained(out):
        out.mkdir(parents=True, exist_ok=True)
        save_shadows(out / FOLDER, every)
        write_json(out / FILE, content)
    for text in sentences(content):
        say(f"  {text}")
    return content


def read_audit(out: Path, recipe: Recipe) -> dict[str, Any]:
    """Return what ``audit.json`` in a study's folder holds; empty where the recipe has no audit, it was not written yet or is that of another recipe."""
    path = out / FILE
    content: dict[str, Any] = read_json(path) if recipe.audit and path.is_file() else {}
    return content if content.get("hash") == recipe.hash else {}


def sentences(content: dict[str, Any]) -> list[str]:
    """Return what an audit says in a few lines, for people: who reached a stage, and what each measure that may speak says."""
    lines = [
        f"{row['stage']}: {row['reached']} of {row['trained']} shadow models reached it" for row in content["stages"]
    ]
    for row in content["rows"]:
        where = f"{row['measure']}, {row['method']} from {row['stage']}, {row['forget']}"
        if row["reason"]:
            lines.append(f"{where}: {row['reason']}")
            continue
        low, high = row["interval"]
        lines.append(
            f"{where}: {row['value']:.3f} [{low:.3f}, {high:.3f}], null {row['null']['mean']:.3f}; {row['words']}"
        )
    if "privacy" in content:
        answer = content["privacy"]["answer"]
        lines.append(
            f"{content['privacy']['question']} {answer['verdict'][0].upper()}{answer['verdict'][1:]}. {answer['text']}"
        )
    return lines


def drop_weights(plan: Plan, store: Store) -> None:
    """Leave the weights of shadow models out of a store, once all their logits are there and no study runs on it, which might be reading them.

    A job that is added later, for a further method say, makes them again.
    """
    keys = dict.fromkeys(key for own in plan.shadows for key in (own.training, own.model))
    weights = {key: {path.name for path in store.folder(key).glob(f"*{TENSORS}")} for key in keys}
    there = {key: names for key, names in weights.items() if names}
    if there:
        with suppress(InUse), at_rest(store):
            for key, names in there.items():
                store.leave_out(key, names)


def run_audit(
    plan: Plan,
    out: Path,
    store: Store,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    dashboard: bool = False,
    say: Report = lambda _: None,
) -> dict[str, Any]:
    """Run what is not finished yet of an audit alone, and write it.

    Args:
        plan: Of a recipe with a block ``audit``.
        out: The study's folder.
        store: Of finished jobs.
        workers: As for :func:`ungrok.study.engine.run`.
        scheduler: As for :func:`ungrok.study.engine.run`.
        dashboard: As for :func:`ungrok.study.engine.run`.
        say: Takes one line of text for the user.

    Returns:
        What ``audit.json`` holds.

    Raises:
        UngrokError: If a job fails, or a file cannot be written.

    """
    recipe = plan.recipe
    assert recipe.audit is not None
    if dashboard:
        check_dashboard(workers, scheduler)
    jobs = audit_jobs(plan)
    todo = engine.pending(store, jobs, say)
    if todo:
        check_disk(plan, todo, store)
        check_writable(out)
    say(f"{recipe.name}: audit of {recipe.audit.shadows} shadow models, {len(jobs)} jobs")
    ran = engine.run(jobs, store, workers=workers, scheduler=scheduler, dashboard=dashboard, say=say)
    say(f"{ran} jobs ran, {len(jobs) - ran} were finished already")
    content = written_audit(out, plan, store, say)
    drop_weights(plan, store)
    return content
