"""The plan: every job of a study, with its inputs, before any of them runs."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, field, replace
from typing import TypeVar

import numpy as np

from ungrok.data.forget import ForgetRule
from ungrok.study import jobs
from ungrok.study.draws import seen_by
from ungrok.study.job import AnyJob
from ungrok.study.jobs.oracle import OracleSpec
from ungrok.study.jobs.split import SplitSpec
from ungrok.study.plan_measurements import Measurement, add_learned, add_measurements
from ungrok.study.plan_paths import PathJobs, add_path, add_paths, asked
from ungrok.study.plan_requests import ArmSettings, Request
from ungrok.study.plan_schemes import scheme_jobs
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
from ungrok.train.stages import stage_name

J = TypeVar("J", bound=AnyJob)

Extents = dict[tuple[str, str], Extent]
"""By method and forget split, how far the search for a rate or for strengths has come."""


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
        replaced: Jobs of earlier rounds whose place others have taken; without them the searches could not be followed again.
        known: As for :func:`make_plan`.

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
    replaced: dict[str, AnyJob] = field(default_factory=dict)
    known: dict[str, AnyJob] = field(default_factory=dict)

    @property
    def every(self) -> dict[str, AnyJob]:
        """The jobs of all rounds, by key."""
        return self.replaced | self.jobs

    def add(self, job: AnyJob) -> str:
        """Add a job unless it is there already, and return its key."""
        earlier = self.known.get(job.label)
        same = job if earlier is None or earlier != job else earlier
        self.jobs.setdefault(same.key, same)
        return same.key

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
        before, every = self.jobs, self.every
        grown = make_plan(self.recipe, extents, {job.label: job for job in before.values()})
        replaced = {key: job for key, job in every.items() if key not in grown.jobs}
        kept = {"warnings": self.warnings, "round": self.round + 1, "replaced": replaced, "known": {}}
        vars(self).update(vars(grown) | kept)
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


def make_plan(recipe: Recipe, extents: Extents | None = None, known: dict[str, AnyJob] | None = None) -> Plan:
    """Return the whole job graph of a recipe; nothing is run, and nothing read but the user's own data files.

    Args:
        recipe: What to do.
        extents: How far searches have come; by default to their first round.
        known: Jobs of the round before by label; keys take most of the time, and those of equal jobs are theirs.

    """
    arms = {arm: ArmSettings.of(recipe, arm) for arm in (BASE, *recipe.arms)}
    plan = Plan(recipe, arms=arms, extents=extents or {}, known=known or {})
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
    scheme_jobs(plan)
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
