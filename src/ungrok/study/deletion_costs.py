"""What deletion cost where a study measured it: by place at which training stopped, by method, by seed and request."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from ungrok.core.errors import RecipeError
from ungrok.core.files import load_tensors
from ungrok.core.schema import digest
from ungrok.methods import Unlearner
from ungrok.study.folder import StudyFolder
from ungrok.study.jobs.unlearn import SCORES
from ungrok.study.names import Names
from ungrok.study.place import Place
from ungrok.study.plan_sequences import ORACLE, RETRAINED, UNLEARNED
from ungrok.study.recipe_blocks import BASE
from ungrok.study.scheme_costs import scheme_costs
from ungrok.study.track import PLACE, Row, Track, records, repaired

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


def settings_of(study: StudyFolder, size: float | None, tolerance: float) -> list[Setting]:
    """Return the settings of a study.

    Args:
        study: The study; its store must hold its paths, where the sizes of forget sets are read.
        size: Share of the training set in one request: only the forget split nearest to it, by ratio, is taken; all where None.
        tolerance: How far UA may lie above the oracle's where a request counts as fulfilled.

    Raises:
        RecipeError: If no path has an oracle that says when a request is fulfilled.

    """
    every = [_Reading(study, label, tolerance) for label in study.recipe.forget_labels()]
    every = [reading for reading in every if reading.keys]
    if size is not None and every:
        every = [min(every, key=lambda reading: abs(math.log(reading.share / size)))]
    settings = [reading.setting() for reading in every]
    settings = [setting for setting in settings if setting.policies]
    if not settings:
        raise RecipeError(
            f"{study.path}: no path of this study has an oracle and something to forget, so nothing can be priced"
        )
    return settings


Phases = tuple[dict[Unit, list[float]], list[bool], dict[str, float]]
"""Of one seed: the cost of each request by unit, whether each is fulfilled, and the accuracies lost after the last."""


@dataclass(frozen=True)
class _Reading:
    """Reads one forget split of a study."""

    study: StudyFolder
    forget: str
    tolerance: float

    @cached_property
    def keys(self) -> dict[tuple[str, str, str], list[str]]:
        """The keys of the jobs that walked its paths, by arm, stage and method."""
        keys: dict[tuple[str, str, str], list[str]] = {}
        for path in self.study.plan.paths:
            if path.forget == self.forget:
                keys.setdefault((path.arm, path.stage, path.method), []).append(path.path)
        return keys

    @cached_property
    def sizes(self) -> tuple[int, int]:
        """Numbers of examples to forget and to retain, read from the first path that left the training at all.

        Raises:
            RecipeError: If the store holds no such path.

        """
        for keys in self.keys.values():
            for file in (self.study.store.folder(key) / SCORES for key in keys):
                if file.is_file():
                    scores = load_tensors(file)
                    return len(scores["forget"]), len(scores["retain"])
        raise RecipeError(
            f"--store: {self.study.store.root} does not hold the paths of {self.study.path}, which say how large forget sets are"
        )

    @property
    def share(self) -> float:
        """Examples to forget over all training examples."""
        return self.sizes[0] / sum(self.sizes)

    def setting(self) -> Setting:
        """Return everything that was measured."""
        recipe = self.study.recipe
        trained = digest([recipe.problem.spec(), recipe.model.spec(), recipe.trajectory.spec()])
        policies = {policy: measured for policy in self._policies() if (measured := self._measured(policy))}
        policies |= {
            Policy(*place): measured for place, measured in scheme_costs(self.study.results, self.forget).items()
        }
        name = self.study.path.resolve().name
        return Setting(name, self.forget, trained, self.share, Names(recipe), policies)

    def _policies(self) -> Iterator[Policy]:
        """Yield the methods of the recipe from every stage, at their own rates, and retraining."""
        recipe = self.study.recipe
        for arm in (BASE, *recipe.arms):
            for stage in recipe.stages_of(arm):
                methods = [label for label in recipe.unlearn_labels() if (arm, stage, label) in self.keys]
                yield from (Policy(arm, stage, label) for label in (methods and [*methods, RETRAINED]))

    def _measured(self, policy: Policy) -> Measured | None:
        """Return what a policy cost and did; None where no seed has both an oracle and something to forget."""
        if policy.retrains:
            return self._retraining(policy)
        method = next(one for one in self.study.recipe.unlearn if one.label == policy.method)
        read = {seed: phases for seed in self._starts(policy) if (phases := self._phases(policy, method, seed))}
        if not read:
            return None
        seeds = tuple(read)
        fulfilled = np.array([flags for _, flags, _ in read.values()])
        lasting = self._lasting(policy)
        return Measured(
            seeds,
            self._training(policy, seeds),
            {unit: np.array([costs[unit] for costs, *_ in read.values()]) for unit in UNITS},
            fulfilled,
            _damage(list(read.values())),
            self._accuracy(policy),
            None if lasting is None else float(np.mean([_lasts(method, lasting.get(seed, [])) for seed in seeds])),
            judged_at_end(method) and "forget" not in method.reads,
        )

    def _retraining(self, policy: Policy) -> Measured | None:
        seeds = tuple(self._starts(policy))
        if not seeds:
            return None
        training = self._training(policy, seeds)
        requests = {unit: costs[:, None] for unit, costs in training.items()}
        everything = np.ones((len(seeds), 1), dtype=np.bool_)
        nothing = {"RA": 0.0, "TA": 0.0}
        return Measured(seeds, training, requests, everything, nothing, self._accuracy(policy), sizeless=True)

    def _starts(self, policy: Policy) -> dict[int, Row]:
        """Return the first row of a path from the stage by seed, for seeds in which an oracle leaves something to forget."""
        starts = {
            seed: track.start
            for (place, seed), track in self.study.results.paths.items()
            if (place.arm, place.stage, place.forget) == (policy.arm, policy.stage, self.forget)
        }
        return {seed: row for seed, row in sorted(starts.items()) if _level(row, self.tolerance) < _number(row["UA"])}

    def _accuracy(self, policy: Policy) -> float:
        return float(np.mean([_number(row["validation_accuracy"]) for row in self._starts(policy).values()]))

    def _training(self, policy: Policy, seeds: Sequence[int]) -> dict[Unit, Floats]:
        """Return what training to the stage cost in each seed."""
        starts, plan = self._starts(policy), self.study.plan
        steps = np.array([float(starts[seed]["step"]) for seed in seeds])
        examples = sum(self.sizes)
        batch = min(plan.arms[policy.arm].training.batch_size or examples, examples)
        keys = [key for (arm, _), key in plan.trajectories.items() if arm == policy.arm]
        return {"passes": steps * batch / examples, "seconds": steps * self._seconds(keys)[0]}

    def _seconds(self, keys: Sequence[str]) -> tuple[float, float]:
        """Return seconds of one update and of a whole job, the medians over jobs: how busy the machine was differs between them.

        Of trainings it is the processor's time where jobs filed it, evaluations included.
        """
        timings = self.study.results.timings
        rows = timings[timings["key"].isin(list(keys))]
        each = rows["seconds_per_update"]
        if "processor_seconds" in rows and (rows["kind"] == "train").all() and rows["processor_seconds"].notna().all():
            each = rows["processor_seconds"] / rows["updates"]
        return float(each.median()), float(rows["seconds"].median())

    def _phases(self, policy: Policy, method: Unlearner, seed: int) -> Phases | None:
        if not self._sequences.empty:
            return self._in_sequence(policy, method, seed)
        track = self.study.results.paths.get((Place(policy.arm, policy.stage, self.forget, policy.method), seed))
        if track is None:
            return None
        lasting = self._lasting(policy)
        row, fulfilled = fulfilled_at(track, method, self.tolerance, None if lasting is None else lasting.get(seed, []))
        losses = {name: _number(row[f"oracle_{name}"]) - _number(row[name]) for name in LOST}
        forget, retain = self.sizes
        read = row["forget_passes"] * forget + row["retain_passes"] * retain
        update, whole = self._seconds(self.keys[policy.arm, policy.stage, policy.method])
        seconds = whole if track.one_shot else update * float(row["updates"])
        return {"passes": [read / (forget + retain)], "seconds": [seconds]}, [fulfilled], losses

    @cached_property
    def _tried(self) -> dict[tuple[int, Place], list[Row]]:
        return repaired(self.study.results.lasting)

    def _lasting(self, policy: Policy) -> dict[int, list[Row]] | None:
        """Return the places that were tried for whether they last, by seed; None where the study tried none for this policy."""
        place = Place(policy.arm, policy.stage, self.forget, policy.method)
        if not any(
            (one.arm, one.stage, one.forget, one.method) == (place.arm, place.stage, place.forget, place.method)
            for one in self.study.plan.lasting
        ):
            return None
        return {seed: rows for (seed, at), rows in self._tried.items() if at == place}

    @cached_property
    def _sequences(self) -> pd.DataFrame:
        """The rows of sequences of this split, with the accuracies of the oracle of the same phase and set beside them."""
        every = self.study.results.sequences
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
        stays = tried is None or _lasts(method, tried if judged_at_end(method) else tried[:1])
        held = forgotten.groupby(own["phase"].astype(int)).all() & stays
        ends = own[own["of"] == own["phase"]].sort_values("phase").astype({"phase": int, "updates": float})
        forget, retain = self.sizes
        everything = forget + retain
        retained = everything - forget * ends["phase"].to_numpy(dtype=float)
        read = _steps(ends["forget_passes"]) * forget + _steps(ends["retain_passes"]) * retained
        update, whole = self._seconds(self.keys[policy.arm, policy.stage, policy.method])
        updates = _steps(ends["updates"])
        seconds = updates * update if math.isfinite(update) else np.full(len(ends), whole)
        missing = self.study.recipe.requests - len(ends)
        costs: dict[Unit, list[float]] = {
            "passes": [*(read / everything), *[0.0] * missing],
            "seconds": [*seconds, *[0.0] * missing],
        }
        last = records(ends)[-1]
        losses = {name: _number(last[f"{name}_oracle"]) - _number(last[name]) for name in LOST}
        return costs, [bool(held[phase]) for phase in ends["phase"]] + [False] * missing, losses


LOST = ("RA", "TA", "bystander_accuracy")
"""Accuracies whose loss beyond the oracle is damage."""

ROUNDING = 1e-9
"""Far below one example, as where targets are read."""


def judged_at_end(method: Unlearner) -> bool:
    """Return whether a method fulfills a request only at the end of its path: it stops by itself, or starts from fresh weights."""
    return method.self_stopping or method.from_scratch


def _number(value: float | None) -> float:
    """Return a number; NaN for one that is missing."""
    return math.nan if value is None or pd.isna(value) else float(value)


def _level(row: Row, tolerance: float) -> float:
    """Return how low UA must come; NaN without an oracle, of which no comparison is true."""
    return _number(row["oracle_UA"]) + tolerance + ROUNDING


def _steps(totals: pd.Series[float]) -> Floats:
    """Return how much each phase added to what had been spent before it."""
    return np.diff(totals.to_numpy(dtype=np.float64), prepend=0.0)


def _damage(seeds: Sequence[Phases]) -> dict[str, float]:
    """Return the mean losses over seeds that fulfilled the last request, over all where none did.

    TA is left out where bystander accuracy is known: a class that is forgotten lowers TA by itself.
    """
    known = pd.DataFrame([losses for _, flags, losses in seeds if flags[-1]] or [losses for *_, losses in seeds])
    bystanders = bool(known["bystander_accuracy"].notna().all())
    means = known.drop(columns="TA" if bystanders else "bystander_accuracy").mean()
    return {str(name): float(mean) for name, mean in means.items()}


def _lasts(method: Unlearner, tried: Sequence[Row]) -> bool:
    """Return whether the forgetting at the end of a path, or else at any place that was tried, stands a repair."""
    return any(bool(row["lasts"]) for row in (tried[-1:] if judged_at_end(method) else tried))


def fulfilled_at(track: Track, method: Unlearner, tolerance: float, tried: Sequence[Row] | None) -> tuple[Row, bool]:
    """Return the place at which a path fulfills a request, and True; or its end, and False.

    Args:
        track: The path.
        method: Its method.
        tolerance: How far UA may lie above the oracle's.
        tried: Places that were tried for whether they last, by increasing dose; None where a request need not last.

    """
    level = _level(track.start, tolerance)
    low = [row for row in track.places[1:] if _number(row["UA"]) <= level]
    if judged_at_end(method):
        stays = tried is None or _lasts(method, tried)
        return track.end, stays and _number(track.end["UA"]) <= level
    if tried is not None:
        lasting = [float(row["dose"]) for row in tried if row["lasts"]]
        low = [row for row in low if any(math.isclose(row["dose"], dose) for dose in lasting)]
    return (low[0], True) if low else (track.end, False)
