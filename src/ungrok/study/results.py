"""From finished jobs to tables; everything is read from the store, and nothing is computed again."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

import pandas as pd

from ungrok.evaluate.gap import oracle_gap
from ungrok.models.rescale import EQUAL
from ungrok.study.job import Job
from ungrok.study.jobs import (
    Analyze,
    Checkpoint,
    ChooseSplit,
    Evaluate,
    Oracle,
    RequestSequence,
    Train,
    Trained,
    Unlearn,
    WhenLearned,
)
from ungrok.study.jobs.checkpoint import CheckpointResult
from ungrok.study.jobs.leveled import LeveledResult
from ungrok.study.jobs.matched import MatchedResult, MatchValues
from ungrok.study.jobs.oracle import OracleAccuracies
from ungrok.study.jobs.rescaled import RescaledResult
from ungrok.study.jobs.snapshot import SnapshotResult
from ungrok.study.jobs.trained import FinishedTraining, trajectory_of
from ungrok.study.manifest import Finished, R, S
from ungrok.study.place import Place
from ungrok.study.plan import Plan
from ungrok.study.plan_paths import PathJobs
from ungrok.study.recipe_blocks import Control, Level, Matched, Side
from ungrok.study.results_schemes import SCHEMES, schemes_table, with_promises
from ungrok.study.results_stress import LASTING, STRESS, lasting_table, stress_table
from ungrok.study.store import Store
from ungrok.study.track import REPLICATE, Track, tracks
from ungrok.train import Transition
from ungrok.train.matching import mismatch

KEYS = ["seed", "arm", "stage", "step", "forget", "method"]

MECHANISM = [
    *KEYS,
    "dose",
    "analysis",
    "measure",
    "on",
    "layer",
    "null",
    "value",
    "low",
    "high",
    "draws",
    "unit",
    "examples",
]
"""Columns of the mechanism table; ``method`` is empty before unlearning, ``null`` for the measured value itself."""


CONTROLS = ["seed", "arm", "stage", "step", "reason", "equal", "to", "tolerance", "wanted", "found", "mismatch"]
"""Columns of the table of controls. Rescaled: ``wanted`` and ``found`` are weight norms, ``mismatch`` the change of logits. Level: ``wanted``
is the level, ``found`` the signal where it was reached."""

SEQUENCES = [
    *("seed", "arm", "stage", "forget", "method", "subject", "phase", "of", "UA", "RA", "TA", "bystander_accuracy"),
    *("updates", "forget_passes", "retain_passes", "reached"),
]
"""Columns of the table of requests in sequence; see :class:`ungrok.study.jobs.sequence.SequenceResult`."""


def with_whole_steps(table: pd.DataFrame) -> pd.DataFrame:
    """Return a table whose columns of steps are integers, which may be missing, as pandas makes them floats otherwise."""
    steps = [
        column
        for column in map(str, table)
        if column.endswith(("_step", "_after")) or column.startswith("stage_") or column in ("step", "onset")
    ]
    return table.astype(dict.fromkeys(steps, "Int64"))


@dataclass(frozen=True)
class Results:
    """The tables of one study.

    Args:
        rows: One row per observed place of every unlearning path.
        transitions: One row per trajectory of the study.
        oracles: One row per oracle and stage: its own transition status, its accuracies, and those of the second oracle.
        curves: The metrics of every trajectory: arm, seed and one row per evaluated step.
        timings: One row per job.
        audits: One row per unlearning path but those of a search, on its end: attacks and distances; see
            :func:`ungrok.evaluate.path.path_audits`.
        mechanism: One row per measured value and per null; empty where the recipe analyzes nothing.
        groups: One row per forget split that depends on how training went: difficulty of its members, sizes of the groups.
        controls: One row per matched or rescaled checkpoint: what was to be equal, and how far from equal it is.
        sequences: One row per phase of requests in sequence and set forgotten so far; empty where the recipe asks for one request.
        stress: One row per setting and observed place of every attack after unlearning; empty where the recipe has none.
        lasting: One row per place of a path that was put to a repair; empty where the recipe asks for none.
        schemes: One row per request to a scheme that prepared for it during training; empty where the recipe has none.
        learned: One row per draw of a forget split: when its examples were shown and learned; empty where they are not staggered.

    """

    rows: pd.DataFrame
    transitions: pd.DataFrame
    oracles: pd.DataFrame
    curves: pd.DataFrame
    timings: pd.DataFrame
    audits: pd.DataFrame
    mechanism: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=MECHANISM))
    groups: pd.DataFrame = field(default_factory=pd.DataFrame)
    controls: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=CONTROLS))
    sequences: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=SEQUENCES))
    stress: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=STRESS))
    lasting: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=LASTING))
    schemes: pd.DataFrame = field(default_factory=lambda: pd.DataFrame(columns=SCHEMES))
    learned: pd.DataFrame = field(default_factory=pd.DataFrame)

    @cached_property
    def paths(self) -> dict[tuple[Place, int], Track]:
        """The unlearning paths by place and seed; of several draws of forget splits and walks those of the first."""
        return {(place, seed): track for seed, place, track in tracks(self.rows)}


def collect(plan: Plan, store: Store) -> Results:
    """Read the tables of a study whose jobs are all finished."""
    return _Tables(plan, store.reading()).collected()


def curves(plan: Plan, store: Store) -> pd.DataFrame:
    """Read the metrics of every trajectory of a study."""
    return _Tables(plan, store.reading()).curves()


@dataclass(frozen=True)
class _Tables:
    """Tables of a study, read from its store."""

    plan: Plan
    store: Store

    def open(self, key: str, kind: type[Job[S, R]]) -> Finished[S, R]:
        """Return a finished job, read once."""
        return self.store.open(key, kind, tensors=False)

    def collected(self) -> Results:
        """Return all of them."""
        return Results(
            rows=self.rows(),
            transitions=self.transitions(),
            oracles=self.oracles(),
            curves=self.curves(),
            timings=self.timings(),
            audits=self.audits(),
            mechanism=self.mechanism(),
            groups=self.groups(),
            controls=self.controls(),
            sequences=self.sequences(),
            stress=stress_table(self.plan, self.store),
            lasting=lasting_table(self.plan, self.store),
            schemes=schemes_table(self.plan, self.store),
            learned=self.learned(),
        )

    def stage(self, arm: str, seed: int, stage: str) -> CheckpointResult:
        """Return the result of the job of a stage."""
        return self.open(self.plan.stages[arm, seed, stage], Checkpoint).result

    def rows(self) -> pd.DataFrame:
        """Return the rows of every path, each with its place in the study and ``oracle_floor``, the gap between the two oracles of its draw."""
        table = self._placed("rows", self.plan.replicates)
        floors = {where: self.floor(*twins) for where, twins in self.plan.twins.items()}
        draws = table["draw"] if "draw" in table else [0] * len(table)
        places = zip(*(table[name].tolist() for name in ("arm", "seed", "forget", "stage")), draws, strict=True)
        table["oracle_floor"] = pd.Series([floors.get(place) for place in places], dtype="float64", index=table.index)
        return table

    def floor(self, first: str, second: str) -> float | None:
        """Return the gap of a second oracle to the first, by their keys; None where either has no accuracies."""
        one, other = (self.open(key, Oracle).result.accuracies.to_dict() for key in (first, second))
        return oracle_gap(other, one)

    def audits(self) -> pd.DataFrame:
        """Return the audits of every path, each with its place in the study and, where any method certifies something, what it does."""
        table = with_promises(self._placed("audits"), self.plan)
        counts = [name for name in ("members", "non_members", "pairs") if name in table]
        table[counts] = table[counts].astype("Int64")
        return table

    def _placed(self, name: str, more: Sequence[PathJobs] = ()) -> pd.DataFrame:
        recipe, places = self.plan.recipe, []
        several = [
            name
            for name, count in zip(REPLICATE, (recipe.forget_draws, recipe.unlearn_seeds), strict=True)
            if count > 1
        ]
        for path in [*self.plan.paths, *more]:
            rows = getattr(self.open(path.rows, Evaluate).result, name)
            if rows:
                step = self.stage(path.arm, path.seed, path.stage).step
                place = dict(zip(KEYS, (path.seed, path.arm, path.stage, step, path.forget, path.method), strict=True))
                place |= {column: getattr(path, column) for column in several if more}
                places += [place | row for row in rows]
        if not places:
            return pd.DataFrame(columns=[*KEYS, "dose"])
        table = pd.DataFrame(places)
        flags = [c for c in map(str, table) if c.startswith("reached")]
        numbers = [c for c in map(str, table) if c not in (*KEYS, *REPLICATE, *flags, "diverged", "rewound")]
        table[numbers] = table[numbers].astype("float64")
        table[flags] = table[flags].astype("boolean")
        table["updates"] = table["updates"].astype("Int64")
        return table

    def mechanism(self) -> pd.DataFrame:
        """Return every value and null."""
        table = []
        for one in self.plan.measurements:
            step = self.stage(one.arm, one.seed, one.stage).step
            model = self.open(one.model, Checkpoint).result
            dose = model.dose if isinstance(model, SnapshotResult) else 0.0
            values = (one.seed, one.arm, one.stage, step, one.forget, one.method, dose, one.analysis)
            place = dict(zip(MECHANISM, values, strict=False))
            table += [place | row for row in self.open(one.rows, Analyze).result.rows]
        frame = pd.DataFrame(table, columns=MECHANISM)
        return frame.astype(dict.fromkeys(("dose", "value", "low", "high", "draws", "examples"), "float64"))

    def groups(self) -> pd.DataFrame:
        """Return one row per forget split that depends on how training went."""
        table = []
        for (arm, seed, forget), key in self.plan.splits.items():
            split = self.open(key, ChooseSplit).result
            row: dict[str, Any] = {"seed": seed, "arm": arm, "forget": forget, "group": split.group}
            row |= {"matched": split.matched, "size": len(split.forget), "examples": split.examples}
            row |= {name: sum(values) / len(values) for name, values in split.members.items()}
            row |= {f"found {rule} {name}": n for rule, sizes in split.sizes.items() for name, n in sizes.items()}
            table.append(row)
        return pd.DataFrame(table)

    def learned(self) -> pd.DataFrame:
        """Return one row per draw of a forget split, where the training staggers its examples."""
        names = ("arm", "seed", "forget", "draw")
        rows = [
            dict(zip(names, at, strict=True)) | self.open(key, WhenLearned).result.to_dict()
            for at, key in self.plan.learned.items()
        ]
        return pd.DataFrame(rows)

    def controls(self) -> pd.DataFrame:
        """Return one row per checkpoint by level, matched or rescaled."""
        table = []
        for (arm, seed, stage), key in self.plan.stages.items():
            control = self.plan.recipe.controls.get(stage)
            if control is None:
                continue
            made = self.open(key, Checkpoint).result
            row: dict[str, Any] = {"seed": seed, "arm": arm, "stage": stage, "step": made.step, "reason": made.reason}
            table.append(row | _control(control, arm, made))
        frame = pd.DataFrame(table, columns=CONTROLS).astype(dict.fromkeys(CONTROLS[7:], "float64"))
        return frame.astype({"step": "Int64"})

    def sequences(self) -> pd.DataFrame:
        """Return one row per phase and set of every sequence of requests."""
        table = []
        for one in self.plan.sequences:
            place = {name: getattr(one, name) for name in SEQUENCES[:6]}
            table += [place | row for row in self.open(one.rows, RequestSequence).result.rows]
        frame = pd.DataFrame(table, columns=SEQUENCES)
        numbers = ["UA", "RA", "TA", "bystander_accuracy", "forget_passes", "retain_passes"]
        types = dict.fromkeys(numbers, "float64") | dict.fromkeys(("phase", "of", "updates"), "Int64")
        return frame.astype(types | {"reached": "boolean"})

    def transitions(self) -> pd.DataFrame:
        """Return one row per trajectory."""
        table = []
        for (arm, seed), key in self.plan.trajectories.items():
            finished = self.open(key, Trained)
            last = trajectory_of(finished).metrics.iloc[-1]
            stages = {
                f"stage_{name}": self.stage(arm, seed, name).step
                for name in self.plan.recipe.all_stages()
                if (arm, seed, name) in self.plan.stages
            }
            final = {f"final_{name}_accuracy": last[f"{name}_accuracy"] for name in ("train", "validation", "test")}
            table.append({"seed": seed, "arm": arm} | _flat(transition_of(self.plan, finished)) | stages | final)
        frame = pd.DataFrame(table)
        return with_whole_steps(frame)

    def oracles(self) -> pd.DataFrame:
        """Return one row per oracle and stage, with the second oracle's accuracies where there is one."""
        table = []
        for where, key in self.plan.oracles.items():
            arm, seed, forget, stage = where
            oracle = self.open(key, Oracle)
            row: dict[str, Any] = {"seed": seed, "arm": arm, "forget": forget, "stage": stage}
            row["step"] = oracle.result.step
            training = self.open(oracle.inputs["trajectory"], Trained)
            own = _flat(transition_of(self.plan, training))
            row |= {f"oracle_{name}": own[name] for name in ("status", "memorized_step", "grokked_step")}
            row |= _named(oracle.result.accuracies, "")
            if where in self.plan.noise:
                row |= _named(self.open(self.plan.noise[where], Oracle).result.accuracies, "second_")
            table.append(row)
        places = ("seed", "arm", "forget", "stage", "step")
        transition = ("oracle_status", "oracle_memorized_step", "oracle_grokked_step")
        columns = None if table else [*places, *transition, *OracleAccuracies.model_fields]
        frame = pd.DataFrame(table, columns=columns)
        whole = ["step", "oracle_memorized_step", "oracle_grokked_step"]
        frame[whole] = frame[whole].astype("Int64")
        return frame

    def curves(self) -> pd.DataFrame:
        """Return the metrics of every trajectory."""
        frames = []
        for (arm, seed), key in self.plan.trajectories.items():
            metrics = trajectory_of(self.open(key, Trained)).metrics
            metrics.insert(0, "arm", arm)
            metrics.insert(1, "seed", seed)
            frames.append(metrics)
        return pd.concat(frames, ignore_index=True)

    def timings(self) -> pd.DataFrame:
        """Return one row per job."""
        table = []
        for key, job in self.plan.jobs.items():
            seconds = self.open(key, type(job)).seconds
            row: dict[str, Any] = {"kind": job.kind, "job": job.label, "key": key, "seconds": seconds.get("total")}
            row["processor_seconds"] = seconds.get("processor")
            if isinstance(job, Train) and not job.spec.given:  # how long others trained is not known
                row |= _per_update(None, seconds.get("total"), self.open(key, Train).result.steps)
            if isinstance(job, Unlearn) and (updates := self.open(key, Unlearn).result.updates):
                row |= _per_update(job.spec.unlearn.kind, seconds.get("updates"), updates[-1])
            table.append(row)
        columns = ["kind", "job", "key", "seconds", "processor_seconds", "method", "updates", "seconds_per_update"]
        return pd.DataFrame(table).reindex(columns=columns).astype({"processor_seconds": "float64"})


def _named(accuracies: OracleAccuracies, prefix: str) -> dict[str, float | None]:
    return {f"{prefix}{name}": value for name, value in accuracies.to_dict().items()}


def _control(control: Control, arm: str, made: CheckpointResult) -> dict[str, Any]:
    if isinstance(control, Level):
        assert isinstance(made, LeveledResult)
        return _leveled(control, made)
    if isinstance(control, Matched):
        assert isinstance(made, MatchedResult)
        to = Side(stage=control.stage, arm=control.arm).label
        match = made.match or MatchValues(wanted=None, found=None, mismatch=None)
        return {"equal": control.equal, "to": to, "tolerance": control.tolerance, **match.to_dict()}
    assert isinstance(made, RescaledResult)
    same = {"equal": "function", "to": Side(stage=control.stage, arm=arm).label, "tolerance": EQUAL}
    change = made.rescaling
    if change is None:
        return same
    return same | {"wanted": change.norm_before, "found": change.norm_after, "mismatch": change.change}


def _leveled(control: Level, made: LeveledResult) -> dict[str, Any]:
    level = {"equal": control.of, "to": "level", "wanted": control.at}
    if made.reached is None:
        return level
    return level | {
        "found": made.reached.value,
        "mismatch": float(mismatch(made.reached.value, control.at, control.of)),
    }


def transition_of(plan: Plan, trajectory: FinishedTraining) -> Transition:
    """Return the transition of a finished training under the recipe's rule."""
    return trajectory_of(trajectory).transition(plan.recipe.transition)


def _flat(transition: Transition) -> dict[str, Any]:
    row: dict[str, Any] = {"status": transition.status}
    for name in ("memorized", "grokked"):
        crossing = getattr(transition, name)
        row[f"{name}_step"] = crossing.step if crossing else None
        row[f"{name}_after"] = crossing.after if crossing else None
    return row | {
        "delay": transition.delay,
        "level": transition.level,
        "change_point": transition.change_point,
        "change_point_r2": transition.change_point_r2,
        "onset": transition.onset,
    }


def _per_update(method: str | None, seconds: float | None, updates: int) -> dict[str, Any]:
    per = seconds / updates if seconds is not None and updates else None
    return {"method": method, "updates": updates, "seconds_per_update": per}
