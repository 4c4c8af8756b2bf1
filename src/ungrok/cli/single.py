"""Commands on one model of a study, or on weights that the user brings: train, unlearn, evaluate, analyze."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ungrok.cli.options import (
    BASE,
    ArmName,
    Forget,
    Method,
    Model,
    OfTheSplit,
    Overrides,
    RecipeName,
    Seed,
    Stage,
    StoreDir,
    load_recipe,
    nameable,
    one_of,
    writable,
)
from ungrok.cli.output import print_rows, say
from ungrok.core.errors import RecipeError, UngrokError

if TYPE_CHECKING:
    from ungrok.study.plan import Plan
    from ungrok.study.plan_measurements import Measurement
    from ungrok.study.plan_paths import PathJobs
    from ungrok.study.recipe import Recipe
    from ungrok.study.store import Store


def _select(
    recipe: str, overrides: Sequence[str] | None, store: Path | None, seed: int | None, arm: str
) -> tuple[Plan, Store, int, str]:
    """Return the plan of a recipe, its store, and the seed and arm that a command is to work on."""
    content = load_recipe(recipe, overrides)  # before what takes long to import
    from ungrok.study.run import folders, planned

    plan = planned(content)
    return (
        plan,
        folders(content, None, store)[1],
        one_of("--seed", seed, content.seeds),
        one_of("--arm", arm, [BASE, *content.arms]),
    )


def train(
    recipe: RecipeName,
    overrides: Overrides = None,
    seed: Seed = None,
    arm: ArmName = BASE,
    without: Annotated[
        str | None, typer.Option(help="Label of a forget split: train the model for its oracle, which never sees it.")
    ] = None,
    store: StoreDir = None,
) -> None:
    """Train one trajectory of a study and print where it stands.

    Under torchrun, all its processes train it together.
    """
    plan, where, seed, arm = _select(recipe, overrides, store, seed, arm)
    from ungrok.study import engine
    from ungrok.study.executing import follow
    from ungrok.study.jobs import Train
    from ungrok.study.results import transition_of
    from ungrok.train.parallel import joined

    key = plan.trajectories[arm, seed]
    if without is not None:
        forget = one_of("--without", without, plan.recipe.forget_labels())
        oracle = next(key for (a, s, f, _), key in plan.oracles.items() if (a, s, f) == (arm, seed, forget))
        key = plan.jobs[oracle].inputs["trajectory"]
    with joined() as ranks:
        job = plan.job(key, Train)
        todo = ranks.agree(ranks.rank == 0 and bool(engine.pending(where, [job], say)))
        if todo:
            where.prepare()
        if ranks.rank > 0:
            if todo:
                follow(where, job)
            return
        engine.run(plan.needed_for(key), where, workers=0, say=say)
    finished = where.open(key, Train)
    typer.echo(json.dumps(transition_of(plan, finished).to_dict(), indent=1))
    typer.echo(finished.path)


def unlearn(
    recipe: RecipeName,
    overrides: Overrides = None,
    seed: Seed = None,
    arm: ArmName = BASE,
    stage: Stage = None,
    forget: Annotated[
        str | None,
        typer.Option(
            help="Label of a forget split; default: the first. With --model also a file of indices into the training split, "
            "as a JSON list or one a line."
        ),
    ] = None,
    method: Method = None,
    store: StoreDir = None,
    model: Model = None,
    data: OfTheSplit = False,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=nameable, help="With --model: where the new weights go; default: FILE-METHOD.safetensors."
        ),
    ] = None,
) -> None:
    """Walk one unlearning path and print it.

    It starts from a stage of a study, trained first where needed, or from --model.
    """
    if model is None and (data or out):
        raise RecipeError(f"{'--data' if data else '--out'}: goes with --model")
    if model is not None and stage is not None:
        raise RecipeError("--model: excludes --stage; the path starts from the weights in the file")
    plan, where, seed, arm = _select(recipe, overrides, store, seed, arm)
    indices = None if model is None or forget in (None, *plan.recipe.forget_labels()) else Path(str(forget))
    path = _path_of(plan, seed, arm, stage, None if indices and indices.is_file() else forget, method)
    columns = ("dose", "UA", "RA", "TA", "forget_loss")
    if model is None:
        print_rows(_walked(plan, where, path), columns)
        return
    from ungrok.study import single

    label = path.method.replace("/", "-")
    target = writable(out or model.with_name(f"{model.stem}-{label}.safetensors"), "--out")
    rows, end = single.unlearn_file(plan, path, model, indices, data=data)
    print_rows(rows, columns)
    if rows[0]["RA"] is not None and rows[0]["RA"] <= rows[0]["TA"]:
        say(
            f"warning: before unlearning RA is {rows[0]['RA']:.3f} and TA {rows[0]['TA']:.3f}: a model knows the examples that it "
            "was trained on at least as well as others; were the weights trained on this training split?"
        )
    single.save(plan, path, end, target)
    typer.echo(target)


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
    """Compare one unlearning path of a study with its oracle.

    Every measured place is printed.
    """
    plan, where, seed, arm = _select(recipe, overrides, store, seed, arm)
    print_rows(_walked(plan, where, _path_of(plan, seed, arm, stage, forget, method)))


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
    model: Model = None,
    reference: Annotated[
        Path | None,
        typer.Option(callback=nameable, help="With --model: weights to compare it with, for cka and weight_norm."),
    ] = None,
    data: OfTheSplit = False,
) -> None:
    """Measure one model and print values and nulls.

    The model is a stage of a study (or step-N), trained first where needed, or --model.
    """
    if reference is not None and model is None:
        raise RecipeError("--reference: goes with --model; a stage is compared with its oracle and earlier stages")
    if data and model is None:
        raise RecipeError("--data: goes with --model; the stages of a study are trained on its split")
    if model is not None and (stage or method):
        raise RecipeError("--model: excludes --stage and --method; it is measured as it is")
    content, analysis = _measuring(load_recipe(recipe, overrides), analysis)
    from ungrok.study.run import folders, planned

    content = _with_step(content, arm, stage)
    plan, where = planned(content), folders(content, None, store)[1]
    wanted = (
        one_of("--seed", seed, content.seeds),
        one_of("--arm", arm, [BASE, *content.arms]),
        one_of("--stage", stage, content.stages_of(arm)),
        one_of("--forget", forget, content.forget_labels()),
        "" if method is None else one_of("--method", method, content.unlearn_labels()),
        analysis,
    )
    measurements = [m for m in plan.measurements if (m.seed, m.arm, m.stage, m.forget, m.method, m.analysis) == wanted]
    if not measurements:
        raise RecipeError(f"--method: {analysis} is measured before unlearning only; its 'after' is false")
    print_rows(_measured(plan, where, measurements[0], model, reference, data=data))


def _measuring(content: Recipe, analysis: str | None) -> tuple[Recipe, str]:
    """Return the recipe with one of its analyses, and the name of that one: the others need not fit what was overridden."""
    from ungrok.analyze import ANALYSES
    from ungrok.study.loading import validate

    labels = content.analyze_labels()
    if analysis is None and not labels:
        raise RecipeError(
            f"--analysis: recipe {content.name!r} has none of its own; name one of {', '.join(ANALYSES.names())}"
        )
    name = one_of("--analysis", analysis, [*labels, *ANALYSES.names()])
    entries = [entry for entry, label in zip(content.to_dict()["analyze"], labels, strict=True) if label == name]
    return validate(content.to_dict() | {"analyze": entries or [{"kind": name}]}), name


def _with_step(content: Recipe, arm: str, stage: str | None) -> Recipe:
    """Add a stage ``step-N`` to the recipe where it is not there, so that any step of a trajectory can be measured."""
    from ungrok.study.loading import validate
    from ungrok.train.stages import step_of

    if stage is None or step_of(stage) is None or stage in content.stages_of(arm):
        return content
    changed = content.to_dict()
    block = changed["arms"][arm] if arm in content.arms else changed
    block["stages"] = [*content.stages_of(arm), stage]
    return validate(changed)


def _measured(
    plan: Plan, where: Store, measurement: Measurement, model: Path | None, reference: Path | None, *, data: bool
) -> Sequence[dict[str, Any]]:
    from ungrok.study import engine, single
    from ungrok.study.jobs import Analyze

    if model is not None:
        return single.analyze_file(plan, measurement, model, reference, data=data)
    engine.run(plan.needed_for(measurement.rows), where, workers=0, say=say)
    result = where.open(measurement.rows, Analyze).result
    if result.reason:
        raise UngrokError(f"{measurement.analysis} at stage {measurement.stage!r}: {result.reason}")
    return result.rows


def _walked(plan: Plan, where: Store, path: PathJobs) -> list[dict[str, Any]]:
    """Return the rows of a path of the study, after running what they need."""
    from ungrok.study import engine
    from ungrok.study.jobs import Evaluate, Unlearn

    engine.run(plan.needed_for(path.rows), where, workers=0, say=say)
    rows = where.open(path.rows, Evaluate).result.rows
    if not rows:
        raise UngrokError(f"no stage {path.stage!r}: {where.open(path.path, Unlearn).result.reason}")
    return rows


def _path_of(plan: Plan, seed: int, arm: str, stage: str | None, forget: str | None, method: str | None) -> PathJobs:
    content = plan.recipe
    wanted = (
        seed,
        arm,
        one_of("--stage", stage, content.stages_of(arm)),
        one_of("--forget", forget, content.forget_labels()),
        one_of("--method", method, content.unlearn_labels()),
    )
    return next(p for p in plan.paths if (p.seed, p.arm, p.stage, p.forget, p.method) == wanted)
