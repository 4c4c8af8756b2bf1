"""The plan: every job of a study, with its inputs, before any of them runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np
import torch

from ungrok.data.base import Problem
from ungrok.data.forget import ForgetRule
from ungrok.models.base import Model
from ungrok.study import jobs
from ungrok.study.draws import seen_by
from ungrok.study.job import AnyJob
from ungrok.study.jobs.blocks import Forget, OwnLoss
from ungrok.study.jobs.oracle import OracleSpec
from ungrok.study.jobs.split import SplitSpec
from ungrok.study.jobs.trained import TrainSpec
from ungrok.study.plan_measurements import Measurement, add_learned, add_measurements
from ungrok.study.plan_paths import PathJobs, add_path, add_paths, asked
from ungrok.study.plan_sequences import ORACLE, SECOND_ORACLE, SequenceJobs, add_sequences
from ungrok.study.plan_shadows import ShadowJobs, add_shadow_split, add_shadows
from ungrok.study.plan_stages import add_stage
from ungrok.study.plan_stress import StressJobs, add_lasting, add_stress
from ungrok.study.rates import Extent
from ungrok.study.recipe import Recipe
from ungrok.study.recipe_blocks import BASE
from ungrok.study.recipe_given import given_of
from ungrok.study.seeding import Seeds
from ungrok.study.units import assignment, drawing
from ungrok.train import Training
from ungrok.train.exposure import Assignment
from ungrok.train.stages import stage_name

J = TypeVar("J", bound=AnyJob)

Extents = dict[tuple[str, str], Extent]
"""By method and forget split, how far the search for a rate or for strengths has come."""


@dataclass(frozen=True)
class ArmSettings:
    """What the trainings of an arm are made of.

    Args:
        name: The arm.
        problem: Pinned to the content of the user's own files.
        model: The model.
        training: How it is trained.
        device: The device.
        loss: The base arm's loss where this arm was trained with another, else None: all arms are unlearned and measured alike.
        assignment: Which groups its exposure has, which depends on the seed; None without one.

    """

    name: str
    problem: Problem
    model: Model
    training: Training
    device: str
    loss: OwnLoss | None
    assignment: Assignment | None = None

    @classmethod
    def of(cls, recipe: Recipe, name: str) -> ArmSettings:
        """Return the settings of an arm of a recipe."""
        problem, model, training = recipe.for_arm(name)
        base, own = (OwnLoss(loss=one.loss, loss_precision=one.loss_precision) for one in (recipe.trajectory, training))
        return cls(name, problem.pinned(), model, training, device_of(recipe), None if own == base else base)

    def spec(
        self, seed: int, training: Training | None = None, without: Forget | None = None, given: str | None = None
    ) -> TrainSpec:
        """Return the spec of a training of this arm; where ``training`` is not None, that of its base model."""
        return TrainSpec(
            problem=self.problem,
            model=self.model,
            trajectory=training or self.training,
            device=self.device,
            training_seed=seed,
            without=without,
            part="base" if training else None,
            measured="classes left" if without and without.rule.empties_classes else None,
            assignment=None if training else self.assignment,
            given=given,
        )


@dataclass(frozen=True)
class Request:
    """What the trajectory of an arm and a seed is to forget.

    Args:
        arm: The arm.
        seed: A seed of the recipe.
        rule: The forget rule.
        draw: Which draw of the rule, counted from 0.
        split: Key of the job that makes the split, for rules that depend on how training went.
        drawing: The seed whose draws it takes: ``seed``, or that of its swapped pair.
        phase: Which of several requests in sequence, counted from 1.

    """

    arm: ArmSettings
    seed: int
    rule: ForgetRule
    drawing: int
    draw: int = 0
    split: str | None = None
    phase: int = 1

    @property
    def forget(self) -> Forget:
        """The rule with the seed of its draw, and those of the requests before it."""
        if self.phase > 1:
            *before, own = Seeds(self.drawing).requests_of(self.phase)
            return Forget(rule=self.rule, seed=own, before=tuple(before))
        return Forget(rule=self.rule, seed=Seeds(self.drawing).forget_of(self.draw))

    @property
    def split_input(self) -> dict[str, str]:
        """The input by which jobs are told a split that depends on how training went; empty for other splits."""
        return {} if self.split is None else {"split": self.split}


@dataclass
class Plan:
    """The job graph of a study.

    Args:
        recipe: What it was made from.
        jobs: By key, inputs before the jobs that read them.
        bases: (arm, seed) to the key of the job that trains the model that trajectories start from, where there is one.
        trajectories: (arm, seed) to the key of the training job.
        splits: (arm, seed, forget label) to the key of the job that makes the split, for rules that depend on how training went.
        stages: (arm, seed, stage) to the key of the stage job.
        oracles: (arm, seed, forget label, stage) to the key of the oracle job.
        noise: Like ``oracles``, for the second oracle.
        twins: (arm, seed, forget label, stage, draw) to the keys of both oracles, where there are two.
        paths: The unlearning paths.
        sequences: Those of several requests, one after another.
        replicates: Those of further draws of forget splits, and further walks of the same paths.
        measurements: The analyses.
        stress: The attacks after unlearning.
        lasting: The searches for the first place of a path that lasts; ``rows`` is the key of the search.
        shadows: The shadow models of an audit, at every stage and after unlearning.
        learned: (arm, seed, forget label, draw) to the key of the job that reads when the examples were learned, where they are staggered.
        warnings: What a reader of the report must know, for instance small forget sets.
        arms: What the trainings of each arm are made of.
        extents: How far searches have come; those that are not listed are in their first round.
        round: Counted from 1: a plan that searches for rates grows in rounds.

    """

    recipe: Recipe
    jobs: dict[str, AnyJob] = field(default_factory=dict)
    bases: dict[tuple[str, int], str] = field(default_factory=dict)
    trajectories: dict[tuple[str, int], str] = field(default_factory=dict)
    splits: dict[tuple[str, int, str], str] = field(default_factory=dict)
    stages: dict[tuple[str, int, str], str] = field(default_factory=dict)
    oracles: dict[tuple[str, int, str, str], str] = field(default_factory=dict)
    noise: dict[tuple[str, int, str, str], str] = field(default_factory=dict)
    twins: dict[tuple[str, int, str, str, int], tuple[str, str]] = field(default_factory=dict)
    paths: list[PathJobs] = field(default_factory=list)
    replicates: list[PathJobs] = field(default_factory=list)
    sequences: list[SequenceJobs] = field(default_factory=list)
    measurements: list[Measurement] = field(default_factory=list)
    stress: list[StressJobs] = field(default_factory=list)
    lasting: list[PathJobs] = field(default_factory=list)
    shadows: list[ShadowJobs] = field(default_factory=list)
    learned: dict[tuple[str, int, str, int], str] = field(default_factory=dict)
    warnings: list[str] = field(default_factory=list)
    arms: dict[str, ArmSettings] = field(default_factory=dict)
    extents: Extents = field(default_factory=dict)
    round: int = 1

    def add(self, job: AnyJob) -> str:
        """Add a job unless it is there already, and return its key."""
        self.jobs.setdefault(job.key, job)
        return job.key

    def job(self, key: str, kind: type[J]) -> J:
        """Return a job that is known to be of a kind."""
        job = self.jobs[key]
        assert isinstance(job, kind)
        return job

    def extent(self, method: str, forget: str) -> Extent:
        """Return how far the search for a method's rate or strengths on a forget split has come."""
        return self.extents.get((method, forget), Extent())

    def settings(self, arm: str, seed: int) -> ArmSettings:
        """Return what the trainings of an arm are made of for one seed."""
        settings = self.arms[arm]
        problem, own = seen_by(self.recipe, settings.problem, seed), assignment(self.recipe, settings.training, seed)
        return replace(settings, problem=problem, assignment=own)

    def grow(self, extents: Extents) -> list[AnyJob]:
        """Bring searches further, in a new round, and return the jobs that this adds; others may go."""
        before, grown = self.jobs, make_plan(self.recipe, extents)
        vars(self).update(vars(grown) | {"warnings": self.warnings, "round": self.round + 1})
        return [job for key, job in self.jobs.items() if key not in before]

    def counts(self) -> dict[str, int]:
        """Return the number of jobs by kind."""
        return dict(Counter(job.kind for job in self.jobs.values()))

    def needed_for(self, *keys: str) -> list[AnyJob]:
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
    """Return the device that the recipe's jobs run on. It need not be here: finished studies are read on any machine."""
    if recipe.device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    return recipe.device


def make_plan(recipe: Recipe, extents: Extents | None = None) -> Plan:
    """Return the whole job graph of a recipe; nothing is run, and nothing read but the user's own data files.

    Args:
        recipe: What to do.
        extents: How far searches have come; by default to their first round.

    """
    arms = {arm: ArmSettings.of(recipe, arm) for arm in (BASE, *recipe.arms)}
    plan = Plan(recipe, arms=arms, extents=extents or {})
    if recipe.audit:
        add_shadows(plan)
    for arm in plan.arms:
        for seed in recipe.seeds_of(arm):
            _add_trajectory(plan, arm, seed)
    for arm, seed in plan.trajectories:
        _add_seed(plan, arm, seed)
    if recipe.requests > 1:
        _add_sequences(plan)
    if recipe.along:
        _add_along(plan)
    if recipe.analyze:
        add_measurements(plan)
    if recipe.stress:
        add_stress(plan)
    if recipe.lasting:
        add_lasting(plan)
    return plan


def _add_trajectory(plan: Plan, arm: str, seed: int) -> None:
    settings, base = plan.settings(arm, seed), plan.recipe.base
    if base is not None:
        spec = settings.spec(Seeds(seed).base, base)
        plan.bases[arm, seed] = plan.add(jobs.Train(spec, {}, f"base, {arm}, seed {seed}"))
    given = given_of(plan.recipe, seed)
    spec = settings.spec(Seeds(seed).training, given=given.checkpoints if given else None)
    inputs = _from_base(plan, arm, seed)
    plan.trajectories[arm, seed] = plan.add(jobs.Train(spec, inputs, f"trajectory, {arm}, seed {seed}"))


def _from_base(plan: Plan, arm: str, seed: int) -> dict[str, str]:
    return {"base": plan.bases[arm, seed]} if (arm, seed) in plan.bases else {}


def _add_seed(plan: Plan, arm: str, seed: int) -> None:
    """Add everything that follows from one trajectory."""
    recipe = plan.recipe
    for stage in recipe.stages_of(arm):
        plan.stages[arm, seed, stage] = add_stage(plan, arm, seed, stage)
    for rule in recipe.forget_of(arm):
        for draw in range(recipe.forget_draws):
            _add_draw(plan, _requested(plan, arm, seed, rule, draw))


def _requested(plan: Plan, arm: str, seed: int, rule: ForgetRule, draw: int = 0, phase: int = 1) -> Request:
    """Return a request, after adding the job that makes its split where that depends on how training went."""
    request = Request(plan.settings(arm, seed), seed, rule, drawing(plan.recipe, seed), draw, phase=phase)
    if not rule.from_trajectory:
        return request
    if rule.from_shadows:
        return replace(request, split=add_shadow_split(plan, request))
    inputs, label = {"trajectory": plan.trajectories[arm, seed]}, f"split {rule.label}, {arm}, seed {seed}"
    label += _nth(request)
    key = plan.add(jobs.ChooseSplit(SplitSpec(forget=request.forget), inputs, label))
    plan.splits.setdefault((arm, seed, rule.label), key)
    return replace(request, split=key)


def _add_draw(plan: Plan, request: Request) -> None:
    """Add what follows from one draw of a forget split: its oracles and its paths, each as often as the recipe says."""
    recipe, arm, seed, first = plan.recipe, request.arm.name, request.seed, request.draw == 0
    if request.arm.training.exposure and request.split is None:
        add_learned(plan, request)
    given = given_of(recipe, seed)
    trained = None if given and not given.oracle else _add_without(plan, request, Seeds(seed).training)
    noisy = seed in recipe.seeds[: recipe.noise_seeds]
    retrained = _add_without(plan, request, Seeds(seed).noise) if noisy else None
    for stage in recipe.stages_of(arm):
        where, oracle = (arm, seed, request.rule.label, stage), trained and _add_oracle(plan, request, stage, trained)
        if first and oracle:
            plan.oracles[where] = oracle
        if retrained and oracle:
            second = _add_oracle(plan, request, stage, retrained)
            plan.twins[(*where, request.draw)] = oracle, second
            if first:
                plan.noise[where] = second
        for method in recipe.unlearn:
            for repeat in range(recipe.unlearn_seeds):
                add_paths(plan, request, stage, method, oracle, repeat)


def _add_without(plan: Plan, request: Request, seed: int) -> str:
    """Add the training that never sees the forget data."""
    split, given = request.split_input, given_of(plan.recipe, request.seed)
    spec = request.arm.spec(seed, without=None if split else request.forget, given=given.oracle if given else None)
    inputs = _from_base(plan, request.arm.name, request.seed) | split
    label = f"without {request.rule.label}, {request.arm.name}, seed {request.seed}{_nth(request)}"
    return plan.add(jobs.Train(spec, inputs, label))


def _nth(request: Request) -> str:
    return f", request {request.phase}" if request.phase > 1 else ""


def _add_oracle(plan: Plan, request: Request, stage: str, trained: str) -> str:
    arm, seed = request.arm.name, request.seed
    split = request.split_input
    spec = OracleSpec(
        forget=None if split else request.forget,
        objective=request.arm.loss,
        probe=asked(plan.recipe, seed) if request.phase == 1 else None,
        scores=plan.recipe.problem.scores,
    )
    inputs = {"trajectory": trained, "stage": plan.stages[arm, seed, stage]} | split
    return plan.add(jobs.Oracle(spec, inputs, f"oracle of {arm} {seed} {request.rule.label} {stage}{_nth(request)}"))


def _add_sequences(plan: Plan) -> None:
    """Add the requests after the first of every split, with the oracles of each, and what is read of all of them."""
    recipe = plan.recipe
    firsts: dict[tuple[str, int, str, str], dict[str, PathJobs]] = {}
    for path in plan.paths:
        firsts.setdefault((path.arm, path.seed, path.forget, path.stage), {})[path.method] = path
    for arm, seed, forget, stage in plan.oracles:
        rule = recipe.forget[recipe.forget_labels().index(forget)]
        requests = [_requested(plan, arm, seed, rule, phase=phase) for phase in range(1, recipe.requests + 1)]
        seeds = {ORACLE: Seeds(seed).training}
        if (arm, seed, forget, stage) in plan.noise:
            seeds[SECOND_ORACLE] = Seeds(seed).noise
        oracles = {
            subject: [_add_oracle(plan, request, stage, _add_without(plan, request, own)) for request in requests]
            for subject, own in seeds.items()
        }
        add_sequences(plan, requests, stage, oracles, firsts[arm, seed, forget, stage])


def _add_along(plan: Plan) -> None:
    """Add unlearning from many checkpoints along the base arm's trajectories."""
    recipe, along = plan.recipe, plan.recipe.along
    assert along is not None
    method = recipe.unlearn[recipe.unlearn_labels().index(along.unlearn)]
    rule = recipe.forget[recipe.forget_labels().index(along.forget)]
    kept = [step for step in recipe.trajectory.kept() if step >= recipe.trajectory.steps * along.first]
    chosen = np.unique(np.linspace(0, len(kept) - 1, along.points).round().astype(int))
    for seed in recipe.seeds[: along.seeds]:
        for position in chosen:
            stage = stage_name(kept[position])
            if (BASE, seed, stage) not in plan.stages:
                plan.stages[BASE, seed, stage] = add_stage(plan, BASE, seed, stage)
                add_path(plan, _requested(plan, BASE, seed, rule), stage, method, None)
