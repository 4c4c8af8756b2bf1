"""The command line."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from itertools import groupby
from pathlib import Path
from typing import Annotated, Any

import torch
import typer
from rich.console import Console
from rich.table import Table

from ungrok.analyze import ANALYSES
from ungrok.core.errors import RecipeError, StoreError, UngrokError, first_line, unknown
from ungrok.core.files import save_tensors
from ungrok.core.registry import summary
from ungrok.data import PROBLEMS, vision
from ungrok.evaluate import metrics
from ungrok.methods import UNLEARNERS
from ungrok.models import MODELS
from ungrok.report import compare as report_compare
from ungrok.report import mechanism as report_mechanism
from ungrok.report import write_report
from ungrok.report.opening import open_study
from ungrok.study import engine, outputs, single
from ungrok.study.claims import WORDS, every_claim
from ungrok.study.estimate import estimate
from ungrok.study.jobs import follow
from ungrok.study.plan import Measurement, PathJobs, Plan, check_device, make_plan, preflight
from ungrok.study.recipe import BASE, Recipe, load, shipped, to_yaml, validate
from ungrok.study.results import collect, transition_of
from ungrok.study.store import Store
from ungrok.train.parallel import joined

app = typer.Typer(
    add_completion=False,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Machine unlearning as a function of when a model's training stopped.",
)

RecipeName = Annotated[
    str, typer.Argument(metavar="RECIPE", help="Name of a shipped recipe, or a path to a YAML file.")
]
Overrides = Annotated[
    list[str] | None,
    typer.Argument(metavar="[KEY=VALUE]...", help="Dotted overrides, for instance trajectory.steps=2000."),
]
StoreDir = Annotated[Path | None, typer.Option("--store", help="Folder of finished jobs; studies may share it.")]
OutDir = Annotated[Path | None, typer.Option("--out", help="Where the study writes; default runs/<recipe>-<hash>.")]
Workers = Annotated[
    int | None,
    typer.Option(min=0, help="Worker processes, one thread each; 0 runs in this process; default: one per processor."),
]
Scheduler = Annotated[str | None, typer.Option(help="Address, or scheduler file, of an existing dask cluster.")]
Seed = Annotated[int | None, typer.Option(help="A seed of the recipe; default: its first.")]
ArmName = Annotated[str, typer.Option("--arm", help="An arm of the recipe.")]
Stage = Annotated[str | None, typer.Option(help="A stage of the recipe; default: its first.")]
Forget = Annotated[str | None, typer.Option(help="Label of a forget split; default: the first.")]
Method = Annotated[str | None, typer.Option(help="Label of a method; default: the first.")]


def say(text: str) -> None:
    """Print one line for the user, apart from results."""
    typer.echo(text, err=True)


def _folders(recipe: Recipe, out: Path | None, store: Path | None) -> tuple[Path, Store]:
    out = out or Path("runs") / f"{recipe.name.replace('/', '-')}-{recipe.hash}"
    return out, Store(store or out.parent / "store")


def _planned(recipe: Recipe, *, runs: bool = True) -> Plan:
    if runs:
        check_device(recipe)
    _, warnings = preflight(recipe)
    plan = make_plan(recipe)
    plan.warnings += warnings
    return plan


@app.command()
def study(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: OutDir = None,
    store: StoreDir = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Run a whole study and write its report; what is finished already is not done again."""
    content = load(recipe, overrides or ())
    folder, where = _folders(content, out, store)
    plan = _planned(content)
    outputs.claim_folder(folder)
    say(f"{content.name}: {_counts(plan)}")
    ran = engine.run(list(plan.jobs.values()), where, workers=workers, scheduler=scheduler, say=say)
    say(f"{ran} jobs ran, {len(plan.jobs) - ran} were finished already")
    used = None if scheduler else engine.default_workers() if workers is None else workers
    typer.echo(_write(folder, plan, where, used, scheduler))


def _write(folder: Path, plan: Plan, store: Store, workers: int | None, scheduler: str | None) -> Path:
    results = collect(plan, store)
    verdicts = outputs.verdicts_of(plan, store, results)
    doses = outputs.budgets(plan, store)
    made = outputs.provenance(plan, store, results, workers, scheduler) | {
        "doses": {method: {"budget": budget, "matched": matched} for method, (budget, matched) in doses.items()}
    }
    outputs.write_tables(folder, plan, results, verdicts, made)
    for claim in every_claim():
        decided = [verdict.word for verdict in verdicts if verdict.claim == claim]
        if decided:
            counts = ", ".join(f"{decided.count(word)} {word}" for word in WORDS)
            say(f"  {claim.kind}: {counts}")
    return write_report(folder, plan, results, verdicts, made, doses)


def _counts(plan: Plan) -> str:
    return ", ".join(f"{count} {kind}" for kind, count in plan.counts().items()) + " jobs"


@app.command()
def check(recipe: RecipeName, overrides: Overrides = None) -> None:
    """Validate a recipe and print its plan: jobs, checkpoints, disk, rough time on this machine."""
    content = load(recipe, overrides or ())
    check_device(content)
    data, warnings = preflight(content)
    plan = make_plan(content)
    cost = estimate(plan, data)
    total, workers = sum(cost.seconds.values()), engine.default_workers()
    typer.echo(f"{content.name}: {len(plan.jobs)} jobs ({_counts(plan)})")
    typer.echo(f"data: {len(data.train)} train, {len(data.validation)} validation, {len(data.test)} test")
    typer.echo(f"checkpoints: {cost.checkpoints}")
    typer.echo(f"disk: about {cost.bytes / 1e6:.0f} MB")
    parts = ", ".join(f"{kind} {_duration(seconds)}" for kind, seconds in cost.seconds.items() if seconds)
    looks = plan.counts().get("analyze")
    typer.echo(
        f"time: about {_duration(total)} of one processor ({parts}); {_duration(total / workers)} on {workers}"
        + (f"; not counted: {looks} analyze jobs" if looks else "")
    )
    for warning in warnings:
        typer.echo(f"warning: {warning}")


def _duration(seconds: float) -> str:
    for unit, size in (("h", 3600), ("min", 60)):
        if seconds >= 1.5 * size:
            return f"{seconds / size:.1f} {unit}"
    return f"{seconds:.0f} s"


@app.command()
def show(recipe: RecipeName, overrides: Overrides = None) -> None:
    """Print the resolved recipe with every default, as YAML."""
    typer.echo(to_yaml(load(recipe, overrides or ())), nl=False)


def _one_of(option: str, value: Any, allowed: list[Any]) -> Any:
    if value is None:
        return allowed[0]
    if value not in allowed:
        raise unknown(option, value, map(str, allowed))
    return value


def _select(
    recipe: str, overrides: list[str] | None, store: Path | None, seed: int | None, arm: str
) -> tuple[Plan, Store, int, str]:
    content = load(recipe, overrides or ())
    plan = _planned(content)
    return (
        plan,
        _folders(content, None, store)[1],
        _one_of("--seed", seed, content.seeds),
        _one_of("--arm", arm, [BASE, *content.arms]),
    )


@app.command()
def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    seed: Seed = None,
    arm: ArmName = BASE,
    without: Annotated[
        str | None, typer.Option(help="Label of a forget split: train its oracle, which never sees it, instead.")
    ] = None,
    store: StoreDir = None,
) -> None:
    """Train one trajectory of a study and print where it stands; under torchrun, by all its processes together."""
    plan, where, seed, arm = _select(recipe, overrides, store, seed, arm)
    key = plan.trajectories[arm, seed]
    if without is not None:
        forget = _one_of("--without", without, plan.recipe.forget_labels())
        oracle = next(key for (a, s, f, _), key in plan.oracles.items() if (a, s, f) == (arm, seed, forget))
        key = plan.jobs[oracle].inputs["trajectory"]
    where.prepare()
    with joined() as ranks:
        job = plan.jobs[key]
        todo = ranks.agree(ranks.rank == 0 and bool(engine.pending(where, [job], say)))
        if ranks.rank > 0:
            if todo:
                follow(where, job)
            return
        engine.run(plan.needed_for(key), where, workers=0, say=say)
    finished = where.open(key)
    typer.echo(json.dumps(transition_of(plan, finished).to_dict(), indent=1))
    typer.echo(finished.path)


@app.command()
def unlearn(
    recipe: Annotated[str | None, typer.Argument(metavar="RECIPE", help="Name or path of a recipe.")] = None,
    overrides: Overrides = None,
    seed: Seed = None,
    arm: ArmName = BASE,
    stage: Stage = None,
    forget: Forget = None,
    method: Method = None,
    store: StoreDir = None,
    named: Annotated[str | None, typer.Option("--recipe", help="The recipe, given as an option.")] = None,
    model: Annotated[
        Path | None, typer.Option(help="Weights of your own (.safetensors) for the recipe's model, instead of a stage.")
    ] = None,
    out: Annotated[
        Path | None, typer.Option(help="With --model: where the new weights go; default FILE-METHOD.safetensors.")
    ] = None,
) -> None:
    """Walk one unlearning path and print it: from a stage of a study, trained first where needed, or from --model."""
    extra = overrides or []
    if named:
        extra = [*([recipe] if recipe else []), *extra]
    content = named or recipe
    if not content:
        raise RecipeError("unlearn: name a recipe, as RECIPE or with --recipe")
    columns = ["dose", "UA", "RA", "TA", "forget_loss"]
    if model is None:
        _walk(content, extra, seed, arm, stage, forget, method, store, columns)
        return
    plan, _, seed, arm = _select(content, extra, store, seed, arm)
    cell = _cell(plan, seed, arm, None, forget, method)
    rows, end = single.unlearn_file(plan, cell, model)
    _print_rows(rows, columns)
    target = out or model.with_name(f"{model.stem}-{cell.method}.safetensors")
    save_tensors(target, dict(end.state_dict()))
    typer.echo(target)


@app.command()
def evaluate(
    recipe: RecipeName,
    overrides: Overrides = None,
    seed: Seed = None,
    arm: ArmName = BASE,
    stage: Stage = None,
    forget: Forget = None,
    method: Method = None,
    store: StoreDir = None,
) -> None:
    """Compare one unlearning path of a study with its oracle and print every measured place."""
    _walk(recipe, overrides, seed, arm, stage, forget, method, store, None)


@app.command()
def analyze(
    recipe: RecipeName,
    overrides: Overrides = None,
    analysis: Annotated[str | None, typer.Option(help="Label or kind of an analysis; default: the first.")] = None,
    seed: Seed = None,
    arm: ArmName = BASE,
    stage: Stage = None,
    forget: Forget = None,
    method: Annotated[str | None, typer.Option(help="Measure after this method, at the matched dose.")] = None,
    store: StoreDir = None,
    model: Annotated[
        Path | None, typer.Option(help="Weights of your own (.safetensors) for the recipe's model, instead of a stage.")
    ] = None,
    reference: Annotated[
        Path | None, typer.Option(help="With --model: weights to compare it with, for cka and weight_norm.")
    ] = None,
) -> None:
    """Measure one model and print values and nulls: a stage of a study (or step-N), trained first where needed, or --model."""
    if reference is not None and model is None:
        raise RecipeError("--reference: goes with --model; a stage is compared with its oracle and earlier stages")
    if model is not None and (stage or method):
        raise RecipeError("--model: goes without --stage and --method; it is measured as it is")
    content = load(recipe, overrides or ())
    labels = content.analyze_labels()
    if analysis is None and not labels:
        raise RecipeError(
            f"--analysis: recipe {content.name!r} has none of its own; name one of {', '.join(ANALYSES.names())}"
        )
    analysis = _one_of("--analysis", analysis, [*labels, *ANALYSES.names()])
    # The others need not fit what was overridden.
    entries = [entry for entry, label in zip(content.to_dict()["analyze"], labels, strict=True) if label == analysis]
    content = validate(content.to_dict() | {"analyze": entries or [{"kind": analysis}]})
    content = _with_step(content, arm, stage)
    plan, where = _planned(content), _folders(content, None, store)[1]
    wanted = (
        _one_of("--seed", seed, content.seeds),
        _one_of("--arm", arm, [BASE, *content.arms]),
        _one_of("--stage", stage, content.stages_of(arm)),
        _one_of("--forget", forget, content.forget_labels()),
        "" if method is None else _one_of("--method", method, content.unlearn_labels()),
        analysis,
    )
    found = [k for k in plan.measurements if (k.seed, k.arm, k.stage, k.forget, k.method, k.analysis) == wanted]
    if not found:
        raise RecipeError(f"--method: {analysis} is measured before unlearning only; its 'after' is false")
    _print_rows(_measured(plan, where, found[0], model, reference), None)


def _with_step(content: Recipe, arm: str, stage: str | None) -> Recipe:
    """Add a stage ``step-N`` that the recipe does not name: any step of a trajectory can be measured."""
    if stage is None or not stage.startswith("step-") or stage in content.stages_of(arm):
        return content
    changed = content.to_dict()
    block = changed["arms"][arm] if arm in content.arms else changed
    block["stages"] = [*content.stages_of(arm), stage]
    return validate(changed)


def _measured(
    plan: Plan, where: Store, look: Measurement, model: Path | None, reference: Path | None
) -> list[dict[str, Any]]:
    if model is not None:
        return single.analyze_file(plan, look, model, reference)
    engine.run(plan.needed_for(look.rows), where, workers=0, say=say)
    result = where.open(look.rows).result
    if result["reason"]:
        raise UngrokError(f"{look.analysis} at stage {look.stage!r}: {result['reason']}")
    rows: list[dict[str, Any]] = result["rows"]
    return rows


def _walk(
    recipe: str,
    overrides: list[str] | None,
    seed: int | None,
    arm: str,
    stage: str | None,
    forget: str | None,
    method: str | None,
    store: Path | None,
    columns: list[str] | None,
) -> None:
    plan, where, seed, arm = _select(recipe, overrides, store, seed, arm)
    cell = _cell(plan, seed, arm, stage, forget, method)
    engine.run(plan.needed_for(cell.rows), where, workers=0, say=say)
    rows = where.open(cell.rows).result["rows"]
    if not rows:
        raise UngrokError(f"no stage {cell.stage!r}: {where.open(cell.path).result['reason']}")
    _print_rows(rows, columns)


def _cell(plan: Plan, seed: int, arm: str, stage: str | None, forget: str | None, method: str | None) -> PathJobs:
    content = plan.recipe
    wanted = (
        seed,
        arm,
        _one_of("--stage", stage, content.stages_of(arm)),
        _one_of("--forget", forget, content.forget_labels()),
        _one_of("--method", method, content.unlearn_labels()),
    )
    return next(c for c in plan.paths if (c.seed, c.arm, c.stage, c.forget, c.method) == wanted)


def _print_rows(rows: list[dict[str, Any]], columns: list[str] | None) -> None:
    names = columns or list(rows[0])
    typer.echo(",".join(names))
    for row in rows:
        typer.echo(",".join("" if row[name] is None else f"{row[name]}" for name in names))


@app.command()
def report(
    folder: Annotated[Path, typer.Argument(metavar="DIR", help="The --out folder of a study.")], store: StoreDir = None
) -> None:
    """Write the tables and the report of a finished study again, from what is stored."""
    recipe, where, made = outputs.reopen(folder, store)
    plan = _planned(recipe, runs=False)
    missing = [job for job in plan.jobs.values() if not where.has(job.key)]
    if missing:
        count = f"{len(missing)} of {len(plan.jobs)} jobs"
        raise StoreError(f"{where.root}: {count} are not there; name the store with --store, or run the study again")
    typer.echo(_write(folder, plan, where, made.get("workers"), made.get("scheduler")))


@app.command()
def compare(
    folder: Annotated[Path, typer.Argument(metavar="RUN", help="The --out folder of a study.")],
    paper: Annotated[str, typer.Option("--with", help="Part of the paper, for instance paper:table1.")],
    place: Annotated[
        list[str] | None,
        typer.Option(
            help="Where the study has a place of the paper, for instance pre=step-52800 or grokked-50=grokked-20."
        ),
    ] = None,
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Print the paper's numbers beside those of a study, and whether each claimed difference holds."""
    view = open_study(folder)
    lines = [line.to_dict() for line in report_compare.compare(view, paper, place or ())]
    if as_json:
        typer.echo(json.dumps(lines, indent=1, ensure_ascii=False))
        return
    for table, group in groupby(lines, key=lambda line: line["table"]):
        content = report_compare.paper()[table]
        typer.echo(f"{content['title']} (arXiv 2512.03437) against {folder}")
        rows = [{key: cell for key, cell in line.items() if key != "table"} for line in group]
        _print_table(list(rows[0]), [list(row.values()) for row in rows])
    verdicts = [line["verdict"] for line in lines if line["claimed"]]
    typer.echo(", ".join(f"{verdicts.count(word)} {word}" for word in report_compare.VERDICTS))
    for line in report_compare.missing(view, paper, place or ()):
        say(line)


@app.command()
def mediation(
    folders: Annotated[list[Path], typer.Argument(metavar="RUN...", help="The --out folders of two or more studies.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """Ask over several studies, and without each, which measures predict the cost of unlearning beyond test accuracy."""
    found = report_mechanism.across(folders)
    if as_json:
        typer.echo(found.to_json(orient="records", indent=1))
        return
    for sentence in report_mechanism.sentences(found):
        typer.echo(sentence)


def _print_table(columns: list[str], rows: list[list[str]], *, header: bool = True) -> None:
    """Print a table: aligned on a terminal, separated by tabs elsewhere, there with or without its header."""
    console = Console()
    if not console.is_terminal:
        for row in [columns, *rows] if header else rows:
            typer.echo("\t".join(row))
        return
    table = Table(*columns, box=None, pad_edge=False)
    for row in rows:
        table.add_row(*row)
    console.print(table)


LISTS: dict[str, Callable[[], dict[str, str]]] = {
    "datasets": lambda: (
        {name: summary(PROBLEMS.get(name)) for name in PROBLEMS.names()}
        | {f"vision dataset={name}": row[0] for name, row in vision.HUB.items()}
    ),
    "models": lambda: {name: summary(MODELS.get(name)) for name in MODELS.names()},
    "methods": lambda: {name: summary(UNLEARNERS.get(name)) for name in UNLEARNERS.names()},
    "metrics": metrics,
    "analyses": lambda: {name: summary(ANALYSES.get(name)) for name in ANALYSES.names()},
    "claims": lambda: {claim.kind: claim.sentence() for claim in every_claim()},
    "paper": lambda: {f"paper:{part}": content["title"] for part, content in report_compare.paper().items()},
    "recipes": lambda: {name: _headline(path) for name, path in shipped().items()},
}


def _headline(path: Path) -> str:
    return path.read_text(encoding="utf-8").splitlines()[0].lstrip("# ")


@app.command(name="list")
def list_(
    what: Annotated[str, typer.Argument(metavar="|".join(LISTS), help="What to list.")],
    as_json: Annotated[bool, typer.Option("--json", help="Print JSON.")] = False,
) -> None:
    """List what recipes may name."""
    if what not in LISTS:
        raise unknown("list", what, LISTS)
    entries = LISTS[what]()
    if as_json:
        typer.echo(json.dumps(entries, indent=1, ensure_ascii=False))
        return
    _print_table(["name", what], [list(entry) for entry in entries.items()], header=False)


def main() -> None:
    """Run the command line; what a user can mend is one line and exit code 2, a broken store is exit code 1."""
    try:
        app()
    except UngrokError as error:
        say(f"error: {error}")
        sys.exit(1 if isinstance(error, StoreError) else 2)
    except torch.OutOfMemoryError as error:  # outside a job, whose keys to lower are known
        say(f"error: the device is out of memory; lower the batch sizes or the size of the model ({first_line(error)})")
        sys.exit(2)
    except KeyboardInterrupt:
        say("interrupted; run the same command again to go on from here")
        sys.exit(130)


if __name__ == "__main__":
    main()
