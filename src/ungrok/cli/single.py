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
    RecipeOrSetting,
    Seed,
    Stage,
    StoreDir,
    load_recipe,
    nameable,
    new_model,
    one_of,
    settings_of,
)
from ungrok.cli.output import print_rows, say
from ungrok.core.errors import RecipeError, UngrokError, shown

if TYPE_CHECKING:
    from ungrok.methods.base import Unlearner
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
    recipe: RecipeOrSetting = None,
    overrides: Overrides = None,
    seed: Seed = None,
    arm: ArmName = BASE,
    stage: Stage = None,
    forget: Annotated[
        str | None,
        typer.Option(
            help="Label of a forget split; default: the first. With --model also a file of indices into the training examples, "
            "as a JSON list or one a line."
        ),
    ] = None,
    method: Annotated[
        str | None,
        typer.Option(help="Label of a method; default: the first. With --data the name of a method; default: scrub."),
    ] = None,
    store: StoreDir = None,
    model: Model = None,
    data: Annotated[
        str | None,
        typer.Option(
            help="With --model, without RECIPE: module:function, which returns a dict as for ungrok delete; KEY=VALUE are then "
            "settings of --method."
        ),
    ] = None,
    trained_on_split: OfTheSplit = False,
    out: Annotated[
        Path | None,
        typer.Option(
            callback=nameable, help="With --model: where the new weights go; default: FILE-METHOD.safetensors."
        ),
    ] = None,
) -> None:
    """Walk one unlearning path and print it.

    It starts from a stage of a study, trained first where needed, or from --model, on the recipe's data or on your own (--data).
    """
    given = {"--data": data, "--trained-on-split": trained_on_split, "--out": out}
    for option in (name for name, value in given.items() if value and model is None):
        raise RecipeError(f"{option}: goes with --model")
    if model is not None and stage is not None:
        raise RecipeError("--model: excludes --stage; the path starts from the weights in the file")
    if data is not None and model is not None:
        of_study = {"--arm": arm != BASE, "--store": store, "--trained-on-split": trained_on_split}
        for option in (name for name, value in of_study.items() if value):
            raise RecipeError(f"{option}: goes with a recipe; with --data there is none")
        words = [*([recipe] if recipe is not None else []), *(overrides or [])]
        _unlearn_own(model, data, forget, method, words, out, seed or 0)
    elif recipe is None:
        raise RecipeError("RECIPE: is missing; or give a model and data of your own, with --model and --data")
    else:
        chosen = _select(recipe, overrides, store, seed, arm)
        _unlearn_of_recipe(*chosen, stage, forget, method, model, out, trained_on_split=trained_on_split)


DEFAULT_METHOD = "scrub"
"""Of a path on data of the user's own, where no recipe has methods."""

COLUMNS = ("dose", "UA", "RA", "TA", "forget_loss")


def _unlearn_of_recipe(
    plan: Plan,
    where: Store,
    seed: int,
    arm: str,
    stage: str | None,
    forget: str | None,
    method: str | None,
    model: Path | None,
    out: Path | None,
    *,
    trained_on_split: bool,
) -> None:
    """Walk a path with the data and a method of a recipe, from a stage or from weights in a file."""
    from ungrok.study.jobs import Unlearn

    indices = None if model is None or forget in (None, *plan.recipe.forget_labels()) else Path(str(forget))
    path = _path_of(plan, seed, arm, stage, None if indices and indices.is_file() else forget, method)
    if model is None:
        rows = _walked(plan, where, path)
        print_rows(rows, COLUMNS)
        _promise(plan.job(path.path, Unlearn).spec.unlearn, rows)
        return
    from ungrok.study import single

    target = new_model(model, path.method.replace("/", "-"), out)
    rows, end = single.unlearn_file(plan, path, model, indices, vouched=trained_on_split)
    print_rows(rows, COLUMNS)
    _promise(plan.job(path.path, Unlearn).spec.unlearn, rows)
    _warn(rows)
    single.save(plan, path, end, target)
    typer.echo(target)


def _unlearn_own(
    model: Path, data: str, forget: str | None, method: str | None, words: Sequence[str], out: Path | None, seed: int
) -> None:
    """Walk a path from the user's own model with the user's own data."""
    for word in (word for word in words if "=" not in word):
        raise RecipeError(f"--data: goes without a RECIPE, and {shown(word)} is no setting of a method, KEY=VALUE")
    method = method or DEFAULT_METHOD
    target = new_model(model, method, out)
    from ungrok.deletion.along import along
    from ungrok.deletion.inputs import checked
    from ungrok.deletion.opening import opened
    from ungrok.deletion.run import write_model
    from ungrok.methods.run import make_method

    made = make_method(method, settings_of(words))
    inputs = checked(**opened(model, data, None if forget is None else Path(forget), "--model"), seed=seed)
    rows, end = along(inputs, made)
    print_rows(rows, COLUMNS)
    _promise(made, rows)
    _warn(rows)
    write_model(end, target, inputs.tokenizer)
    typer.echo(target)


def _promise(method: Unlearner, rows: Sequence[dict[str, Any]]) -> None:
    """Say what a path certifies that has been walked to its end; nothing of a method that certifies nothing."""
    if promise := method.promise(int(rows[-1]["dose"])):
        say(f"{method.label} {promise}")


def _warn(rows: Sequence[dict[str, Any]]) -> None:
    """Say so where a model seems never to have been trained on what is called its training examples."""
    ours, others = rows[0]["RA"], rows[0]["TA"]
    if ours is not None and others is not None and ours <= others:
        say(
            f"warning: before unlearning RA is {ours:.3f} and TA {others:.3f}: a model knows the examples that it "
            "was trained on at least as well as others; were the weights trained on this training split?"
        )


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
    trained_on_split: OfTheSplit = False,
) -> None:
    """Measure one model and print values and nulls.

    The model is a stage of a study (or step-N), trained first where needed, or --model.
    """
    if reference is not None and model is None:
        raise RecipeError("--reference: goes with --model; a stage is compared with its oracle and earlier stages")
    if trained_on_split and model is None:
        raise RecipeError("--trained-on-split: goes with --model; the stages of a study are trained on its split")
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
    print_rows(_measured(plan, where, measurements[0], model, reference, vouched=trained_on_split))


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
    plan: Plan, where: Store, measurement: Measurement, model: Path | None, reference: Path | None, *, vouched: bool
) -> Sequence[dict[str, Any]]:
    from ungrok.study import engine, single
    from ungrok.study.jobs import Analyze

    if model is not None:
        return single.analyze_file(plan, measurement, model, reference, vouched=vouched)
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
