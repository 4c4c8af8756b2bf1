"""The plan: every job of a study, with its inputs, before any of them runs."""

from __future__ import annotations

import copy
import math
from collections import Counter
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import torch
from torch import nn

from ungrok.analyze import ROLES, Analysis, Subject
from ungrok.core.errors import NotApplicable, RecipeError
from ungrok.core.schema import Schema
from ungrok.core.scores import evaluating
from ungrok.core.seeds import derive
from ungrok.data.answers import AnswerData, AnswerProblem
from ungrok.data.base import Data
from ungrok.data.batches import TensorBatches
from ungrok.data.forget import SMALL, ForgetRule
from ungrok.data.local import LocalGrokking
from ungrok.methods import Material, Unlearner
from ungrok.models.rescale import check_equal, rescale
from ungrok.study.recipe import BASE, Recipe, Rescaled
from ungrok.study.statistics import smallest_p
from ungrok.study.store import Job
from ungrok.train import Training
from ungrok.train.stages import stage_name


@dataclass(frozen=True)
class PathJobs:
    """One unlearning path of the grid and where its results are found."""

    seed: int
    arm: str
    stage: str
    forget: str
    method: str
    path: str
    rows: str


@dataclass(frozen=True)
class Measurement:
    """One analysis of one model: at a stage, or at the matched dose of a path (``method``, empty at a stage)."""

    seed: int
    arm: str
    stage: str
    forget: str
    method: str
    analysis: str
    model: str
    rows: str


@dataclass
class Plan:
    """The job graph of a study.

    Args:
        recipe: What it was made from.
        jobs: By key, inputs before the jobs that read them.
        bases: (arm, seed) to the key of the job that trains the model that trajectories start from, where there is one.
        trajectories: (arm, seed) to the key of the training job.
        splits: (arm, seed, forget label) to the key of the job that makes the split, for rules that look at a trajectory.
        stages: (arm, seed, stage) to the key of the stage job.
        oracles: (arm, seed, forget label, stage) to the key of the oracle job.
        noise: Like ``oracles``, for the second oracle.
        paths: The unlearning paths.
        measurements: The analyses.
        warnings: What a reader of the report must know, for instance small forget sets.
        problems: The problem of each arm, pinned to the content of the user's own files.

    """

    recipe: Recipe
    jobs: dict[str, Job] = field(default_factory=dict)
    bases: dict[tuple[str, int], str] = field(default_factory=dict)
    trajectories: dict[tuple[str, int], str] = field(default_factory=dict)
    splits: dict[tuple[str, int, str], str] = field(default_factory=dict)
    stages: dict[tuple[str, int, str], str] = field(default_factory=dict)
    oracles: dict[tuple[str, int, str, str], str] = field(default_factory=dict)
    noise: dict[tuple[str, int, str, str], str] = field(default_factory=dict)
    paths: list[PathJobs] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    warnings: list[str] = field(default_factory=list)
    problems: dict[str, dict[str, Any]] = field(default_factory=dict)

    def add(self, job: Job) -> str:
        """Add a job, once, and return its key."""
        self.jobs.setdefault(job.key, job)
        return job.key

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by kind."""
        return dict(Counter(job.kind for job in self.jobs.values()))

    def needed_for(self, *keys: str) -> list[Job]:
        """Return the jobs that the given ones depend on, and themselves, inputs first."""
        wanted: set[str] = set()
        stack = list(keys)
        while stack:
            key = stack.pop()
            if key not in wanted:
                wanted.add(key)
                stack.extend(self.jobs[key].inputs.values())
        return [job for key, job in self.jobs.items() if key in wanted]


def device_of(recipe: Recipe) -> str:
    """Return the device that the recipe's jobs run on, be it there or not: a study is read on any machine."""
    if recipe.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return recipe.device


def check_device(recipe: Recipe) -> None:
    """Raise RecipeError if the recipe asks for a device that is not there."""
    if recipe.device == "cuda" and not torch.cuda.is_available():
        raise RecipeError("device: 'cuda' is not available on this machine; allowed here: cpu, auto")


def _train(plan: Plan, arm: str, seed: int, without: ForgetRule | None = None, stream: str = "training") -> Job:
    recipe = plan.recipe
    _, model, training = recipe.for_arm(arm)
    base, split = plan.bases.get((arm, seed)), plan.splits.get((arm, seed, without.label)) if without else None
    inputs = ({"base": base} if base else {}) | ({"split": split} if split else {})
    spec = {
        "problem": _pinned(plan, arm),
        "model": model.spec(),
        "trajectory": training.spec(),
        "device": device_of(recipe),
        "training_seed": derive(seed, stream),
        "without": None if without is None or split else _split_block(without, seed),
    }
    what = f"without {without.label}" if without else "trajectory"
    return Job("train", spec, inputs, f"{what}, {arm}, seed {seed}")


def _pinned(plan: Plan, arm: str) -> dict[str, Any]:
    if arm not in plan.problems:
        plan.problems[arm] = plan.recipe.for_arm(arm)[0].pinned().spec()
    return plan.problems[arm]


def _train_base(plan: Plan, training: Training, arm: str, seed: int) -> Job:
    recipe = plan.recipe
    _, model, _ = recipe.for_arm(arm)
    spec = {
        "problem": _pinned(plan, arm),
        "model": model.spec(),
        "trajectory": training.spec(),
        "device": device_of(recipe),
        "training_seed": derive(seed, "base"),
        "without": None,
        "part": "base",
    }
    return Job("train", spec, {}, f"base, {arm}, seed {seed}")


def _split_block(rule: ForgetRule, seed: int) -> dict[str, Any]:
    return _anonymous(rule) | {"seed": derive(seed, "forget")}


def _loss(plan: Plan, arm: str) -> dict[str, Any]:
    """Return the base arm's loss where an arm was trained with another: unlearning and measures are the same for all."""
    base, own = plan.recipe.trajectory, plan.recipe.for_arm(arm)[2]
    settings = {"loss": base.loss, "loss_precision": base.loss_precision}
    return {} if settings == {"loss": own.loss, "loss_precision": own.loss_precision} else {"objective": settings}


def _anonymous(part: Schema) -> dict[str, Any]:
    """Return a block without its label, which does not change what it computes."""
    return {key: value for key, value in part.spec().items() if key != "name"}


def make_plan(recipe: Recipe) -> Plan:
    """Return the whole job graph of a recipe; nothing is run, and nothing read but the user's own data files."""
    plan = Plan(recipe)
    for arm in (BASE, *recipe.arms):
        for seed in recipe.seeds:
            if recipe.base is not None:
                plan.bases[arm, seed] = plan.add(_train_base(plan, recipe.base, arm, seed))
            plan.trajectories[arm, seed] = plan.add(_train(plan, arm, seed))
    for arm, seed in plan.trajectories:
        _plan_seed(plan, arm, seed)
    if recipe.sweep:
        _plan_sweep(plan)
    if recipe.analyze:
        _plan_looks(plan)
    return plan


def _plan_seed(plan: Plan, arm: str, seed: int) -> None:
    recipe = plan.recipe
    trajectory = plan.trajectories[arm, seed]
    for stage in recipe.stages_of(arm):
        plan.stages[arm, seed, stage] = _add_stage(plan, arm, seed, stage)
    for rule in recipe.forget:
        if rule.from_trajectory:
            block = {"forget": _split_block(rule, seed)}
            split = Job("split", block, {"trajectory": trajectory}, f"split {rule.label}, {arm}, seed {seed}")
            plan.splits[arm, seed, rule.label] = plan.add(split)
        oracle = plan.add(_train(plan, arm, seed, rule))
        second = None
        if seed in recipe.seeds[: recipe.noise_seeds]:
            second = plan.add(_train(plan, arm, seed, rule, "noise"))
        for stage in recipe.stages_of(arm):
            where = (arm, seed, rule.label, stage)
            for table, trained in ((plan.oracles, oracle), (plan.noise, second)):
                if trained:
                    inputs = {"trajectory": trained, "stage": plan.stages[arm, seed, stage]}
                    spec: dict[str, Any] = _loss(plan, arm)
                    if recipe.probe:
                        spec["probe"] = recipe.probe.to_dict() | {"seed": derive(seed, "probe")}
                        inputs |= _split_input(plan, arm, seed, rule)
                        spec |= {} if rule.from_trajectory else {"forget": _split_block(rule, seed)}
                    table[where] = plan.add(Job("oracle", spec, inputs, f"oracle of {' '.join(map(str, where))}"))
            for method in recipe.unlearn:
                _add_cell(plan, arm, seed, stage, rule, method, plan.oracles[where])


def _add_stage(plan: Plan, arm: str, seed: int, stage: str) -> str:
    """Add the job that makes a stage's model, and what it is made from."""
    control, label = plan.recipe.controls.get(stage), f"{stage}, {arm}, seed {seed}"
    trajectory = {"trajectory": plan.trajectories[arm, seed]}
    rule = {"transition": plan.recipe.transition.spec()}
    if control is None:
        return plan.add(Job("stage", {"stage": stage} | rule, trajectory, f"stage {label}"))
    if isinstance(control, Rescaled):
        source = _add_stage(plan, arm, seed, stage_name(control.stage))
        return plan.add(Job("rescaled", {"factor": control.factor}, {"stage": source}, f"rescaled {label}"))
    other = {
        "to": _add_stage(plan, control.arm, seed, stage_name(control.stage)),
        "to_trajectory": plan.trajectories[control.arm, seed],
    }
    settings = {"equal": control.equal, "tolerance": control.tolerance, "part": control.part}
    return plan.add(Job("matched", settings | rule, trajectory | other, f"matched {label}"))


def _add_cell(
    plan: Plan, arm: str, seed: int, stage: str, rule: ForgetRule, method: Unlearner, oracle: str | None
) -> None:
    recipe = plan.recipe
    label = f"{method.label} from {stage}, {rule.label}, {arm}, seed {seed}"
    spec = {
        "unlearn": _anonymous(method),
        "forget": _split_block(rule, seed),
        "seed": derive(seed, "unlearning"),
        "batches": recipe.batches.spec(),
        "observe": recipe.observe.spec(),
        **_loss(plan, arm),
    }
    if recipe.probe:
        spec["probe"] = recipe.probe.to_dict() | {"seed": derive(seed, "probe")}
    sources = {"stage": plan.stages[arm, seed, stage], **_split_input(plan, arm, seed, rule)}
    if isinstance(recipe.problem, AnswerProblem):
        sources["trajectory"] = plan.trajectories[arm, seed]
    path = plan.add(Job("unlearn", spec, sources, label))
    inputs = {"path": path} | ({"oracle": oracle} if oracle else {})
    rows = plan.add(Job("evaluate", {"targets": recipe.claims.targets}, inputs, f"scores of {label}"))
    plan.paths.append(PathJobs(seed, arm, stage, rule.label, method.label, path, rows))


def _split_input(plan: Plan, arm: str, seed: int, rule: ForgetRule) -> dict[str, str]:
    return {"split": plan.splits[arm, seed, rule.label]} if rule.from_trajectory else {}


def _plan_sweep(plan: Plan) -> None:
    recipe = plan.recipe
    assert recipe.sweep is not None
    method = recipe.unlearn[recipe.unlearn_labels().index(recipe.sweep.unlearn)]
    rule = recipe.forget[recipe.forget_labels().index(recipe.sweep.forget)]
    kept = [step for step in recipe.trajectory.kept() if step >= recipe.trajectory.steps * recipe.sweep.first]
    chosen = np.unique(np.linspace(0, len(kept) - 1, recipe.sweep.points).round().astype(int))
    for seed in recipe.seeds[: recipe.sweep.seeds]:
        for position in chosen:
            stage = f"step-{kept[position]}"
            if (BASE, seed, stage) not in plan.stages:
                plan.stages[BASE, seed, stage] = _add_stage(plan, BASE, seed, stage)
                _add_cell(plan, BASE, seed, stage, rule, method, None)


def _try(network: nn.Module, kind: str, data: Data, training: Training) -> None:
    """Run two examples through a model."""
    objective, batch = training.objective(data), data.train.batch(slice(2))
    try:
        with torch.no_grad():
            out = objective.logits(network, batch)
    except Exception as error:  # whatever a model of the user's own raises
        raise RecipeError(f"model: kind {kind!r} does not take inputs of shape {data.shape} ({error})") from error
    rows = len(objective.targets(batch))
    fits = isinstance(out, torch.Tensor) and out.ndim == 2 and len(out) == rows
    if not fits or (out.shape[1] < data.outputs if isinstance(data, AnswerData) else out.shape[1] != data.outputs):
        found = tuple(out.shape) if isinstance(out, torch.Tensor) else type(out).__name__
        raise RecipeError(
            f"model: kind {kind!r} gives {found} for two examples; wanted: logits ({rows}, {data.outputs})"
        )


def _plan_looks(plan: Plan) -> None:
    """Add the analyses of every stage that a path leaves, and of every model that a path makes of it."""
    recipe, settings = plan.recipe, {analysis.label: _measures(analysis) for analysis in plan.recipe.analyze}
    share = {"dose": recipe.claims.dose, "strength": recipe.claims.strength}
    seen: set[tuple[int, str, str, str]] = set()
    for cell in plan.paths:
        at = (cell.seed, cell.arm, cell.stage, cell.forget)
        stage = plan.stages[cell.arm, cell.seed, cell.stage]
        path = plan.jobs[cell.path].spec
        oracle = plan.oracles.get((cell.arm, cell.seed, cell.forget, cell.stage))
        beside = {"oracle": oracle} if oracle else {}
        split = {role: key for role, key in plan.jobs[cell.path].inputs.items() if role == "split"}
        models = [] if at in seen else [("", stage, beside | _earlier(plan, cell))]
        seen.add(at)
        if cell.stage in recipe.stages_of(cell.arm) and any(analysis.after for analysis in recipe.analyze):
            spec = {key: path[key] for key in ("unlearn", "forget", "seed", "batches")} | share | _loss(plan, cell.arm)
            sources = plan.jobs[cell.path].inputs
            made = plan.add(Job("unlearned", spec, sources, f"{cell.method} from {cell.stage}, seed {cell.seed}"))
            models.append((cell.method, made, beside | {"before": stage}))
        for method, model, references in models:
            for analysis in recipe.analyze:
                if method and not analysis.after:
                    continue
                spec = {
                    "analyze": settings[analysis.label],
                    "forget": path["forget"],
                    "seed": derive(cell.seed, "analysis"),
                    **_loss(plan, cell.arm),
                }
                inputs = {"model": model} | (references if analysis.compares else {}) | split
                text = f"{analysis.label} {f'after {method} ' if method else ''}at {cell.stage}, {cell.arm}, seed {cell.seed}"
                rows = plan.add(Job("analyze", spec, inputs, text))
                plan.measurements.append(Measurement(*at, method, analysis.label, model, rows))


def _measures(analysis: Analysis) -> dict[str, Any]:
    return {key: value for key, value in _anonymous(analysis).items() if key != "after"}


def _earlier(plan: Plan, cell: PathJobs) -> dict[str, str]:
    """Return the stages of its arm that stand before a cell's, by name, as models to compare with."""
    stages = plan.recipe.stages_of(cell.arm)
    before = stages[: stages.index(cell.stage)] if cell.stage in stages else stages[:1]
    return {stage: plan.stages[cell.arm, cell.seed, stage] for stage in before}


def _check_analyses(recipe: Recipe, network: nn.Module, data: Data) -> None:
    sets = {role: [data.train.batch(slice(2))] for role in ROLES}
    with evaluating(network):
        for place, analysis in enumerate(recipe.analyze):
            try:
                analysis.check(Subject(network, recipe.trajectory.objective(data), sets))
            except (NotApplicable, RecipeError) as error:
                raise RecipeError(f"analyze.{place}: {error}") from None


def _check_rescaled(recipe: Recipe, arm: str, network: nn.Module, data: Data) -> None:
    for name in recipe.stages_of(arm):
        control = recipe.controls.get(name)
        if isinstance(control, Rescaled):
            if isinstance(data, AnswerData):
                raise RecipeError(f"controls.{name}: rescaling is for classifiers of images or numbers, not for text")
            inputs, scaled = data.train.batch(slice(2))[0], copy.deepcopy(network)
            try:
                rescale(scaled, control.factor)
                with evaluating(network), evaluating(scaled), torch.no_grad():
                    check_equal(network(inputs), scaled(inputs))
            except NotApplicable as error:
                raise RecipeError(f"controls.{name}: arm {arm!r}: {error}") from None


def preflight(recipe: Recipe) -> tuple[Data, list[str]]:
    """Load the data and try every forget split, model shape and analysis, before any training.

    Returns:
        The base arm's data, and warnings for the report.

    Raises:
        UngrokError: If a split cannot be made, or the model or an analysis does not fit the data.

    """
    warnings: list[str] = []
    device = torch.device(device_of(recipe))
    for arm in reversed((BASE, *recipe.arms)):
        problem, model, training = recipe.for_arm(arm)
        training.speed.check(device)
        data = problem.load()
        warnings += problem.warnings()
        if training.robustness:
            training.robustness.subset(data.validation)
        network = model.build(data.shape, data.outputs, 0)
        _try(network, model.kind, data, training)
        _check_language(recipe, data)
        _check_methods(recipe, network, data, training)
        _check_analyses(recipe, network, data)
        _check_rescaled(recipe, arm, network, data)
        for rule in recipe.forget:
            if rule.from_trajectory:
                _check_local(rule, data, training)
                continue
            sizes = [len(rule.split(data, derive(seed, "forget")).forget) for seed in recipe.seeds]
            if min(sizes) < SMALL:
                text = f"forget split {rule.label!r} holds only {min(sizes)} examples"
                warnings.append(f"{text}; under {SMALL}, one example moves UA by more than 3 points.")
    least = min(1.0, smallest_p(len(recipe.seeds)) * len(recipe.unlearn))
    if recipe.claims.compare and least >= recipe.claims.alpha:
        warnings.append(
            f"{len(recipe.seeds)} seeds with {len(recipe.unlearn)} methods cannot give a Holm-adjusted p below "
            f"{recipe.claims.alpha:g}: the smallest is {least:.3g}."
        )
    return data, list(dict.fromkeys(warnings))


def _check_language(recipe: Recipe, data: Data) -> None:
    """Raise RecipeError where methods, base or probe do not fit the data."""
    text = isinstance(data, AnswerData)
    for key, part in (("base", recipe.base), ("probe", recipe.probe)):
        if part is not None and not text:
            raise RecipeError(f"{key}: is for language models; problem {recipe.problem.kind!r} has none")
    for method in recipe.unlearn:
        if ("language" if text else "classifier") not in method.inputs:
            kinds = " and ".join(method.inputs)
            raise RecipeError(
                f"unlearn: {method.kind!r} runs on {kinds} models only; problem {recipe.problem.kind!r} has none"
            )
        if isinstance(data, AnswerData) and method.other and method.other not in data.others:
            raise RecipeError(
                f"unlearn: {method.kind!r} needs {method.other!r} answers, which problem {recipe.problem.kind!r} does not have for "
                "every question"
            )
    if isinstance(data, AnswerData) and recipe.base is not None:
        if data.base is None:
            raise RecipeError(f"base: problem {recipe.problem.kind!r} has no part for a base model; leave base out")
        recipe.base.objective(data)


def _check_methods(recipe: Recipe, network: nn.Module, data: Data, training: Training) -> None:
    """Raise RecipeError or NotApplicable where a method does not fit the model, as its path would after training."""
    objective, all_of = training.objective(data), torch.arange(len(data.train))
    for rule in recipe.forget:
        forget = all_of[:1] if rule.from_trajectory else rule.split(data, derive(recipe.seeds[0], "forget")).forget
        kept = all_of[~torch.isin(all_of, forget)]
        ours, theirs = (TensorBatches(data.train.of(part), training.evaluation_batch) for part in (forget, kept))
        for method in recipe.unlearn:
            method.check(Material(network, network, ours, theirs, (), objective, None, None, 0))


def _check_local(rule: ForgetRule, data: Data, training: Training) -> None:
    """Raise RecipeError where a split of a group of local grokking can be seen to fail before training."""
    if not isinstance(data, AnswerData):
        raise RecipeError(
            f"forget: kind {rule.kind!r} reads losses of question-answer pairs, which this problem does not have"
        )
    size: int = getattr(rule, "size", 0)
    if size >= len(data.train):
        raise RecipeError(
            f"forget split {rule.label!r}: size {size} of {len(data.train)} training examples; nothing would be left"
        )
    if isinstance(rule, LocalGrokking):
        per_epoch = math.ceil(len(data.train) / (training.batch_size or len(data.train)))
        try:
            rule.using.check(len(data.train), training.steps / per_epoch, size)
        except RecipeError as error:
            raise RecipeError(f"forget split {rule.label!r}: {error}") from None
