"""A whole study, from a recipe to its tables and verdicts: what the command line calls."""

from __future__ import annotations

from dataclasses import asdict
from pathlib import Path
from typing import Any

from ungrok.core.errors import DamagedFile, StoreError
from ungrok.study import engine, outputs, search
from ungrok.study.audit import drop_weights, written_audit
from ungrok.study.claims import Verdict
from ungrok.study.cluster import Report, check_dashboard
from ungrok.study.estimate import check_disk
from ungrok.study.folder import StudyFolder, check_writable, kept_where_read_only
from ungrok.study.forget_sizes import sizes_of
from ungrok.study.job import AnyJob
from ungrok.study.looks import judged
from ungrok.study.plan import Plan, make_plan
from ungrok.study.preflight import check_device, preflight
from ungrok.study.recipe import Recipe
from ungrok.study.results import Results, collect
from ungrok.study.stale import listed, stale_jobs, stale_warnings
from ungrok.study.store import Store


def folders(recipe: Recipe, out: Path | None = None, store: Path | None = None) -> tuple[Path, Store]:
    """Return where a study writes, and its store; by default ``runs/<recipe>-<hash>`` and ``store`` beside it."""
    out = out or Path("runs") / f"{recipe.name.replace('/', '-')}-{recipe.hash}"
    return out, Store(store or out.parent / "store")


def planned(recipe: Recipe, *, runs: bool = True) -> Plan:
    """Return the plan of a recipe, after making sure that the recipe fits its data.

    Args:
        recipe: The recipe.
        runs: Whether jobs are to run, for which the recipe's device must be there.

    Raises:
        UngrokError: If something does not fit.

    """
    if runs:
        check_device(recipe)
    _, warnings = preflight(recipe)
    plan = make_plan(recipe)
    plan.warnings += warnings
    return plan


def run_study(
    recipe: Recipe,
    out: Path | None = None,
    store: Path | None = None,
    *,
    workers: int | None = None,
    scheduler: str | None = None,
    dashboard: bool = False,
    say: Report = lambda _: None,
) -> StudyFolder:
    """Run what is not finished yet of a study, and write its tables and verdicts.

    Args:
        recipe: What to do.
        out: The study's folder; see :func:`folders`.
        store: Folder of finished jobs; see :func:`folders`.
        workers: As for :func:`ungrok.study.engine.run`.
        scheduler: As for :func:`ungrok.study.engine.run`.
        dashboard: As for :func:`ungrok.study.engine.run`.
        say: Takes one line of text for the user.

    Returns:
        The study, for a report.

    Raises:
        UngrokError: If the recipe does not fit its data, or a job fails.

    """
    if dashboard:
        check_dashboard(workers, scheduler)
    folder, where = folders(recipe, out, store)
    plan = planned(recipe)
    todo = engine.pending(where, list(plan.jobs.values()), say)
    while not todo and (added := search.grow(plan, where)):
        todo = engine.pending(where, added, say)
    if todo:
        check_disk(plan, todo, where)
        check_writable(folder)
        outputs.begin(folder, plan.recipe)
    rounds = _Rounds(plan, where, say)
    say(f"{recipe.name}: {counted(plan)}{rounds.name and f', {rounds.name}'}")
    for text in [*plan.warnings, *stale_warnings(plan, where)]:
        say(f"warning: {text}")
    jobs, more = list(plan.jobs.values()), rounds.more if recipe.search else None
    ran = engine.run(jobs, where, more=more, workers=workers, scheduler=scheduler, dashboard=dashboard, say=rounds.say)
    say(f"{ran} jobs ran, {len(plan.every) - ran} were finished already")
    used = None if scheduler else engine.default_workers() if workers is None else workers
    made = written(folder, plan, where, used, scheduler, say)
    if recipe.audit:
        drop_weights(plan, where)
    return made


class _Rounds:
    """The rounds of a study: one, or as many as its searches take.

    Args:
        plan: Grows from round to round.
        store: Holds the jobs.
        tell: Takes one line of text for the user.

    """

    def __init__(self, plan: Plan, store: Store, tell: Report) -> None:
        self.plan = plan
        self.store = store
        self._tell = tell

    @property
    def name(self) -> str:
        """The name of the round; empty for a study without a search."""
        return f"round {self.plan.round}" if self.plan.recipe.search else ""

    def say(self, text: str) -> None:
        """Say a line, and in which round."""
        self._tell(f"{self.name}: {text}" if self.name else text)

    def more(self) -> list[AnyJob]:
        """Return the jobs of the next round; none where no search goes on."""
        added = search.grow(self.plan, self.store)
        if added:
            new = {job.key for job in added}
            methods = dict.fromkeys(path.method for path in self.plan.paths if path.rows in new)
            self.say(f"{len(added)} more jobs, for {', '.join(methods)}")
            check_disk(self.plan, added, self.store)
        return added


def counted(plan: Plan) -> str:
    """Return the number of jobs by kind, for people."""
    return ", ".join(f"{count} {kind}" for kind, count in plan.counts().items()) + " jobs"


def written(
    out: Path, plan: Plan, store: Store, workers: int | None, scheduler: str | None, say: Report = lambda _: None
) -> StudyFolder:
    """Write the tables and verdicts of a study whose jobs are all finished; arguments are those of :func:`run_study`."""
    store = store.reading()
    results = collect(plan, store)
    doses = outputs.doses_of(plan, store)
    made = outputs.provenance(plan, store, results, workers, scheduler) | {
        "doses": {method: {"budget": own.end, "matched": own.matched} for method, own in doses.items()},
        "sizes": sizes_of(plan, store),
    }
    tables = {"stress": results.stress, "lasting": results.lasting}
    verdicts, look = judged(store, plan.recipe, results.rows, doses, paths=results.paths, **tables)
    made["look"] = None if look is None else asdict(look)
    answered = outputs.filed_answers(plan.recipe, results, verdicts)
    with kept_where_read_only(out, "its tables", say):
        outputs.write_tables(out, plan, results, verdicts, made, answered)
    _say_answers(answered, say)
    if plan.recipe.audit:
        written_audit(out, plan, store, say)
    return _study(StudyFolder(out, plan.recipe, made, store), plan, results, verdicts)


def _study(folder: StudyFolder, plan: Plan, results: Results, verdicts: list[Verdict]) -> StudyFolder:
    """Give a study the tables that are in memory already, so that they are not read again, and return it."""
    folder.plan, folder.results, folder.verdicts = plan, results, verdicts
    return folder


def _say_answers(answered: dict[str, Any], say: Report) -> None:
    """Say what did not happen, the answer to every claim with its word, and whether forgetting lasts."""
    for text in answered["first"]:
        say(f"  {text}")
    for answer in answered["claims"]:
        say(f"  {answer['claim']}: {answer['verdict']}. {answer['text']}")
    if answered["durable"]:
        say(f"  {answered['durable']['question']} {answered['durable']['text']}")


def reopened(out: Path, store: Path | None = None, say: Report = lambda _: None) -> StudyFolder:
    """Return a finished study for its report to be written again.

    Where the store holds all its jobs, its tables are made from them again. Where some are stale, because the package has
    changed, the tables in the folder are taken as they are, and ``say`` is told what running the study would make again.

    Raises:
        RecipeError: If the folder holds no study, or not all its tables.
        StoreError: If the store holds no version of some job; DamagedFile where a file of it is damaged.

    """
    folder = StudyFolder.open(out, store, mend=True)
    folder.store = folder.store.reading()
    if folder.warnings is None:
        plan = planned(folder.recipe, runs=False)
    else:  # the data were there when the study was run, and need not be for its report
        plan = make_plan(folder.recipe)
        plan.warnings = folder.warnings
    try:
        search.regrow(plan, folder.store)
        lacking = [job for job in plan.jobs.values() if not folder.store.has(job.key)]
        if not lacking:
            made = folder.provenance
            return written(out, plan, folder.store, made.get("workers"), made.get("scheduler"), say)
    except DamagedFile as error:
        raise DamagedFile(f"{error}; running the study again makes that job again") from error
    stale = stale_jobs(plan, folder.store)
    text = f"store {folder.store.root}: {len(lacking)} of {len(plan.jobs)} jobs are missing"
    if stale:
        text += f"; an earlier version of the package made {listed(stale)}, which are stale"
    if sum(each.count for each in stale) < len(lacking):
        raise StoreError(f"{text}; name the store with --store, or run the study again")
    results = folder.results_with_curves(plan)
    say(f"{text}; the report is written from the tables in {out}; running the study makes these jobs again")
    return _study(folder, plan, results, folder.verdicts)
