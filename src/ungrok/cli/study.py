"""Commands on whole studies: study, check, show, report."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ungrok.cli.options import (
    OutDir,
    Overrides,
    RecipeName,
    Scheduler,
    StoreDir,
    Track,
    Workers,
    check_scheduler,
    load_recipe,
    load_with_block,
    study_folder,
)
from ungrok.cli.output import say, tracked

if TYPE_CHECKING:
    from ungrok.study.estimate import AuditCost, StudyCost
    from ungrok.study.folder import StudyFolder
    from ungrok.study.plan import Plan
    from ungrok.study.recipe import Recipe


def study(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: OutDir = None,
    store: StoreDir = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    dashboard: Annotated[
        bool, typer.Option("--dashboard", help="Serve dask's dashboard on this machine only, and print its address.")
    ] = False,
    track: Track = None,
) -> None:
    """Run a whole study and write its report.

    Jobs that are finished already are not run again.
    """
    _run(load_recipe(recipe, overrides), out, store, workers, scheduler, track, dashboard=dashboard)


def stress(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: OutDir = None,
    store: StoreDir = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
    track: Track = None,
) -> None:
    """Run a study and attack its models after unlearning.

    A recipe that has no block stress gets the default one: all attacks that run on its models, at every target, the rewound place and
    the end of each path. Jobs that are finished already, of the study without attacks for instance, are not run again.
    """
    _run(load_with_block(recipe, overrides, "stress"), out, store, workers, scheduler, track)


def _run(
    content: Recipe,
    out: Path | None,
    store: Path | None,
    workers: int | None,
    scheduler: str | None,
    track: list[str] | None,
    *,
    dashboard: bool = False,
) -> None:
    """Run the study of a recipe, and print where its report is."""
    check_scheduler(scheduler)
    from ungrok.study.run import run_study

    made = run_study(content, out, store, workers=workers, scheduler=scheduler, dashboard=dashboard, say=say)
    page = _reported(made)
    tracked(made, track)
    typer.echo(page)


@contextmanager
def _uncollected() -> Iterator[None]:
    """Look for no garbage among what is loaded and made meanwhile: going through torch's objects takes a fifth of a report's time."""
    collected = gc.isenabled()
    gc.disable()
    try:
        yield
    finally:
        gc.freeze()
        if collected:
            gc.enable()


def _reported(made: StudyFolder) -> Path:
    """Write the report of a study and return its path."""
    from ungrok.report import write_report
    from ungrok.study.folder import kept_where_read_only

    with _uncollected(), kept_where_read_only(made.path, "its page and figures", say):
        return write_report(made.path, made.plan, made.results, made.verdicts, made.provenance, made.doses)
    return made.path / "report" / "index.html"


def check(recipe: RecipeName, overrides: Overrides = None, store: StoreDir = None) -> None:
    """Validate a recipe and print its plan and its rough cost.

    The plan is the number of jobs of each kind; the cost is checkpoints, disk, and time on this machine. Jobs of the store that
    are stale, because the package has changed, are named. A study that searches for rates grows in rounds: its first one is counted,
    and the most that it can come to.
    """
    content = load_recipe(recipe, overrides)
    from ungrok.study import stale
    from ungrok.study.estimate import estimates
    from ungrok.study.plan import make_plan
    from ungrok.study.preflight import check_device, preflight
    from ungrok.study.run import counted, folders
    from ungrok.study.search import largest, regrow

    check_device(content)
    data, warnings = preflight(content)
    plan, most = make_plan(content), largest(content)
    cost, most_cost = estimates([plan, most])
    rounds = " in the first round" if content.search else ""
    typer.echo(f"{content.name}: {len(plan.jobs)} jobs{rounds} ({counted(plan)})")
    if content.search:
        typer.echo(f"at most, if searches go on as far as they may: {len(most.jobs)} jobs ({counted(most)})")
    typer.echo(f"data: {len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test")
    typer.echo(f"checkpoints: {cost.checkpoints}")
    typer.echo(
        f"disk: about {cost.bytes / 1e6:.0f} MB" + (f", at most {most_cost.bytes / 1e6:.0f} MB" if rounds else "")
    )
    for text in _times(plan, cost, rounds), *([_times(most, most_cost, " at most")] if rounds else []):
        typer.echo(text)
    if cost.audit:
        typer.echo(_audit_line(cost.audit))
    where = folders(content, None, store)[1]
    regrow(plan, where)
    _say_power(content)
    for text in [*warnings, *stale.stale_warnings(plan, where)]:
        typer.echo(f"warning: {text}")


def _times(plan: Plan, cost: StudyCost, what: str) -> str:
    """Return the line that says how long a plan takes."""
    from ungrok.study.engine import default_workers

    total, workers = sum(cost.seconds.values()), default_workers()
    parts = ", ".join(f"{kind} {duration(seconds)}" for kind, seconds in cost.seconds.items() if seconds)
    analyses = plan.counts().get("analyze")
    return (
        f"time{what}: about {duration(total)} of one processor ({parts}); {duration(total / workers)} on {workers}"
        + (f"; not counted: {analyses} analyze jobs" if analyses else "")
    )


def _audit_line(cost: AuditCost) -> str:
    """Return the line that says what the audit takes, which is counted above already."""
    from ungrok.study.engine import default_workers

    workers = default_workers()
    return (
        f"audit: {cost.shadows} shadow models, {cost.unlearned} unlearned from them; about {duration(cost.seconds)} of one processor, "
        f"{duration(cost.seconds / workers)} on {workers}; about {cost.bytes / 1e6:.0f} MB of disk, of which {cost.kept / 1e6:.0f} MB stay"
    )


def _say_power(recipe: Recipe) -> None:
    """Print how many rows the headline family has, and what it could find."""
    from ungrok.study.claims.headline import last_rows_of, resolved, rows_of
    from ungrok.study.looks import share
    from ungrok.study.power import found_first_and_last, smallest_p
    from ungrok.study.recipe_audit import family_alpha
    from ungrok.study.units import units_of

    headline, seeds, alpha = resolved(recipe), len(units_of(recipe)), family_alpha(recipe) * share(1)
    if headline is None:
        return
    rows, last = rows_of(recipe, headline), last_rows_of(recipe, headline)
    own, identical = found_first_and_last(rows, last, seeds, alpha)
    text = _found(identical if own is None else own)
    if own is not None and identical is not None:
        text += f"; in the {last} at identical settings, which are tested last, {_found(identical)}"
    typer.echo(
        f"headline: {rows} rows judged together, smallest p {smallest_p(seeds):.2g}; {text} (where its logarithm varies by 0.3 over seeds)"
    )


def _found(ratio: float | None) -> str:
    if ratio is None or ratio == float("inf"):
        return "no word is possible"
    return f"a ratio of updates of {ratio:.2g} would be found with power 0.8"


def duration(seconds: float) -> str:
    """Return a rough length of time in its largest fitting unit."""
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


def show(recipe: RecipeName, overrides: Overrides = None) -> None:
    """Print the resolved recipe with every default, as YAML."""
    content = load_recipe(recipe, overrides)
    from ungrok.study.loading import to_yaml

    typer.echo(to_yaml(content), nl=False)


def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", callback=study_folder, help="The --out folder of a study.")],
    store: StoreDir = None,
    track: Track = None,
) -> None:
    """Write the tables and the report of a finished study again.

    Nothing is trained: both are made from the store.
    """
    with _uncollected():
        from ungrok.study.run import reopened

        made = reopened(folder, store, say)
        page = _reported(made)
    tracked(made, track)
    typer.echo(page)
