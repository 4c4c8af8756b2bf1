"""What deletion cost where a study measured it: by place at which training stopped, by method, by seed and request."""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ungrok.core.errors import RecipeError
from ungrok.core.schema import digest
from ungrok.methods import Unlearner
from ungrok.study.folder import StudyFolder
from ungrok.study.forget_sizes import Sizes
from ungrok.study.fulfilled import LOST, ROUNDING, damage, fulfilled_at, judged_at_end, lasts, level, number
from ungrok.study.names import Names
from ungrok.study.place import Place
from ungrok.study.plan import Plan
from ungrok.study.plan_requests import device_of
from ungrok.study.plan_sequences import ORACLE, RETRAINED, UNLEARNED
from ungrok.study.recipe_blocks import BASE
from ungrok.study.results import Results
from ungrok.study.scheme_costs import scheme_costs
from ungrok.study.track import PLACE, Row, records, repaired

Floats = NDArray[np.float64]
Unit = Literal["passes", "seconds"]
UNITS: tuple[Unit, ...] = ("passes", "seconds")
"""Passes are examples read over examples in the training set, which no machine changes; seconds are those of one processor or GPU."""


@dataclass(frozen=True, order=True)
class Policy:
    """Where training stops, and the method that fulfills requests from there on."""

    arm: str
    stage: str
    method: str

    @property
    def retrains(self) -> bool:
        """Whether every request is fulfilled by training anew."""
        return self.method == RETRAINED


@dataclass(frozen=True)
class Measured:
    """What a policy cost and did.

    Args:
        seeds: The seeds on which it was measured.
        training: Cost of training to the stage, by unit, each of shape (seeds,).
        requests: Cost of each request in turn, by unit, each of shape (seeds, requests).
        fulfilled: Whether UA came down to the oracle's and, where that was tried, lasts; bool of shape (seeds, requests).
        damage: Accuracy lost beyond the oracle after the last measured request, by accuracy; the mean over seeds that fulfilled it.
        accuracy: Validation accuracy before any request, the mean over the seeds of the stage.
        lasts: Share of seeds in which the first request lasts through a repair; None where that was not tried.
        sizeless: Whether the cost of a run does not depend on how much is to be forgotten, so that one run can serve several requests.

    """

    seeds: tuple[int, ...]
    training: Mapping[Unit, Floats]
    requests: Mapping[Unit, Floats]
    fulfilled: NDArray[np.bool_]
    damage: Mapping[str, float]
    accuracy: float
    lasts: float | None = None
    sizeless: bool = False

    @property
    def worst_damage(self) -> float:
        """The largest loss of any accuracy; NaN where one is not known, because the model diverged in every seed."""
        return float(np.max(list(self.damage.values())))


@dataclass(frozen=True)
class Setting:
    """One forget split of one study.

    Args:
        run: Name of the study's folder.
        forget: Label of the forget split.
        training: Tells settings apart whose models were trained differently; the same where problem, model and training are.
        share: Examples of the forget set over those of the training set.
        names: Names for people.
        policies: What was measured.

    """

    run: str
    forget: str
    training: str
    share: float
    names: Names
    policies: Mapping[Policy, Measured]


def settings_of(
    study: StudyFolder, size: float | None, tolerance: float, batch_size: int | None = None
) -> list[Setting]:
    """Return the settings of a study.

    Args:
        study: The study; where it was written by an earlier version of the package, its store must hold its paths, which tell the sizes of forget sets.
        size: Share of the training set in one request: only the forget split nearest to it, by ratio, is taken; all where None.
        tolerance: How far UA may lie above the oracle's where a request counts as fulfilled.
        batch_size: Examples of one update of a training that does not say so: one whose checkpoints were given.

    Raises:
        RecipeError: If no path has an oracle that says when a request is fulfilled, or it is not known how large forget sets or batches are.

    """
    if batch_size is None and not knows_batches(study.plan):
        raise RecipeError(
            f"--batch-size: how many examples an update of the training of {study.path} read is not known, since its checkpoints were given; give their number"
        )
    sizes = study.sizes
    if not sizes:
        raise RecipeError(
            f"--store: {study.store.root} does not hold the paths of {study.path}, which say how large forget sets are"
        )
    settings = priced_of(study.path.resolve().name, study.plan, study.results, sizes, tolerance, batch_size)
    if not settings:
        raise RecipeError(
            f"{study.path}: no path of this study has an oracle and something to forget, so nothing can be priced"
        )
    return settings if size is None else [min(settings, key=lambda one: abs(math.log(one.share / size)))]


def knows_batches(plan: Plan) -> bool:
    """Return whether it is known of every training how many examples its updates read."""
    return not plan.recipe.given or all(arm.training.batch_size for arm in plan.arms.values())


def priced_of(
    run: str, plan: Plan, results: Results, sizes: Sizes, tolerance: float = 0.05, batch_size: int | None = None
) -> list[Setting]:
    """Return the settings of a study that can be priced; see :func:`settings_of`.

    Args:
        run: Name of the study's folder.
        plan: Its plan.
        results: Its tables.
        sizes: Of :func:`ungrok.study.forget_sizes.sizes_of`.
        tolerance: As there.
        batch_size: As there.

    """
    every = [
        Reading(run, plan, results, sizes, label, tolerance, batch_size).setting()
        for label in plan.recipe.forget_labels()
    ]
    return [setting for setting in every if setting.policies]


def policies(plan: Plan, forget: str) -> list[Policy]:
    """Return what can be priced of a forget split: from every stage the methods of the recipe, at their own rates, and all of :data:`SCHEMES`."""
    walked = {(path.arm, path.stage, path.method) for path in plan.paths if path.forget == forget}
    recipe, every = plan.recipe, list[Policy]()
    for arm in (BASE, *recipe.arms):
        for stage in recipe.stages_of(arm):
            methods = [label for label in recipe.unlearn_labels() if (arm, stage, label) in walked]
            every += [Policy(arm, stage, label) for label in (methods and [*methods, *SCHEMES])]
    return every


def passes(updates: Floats, batch_size: int | None, examples: int, *, staggered: bool = False) -> Floats:
    """Return how often so many updates have read all examples, of the shape of ``updates``.

    Args:
        updates: Numbers of updates.
        batch_size: Examples of a batch; all where None.
        examples: In the training set. The last batch of a pass holds what is left.
        staggered: Whether every batch is full, as where some examples are shown later than others.

    """
    size = min(batch_size or examples, examples)
    if staggered:
        return updates * size / examples
    whole, more = np.divmod(updates, math.ceil(examples / size))
    return np.asarray(whole + more * size / examples, dtype=np.float64)


Phases = tuple[dict[Unit, list[float]], list[bool], dict[str, float]]
"""Of one seed: the cost of each request by unit, whether each is fulfilled, and the accuracies lost after the last."""


@dataclass(frozen=True)
class Reading:
    """Reads one forget split of a study; its attributes are those of :func:`priced_of`, and the label of the split."""

    run: str
    plan: Plan
    results: Results
    sizes: Sizes
    forget: str
    tolerance: float
    batch_size: int | None = None

    @cached_property
    def keys(self) -> dict[tuple[str, str, str], list[str]]:
        """The keys of the jobs that walked its paths, by arm, stage and method."""
        keys: dict[tuple[str, str, str], list[str]] = {}
        for path in self.plan.paths:
            if path.forget == self.forget:
                keys.setdefault((path.arm, path.stage, path.method), []).append(path.path)
        return keys

    def setting(self) -> Setting:
        """Return everything that was measured."""
        recipe = self.plan.recipe
        trained = digest([recipe.problem.spec(), recipe.model.spec(), recipe.trajectory.spec()])
        every = [one for one in policies(self.plan, self.forget) if self.forget in self.sizes.get(one.arm, {})]
        priced = {policy: measured for policy in every if (measured := self._measured(policy))}
        priced |= {Policy(*place): measured for place, measured in scheme_costs(self.results, self.forget).items()}
        return Setting(self.run, self.forget, trained, self._share(), Names(recipe), priced)

    def _share(self) -> float:
        """Return the examples of the first request over those of the training set, the mean over arms and seeds."""
        first = [own[0] for splits in self.sizes.values() for own in splits.get(self.forget, {}).values()]
        return float(np.mean([forget / (forget + retain) for forget, retain in first])) if first else math.nan

    def _sizes(self, arm: str, seed: int) -> list[list[int]]:
        """Return the examples to forget and to retain in every request; where no path of a seed tells, those of another seed."""
        seeds = self.sizes[arm][self.forget]
        return seeds.get(str(seed)) or next(iter(seeds.values()))

    def _measured(self, policy: Policy) -> Measured | None:
        """Return what a policy cost and did; None where no seed has both an oracle and something to forget."""
        if policy.method in SCHEMES:
            return SCHEMES[policy.method](self, policy)
        method = next(one for one in self.plan.recipe.unlearn if one.label == policy.method)
        read = {seed: phases for seed in self.starts(policy) if (phases := self._phases(policy, method, seed))}
        if not read:
            return None
        seeds = tuple(read)
        lasting = self._lasting(policy)
        return Measured(
            seeds,
            self.training(policy, seeds),
            {unit: np.array([costs[unit] for costs, *_ in read.values()]) for unit in UNITS},
            np.array([flags for _, flags, _ in read.values()]),
            damage([(losses, flags[-1]) for _, flags, losses in read.values()]),
            self.accuracy(policy),
            None if lasting is None else float(np.mean([lasts(method, lasting.get(seed, [])) for seed in seeds])),
            judged_at_end(method) and "forget" not in method.reads,
        )

    def retraining(self, policy: Policy) -> Measured | None:
        """Return what training anew costs: a whole training for each request."""
        seeds = tuple(self.starts(policy))
        if not seeds:
            return None
        training = self.training(policy, seeds)
        requests = {unit: costs[:, None] for unit, costs in training.items()}
        everything = np.ones((len(seeds), 1), dtype=np.bool_)
        nothing = {"RA": 0.0, "TA": 0.0}
        return Measured(seeds, training, requests, everything, nothing, self.accuracy(policy), sizeless=True)

    def starts(self, policy: Policy) -> dict[int, Row]:
        """Return the first row of a path from the stage by seed, for seeds in which an oracle leaves something to forget."""
        starts = {
            seed: track.start
            for (place, seed), track in self.results.paths.items()
            if (place.arm, place.stage, place.forget) == (policy.arm, policy.stage, self.forget)
        }
        return {seed: row for seed, row in sorted(starts.items()) if level(row, self.tolerance) < number(row["UA"])}

    def accuracy(self, policy: Policy) -> float:
        """Return the validation accuracy of models at the stage, the mean over seeds."""
        return float(np.mean([number(row["validation_accuracy"]) for row in self.starts(policy).values()]))

    def training(self, policy: Policy, seeds: Sequence[int]) -> dict[Unit, Floats]:
        """Return what training to the stage cost in each seed."""
        starts, settings = self.starts(policy), self.plan.arms[policy.arm].training
        steps = np.array([float(starts[seed]["step"]) for seed in seeds])
        sums = [sum(self._sizes(policy.arm, seed)[0]) for seed in seeds]
        size = settings.batch_size or self.batch_size
        read = [
            passes(own, size, examples, staggered=settings.exposure is not None)
            for own, examples in zip(steps, sums, strict=True)
        ]
        keys = [key for (arm, _), key in self.plan.trajectories.items() if arm == policy.arm]
        return {"passes": np.array(read), "seconds": steps * self.seconds(keys)[0]}

    def seconds(self, keys: Sequence[str]) -> tuple[float, float]:
        """Return seconds of one update and of a whole job, the medians over jobs.

        Where jobs on a processor filed how long it worked for them, seconds in which it worked for others are left out.
        """
        timings = self.results.timings
        rows = timings[timings["key"].isin(list(keys))]
        own = pd.Series(1.0, index=rows.index)
        if "processor_seconds" in rows and device_of(self.plan.recipe) == "cpu":
            own = (rows["processor_seconds"] / rows["seconds"]).clip(upper=1.0).fillna(1.0)
        return float((rows["seconds_per_update"] * own).median()), float((rows["seconds"] * own).median())

    def _phases(self, policy: Policy, method: Unlearner, seed: int) -> Phases | None:
        if not self._sequences.empty:
            return self._in_sequence(policy, method, seed)
        track = self.results.paths.get((Place(policy.arm, policy.stage, self.forget, policy.method), seed))
        if track is None:
            return None
        lasting = self._lasting(policy)
        row, fulfilled = fulfilled_at(track, method, self.tolerance, None if lasting is None else lasting.get(seed, []))
        losses = {name: number(row[f"oracle_{name}"]) - number(row[name]) for name in LOST}
        forget, retain = self._sizes(policy.arm, seed)[0]
        read = row["forget_passes"] * forget + row["retain_passes"] * retain
        update, whole = self.seconds(self.keys[policy.arm, policy.stage, policy.method])
        seconds = whole if track.one_shot else update * float(row["updates"])
        return {"passes": [read / (forget + retain)], "seconds": [seconds]}, [fulfilled], losses

    @cached_property
    def _tried(self) -> dict[tuple[int, Place], list[Row]]:
        return repaired(self.results.lasting)

    def _lasting(self, policy: Policy) -> dict[int, list[Row]] | None:
        """Return the places that were tried for whether they last, by seed; None where the study tried none for this policy."""
        place = Place(policy.arm, policy.stage, self.forget, policy.method)
        if not any(
            (one.arm, one.stage, one.forget, one.method) == (place.arm, place.stage, place.forget, place.method)
            for one in self.plan.lasting
        ):
            return None
        return {seed: rows for (seed, at), rows in self._tried.items() if at == place}

    @cached_property
    def _sequences(self) -> pd.DataFrame:
        """The rows of sequences of this split, with the accuracies of the oracle of the same phase and set beside them."""
        every = self.results.sequences
        every = every[every["forget"] == self.forget]
        at = [*PLACE, "phase", "of"]
        oracle = every[every["subject"] == ORACLE][[*at, "UA", *LOST]]
        unlearned = every[every["subject"] == UNLEARNED]
        return unlearned.merge(oracle, on=at, how="left", suffixes=("", "_oracle"))

    def _in_sequence(self, policy: Policy, method: Unlearner, seed: int) -> Phases | None:
        """Return the phases of a sequence; those after a model whose numbers are no longer finite cost nothing and fulfill nothing.

        Where it was tried whether forgetting lasts, no phase is fulfilled unless the first request lasts at the place where it ends.
        """
        rows = self._sequences
        where = (rows["seed"] == seed) & (rows["arm"] == policy.arm) & (rows["stage"] == policy.stage)
        own = rows[where & (rows["method"] == policy.method)]
        if own.empty or own["UA_oracle"].isna().any():
            return None
        forgotten = own["UA"] <= own["UA_oracle"] + self.tolerance + ROUNDING
        lasting = self._lasting(policy)
        tried = None if lasting is None else lasting.get(seed, [])
        stays = tried is None or lasts(method, tried if judged_at_end(method) else tried[:1])
        held = forgotten.groupby(own["phase"].astype(int)).all() & stays
        ends = own[own["of"] == own["phase"]].sort_values("phase").astype({"phase": int, "updates": float})
        sizes = np.array(self._sizes(policy.arm, seed), dtype=float)[: len(ends)]
        read = _steps(ends["forget_passes"]) * sizes[:, 0] + _steps(ends["retain_passes"]) * sizes[:, 1]
        update, whole = self.seconds(self.keys[policy.arm, policy.stage, policy.method])
        updates = _steps(ends["updates"])
        seconds = updates * update if math.isfinite(update) else np.full(len(ends), whole)
        missing = self.plan.recipe.requests - len(ends)
        costs: dict[Unit, list[float]] = {
            "passes": [*(read / sizes[0].sum()), *[0.0] * missing],
            "seconds": [*seconds, *[0.0] * missing],
        }
        last = records(ends)[-1]
        losses = {name: number(last[f"{name}_oracle"]) - number(last[name]) for name in LOST}
        return costs, [bool(held[phase]) for phase in ends["phase"]] + [False] * missing, losses


def _steps(totals: pd.Series[float]) -> Floats:
    """Return how much each phase added to what had been spent before it."""
    return np.diff(totals.to_numpy(dtype=np.float64), prepend=0.0)


SCHEMES: dict[str, Callable[[Reading, Policy], Measured | None]] = {RETRAINED: Reading.retraining}
"""By name: how a way to fulfill requests is priced that is no method of a recipe; it is offered from every stage, and None where it was not measured."""
