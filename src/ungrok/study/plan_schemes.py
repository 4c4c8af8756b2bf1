"""The part of a plan that prepares for deletion during training: the models of each scheme, and a request of each forget split."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from ungrok.study import jobs
from ungrok.study.jobs.blocks import Forget
from ungrok.study.jobs.oracle import OracleSpec
from ungrok.study.jobs.schemes import FulfilledSpec, PreparedSpec
from ungrok.study.jobs.stage import StageSpec
from ungrok.study.recipe_blocks import BASE
from ungrok.study.seeding import Seeds
from ungrok.study.units import drawing

if TYPE_CHECKING:
    from ungrok.study.plan import Plan

FINAL = "final"
"""The stage at which schemes stop: the last step of their training."""


@dataclass(frozen=True)
class SchemeJobs:
    """One request to one scheme.

    Args:
        seed: A seed of the recipe.
        scheme: Label of the scheme.
        forget: Label of the forget split, in its first draw.
        prepared: Key of the job that trains the scheme's models.
        fulfilled: Key of the job that fulfills the request.
        oracle: Key of the job that scores the model trained to the end without the forget set.

    """

    seed: int
    scheme: str
    forget: str
    prepared: str
    fulfilled: str
    oracle: str


def scheme_jobs(plan: Plan) -> list[SchemeJobs]:
    """Return the requests to a recipe's schemes, in the base arm, after adding those of their jobs that are not in the plan yet."""
    recipe, every = plan.recipe, list[SchemeJobs]()
    for seed in recipe.seeds if recipe.schemes else []:
        training = plan.settings(BASE, seed).spec(Seeds(seed).training)
        for scheme in recipe.schemes:
            label = f"{scheme.label}, seed {seed}"
            prepared = plan.add(jobs.Prepared(PreparedSpec(training=training, scheme=scheme), {}, f"models of {label}"))
            for rule in recipe.forget_of(BASE):
                split = plan.jobs[_known_oracle(plan, seed, rule.label)].inputs.get("split")
                asked = None if split else Forget(rule=rule, seed=Seeds(drawing(recipe, seed)).forget)
                inputs = {"prepared": prepared} | ({"split": split} if split else {})
                key = plan.add(jobs.Fulfilled(FulfilledSpec(forget=asked), inputs, f"{rule.label} by {label}"))
                oracle = _last_oracle(plan, seed, rule.label, asked)
                every.append(SchemeJobs(seed, scheme.label, rule.label, prepared, key, oracle))
    return every


def _last_oracle(plan: Plan, seed: int, forget: str, asked: Forget | None) -> str:
    """Return the key of the oracle at the last step, which stands beside a scheme wherever stages lie."""
    inputs = dict(plan.jobs[_known_oracle(plan, seed, forget)].inputs)
    stage = StageSpec(stage=FINAL, transition=plan.recipe.transition)
    label = f"stage {FINAL}, {BASE}, seed {seed}"
    inputs["stage"] = plan.add(jobs.Stage(stage, {"trajectory": plan.trajectories[BASE, seed]}, label))
    spec = OracleSpec(forget=asked, scores=plan.recipe.problem.scores)
    return plan.add(jobs.Oracle(spec, inputs, f"oracle of {BASE} {seed} {forget} {FINAL}"))


def _known_oracle(plan: Plan, seed: int, forget: str) -> str:
    """Return the key of an oracle of a forget split in the base arm, whatever its stage."""
    return next(key for (arm, own, label, _), key in plan.oracles.items() if (arm, own, label) == (BASE, seed, forget))
