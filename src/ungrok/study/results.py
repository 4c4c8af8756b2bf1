"""From finished jobs to tables; everything here is read from the store, nothing is computed twice."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import pandas as pd

from ungrok.core.files import load_tensors
from ungrok.core.seeds import derive
from ungrok.data.answers import AnswerData
from ungrok.evaluate.path import oracle_accuracies
from ungrok.models.rescale import EQUAL
from ungrok.study.answers import split_of
from ungrok.study.jobs import load_data, trajectory_of
from ungrok.study.plan import Plan
from ungrok.study.recipe import Matched, Rescaled, Side
from ungrok.study.store import Finished, Store
from ungrok.train import Transition

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
"""Columns of the table of controls. Rescaled: ``wanted`` and ``found`` are weight norms, ``mismatch`` the change of logits."""


@dataclass(frozen=True)
class Results:
    """The tables of one study.

    Args:
        rows: One row per observed place of every unlearning path.
        transitions: One row per trajectory of the study.
        oracles: One row per oracle and stage: its own transition status, accuracies, and the second oracle's.
        curves: The metrics of every trajectory: arm, seed and one row per evaluated step.
        timings: One row per job.
        audits: One row per unlearning path, on its end: attacks and distances; see :func:`ungrok.evaluate.path.path_audits`.
        mechanism: One row per measured value and per null; empty where the recipe analyzes nothing.
        groups: One row per forget split that was drawn by looking at a trajectory: difficulty of its members, sizes of the groups.
        controls: One row per matched or rescaled checkpoint: what was to be equal, and how far from equal it is.

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


def collect(plan: Plan, store: Store) -> Results:
    """Read the tables of a study whose jobs are all finished."""
    opened: dict[str, Finished] = {}

    def get(key: str) -> Finished:
        if key not in opened:
            opened[key] = store.open(key)
        return opened[key]

    return Results(
        rows=_placed(plan, get, "rows"),
        transitions=_transitions(plan, get),
        oracles=_oracles(plan, get),
        curves=_curves(plan, get),
        timings=_timings(plan, get),
        audits=_audits(plan, get),
        mechanism=_mechanism(plan, get),
        groups=_groups(plan, get),
        controls=_controls(plan, get),
    )


Get = Callable[[str], Finished]


def _placed(plan: Plan, get: Get, name: str) -> pd.DataFrame:
    """Return the rows that every path's evaluate job lists under ``name``, each with its place in the study."""
    frames = []
    for cell in plan.paths:
        rows = get(cell.rows).result[name]
        if rows:
            step = get(plan.stages[cell.arm, cell.seed, cell.stage]).result["step"]
            place = dict(zip(KEYS, (cell.seed, cell.arm, cell.stage, step, cell.forget, cell.method), strict=True))
            frames.append(pd.DataFrame([place | row for row in rows]))
    if not frames:
        return pd.DataFrame(columns=[*KEYS, "dose"])
    table = pd.concat(frames, ignore_index=True)
    flags = [c for c in map(str, table) if c.startswith("reached")]
    numbers = [c for c in map(str, table) if c not in (*KEYS, *flags, "diverged", "rewound")]
    table[numbers] = table[numbers].astype("float64")
    table[flags] = table[flags].astype("boolean")
    table["updates"] = table["updates"].astype("Int64")
    return table


def _audits(plan: Plan, get: Get) -> pd.DataFrame:
    table = _placed(plan, get, "audits")
    counts = [name for name in ("members", "non_members", "pairs") if name in table]
    table[counts] = table[counts].astype("Int64")
    return table


def _mechanism(plan: Plan, get: Get) -> pd.DataFrame:
    table = []
    for look in plan.measurements:
        step, model = get(plan.stages[look.arm, look.seed, look.stage]).result["step"], get(look.model).result
        values = (
            look.seed,
            look.arm,
            look.stage,
            step,
            look.forget,
            look.method,
            model.get("dose", 0.0),
            look.analysis,
        )
        place = dict(zip(MECHANISM, values, strict=False))
        table += [place | row for row in get(look.rows).result["rows"]]
    frame = pd.DataFrame(table, columns=MECHANISM)
    return frame.astype(dict.fromkeys(("dose", "value", "low", "high", "draws", "examples"), "float64"))


def _groups(plan: Plan, get: Get) -> pd.DataFrame:
    table = []
    for (arm, seed, forget), key in plan.splits.items():
        found = get(key).result
        row: dict[str, Any] = {"seed": seed, "arm": arm, "forget": forget, "group": found["group"]}
        row |= {"matched": found["matched"], "size": len(found["forget"]), "examples": found["examples"]}
        row |= {name: sum(values) / len(values) for name, values in found["members"].items()}
        row |= {f"found {rule} {name}": n for rule, sizes in found["sizes"].items() for name, n in sizes.items()}
        table.append(row)
    return pd.DataFrame(table)


def _controls(plan: Plan, get: Get) -> pd.DataFrame:
    table = []
    for (arm, seed, stage), key in plan.stages.items():
        control = plan.recipe.controls.get(stage)
        if control is None:
            continue
        found = get(key).result
        row: dict[str, Any] = {"seed": seed, "arm": arm, "stage": stage, "step": found["step"]}
        table.append(row | {"reason": found["reason"]} | _control(control, arm, found))
    frame = pd.DataFrame(table, columns=CONTROLS).astype(dict.fromkeys(CONTROLS[7:], "float64"))
    return frame.astype({"step": "Int64"})


def _control(control: Matched | Rescaled, arm: str, found: dict[str, Any]) -> dict[str, Any]:
    if isinstance(control, Matched):
        to = Side(stage=control.stage, arm=control.arm).label
        return {"equal": control.equal, "to": to, "tolerance": control.tolerance} | (found["match"] or {})
    same = {"equal": "function", "to": Side(stage=control.stage, arm=arm).label, "tolerance": EQUAL}
    made = found["rescaling"] or dict.fromkeys(("norm_before", "norm_after", "change"))
    return same | {"wanted": made["norm_before"], "found": made["norm_after"], "mismatch": made["change"]}


def transition_of(plan: Plan, trajectory: Finished) -> Transition:
    """Return the transition of a finished train job under the recipe's rule."""
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


def _transitions(plan: Plan, get: Get) -> pd.DataFrame:
    table = []
    for (arm, seed), key in plan.trajectories.items():
        finished = get(key)
        last = trajectory_of(finished).metrics.iloc[-1]
        stages = {
            f"stage_{name}": get(plan.stages[arm, seed, name]).result["step"]
            for name in plan.recipe.all_stages()
            if (arm, seed, name) in plan.stages
        }
        final = {f"final_{name}_accuracy": last[f"{name}_accuracy"] for name in ("train", "validation", "test")}
        table.append({"seed": seed, "arm": arm} | _flat(transition_of(plan, finished)) | stages | final)
    frame = pd.DataFrame(table)
    whole = [c for c in map(str, frame) if c.endswith(("_step", "_after")) or c.startswith("stage_") or c == "onset"]
    frame[whole] = frame[whole].astype("Int64")
    return frame


def _oracles(plan: Plan, get: Get) -> pd.DataFrame:
    table = []
    for (arm, seed, forget, stage), key in plan.oracles.items():
        finished = get(key)
        row: dict[str, Any] = {"seed": seed, "arm": arm, "forget": forget, "stage": stage}
        row["step"] = finished.result["step"]
        row |= {
            f"oracle_{k}": v
            for k, v in _flat(transition_of(plan, get(finished.job["inputs"]["trajectory"]))).items()
            if k in ("status", "memorized_step", "grokked_step")
        }
        row |= _oracle_scores(plan, get, finished, arm, forget, seed, "")
        if (arm, seed, forget, stage) in plan.noise:
            second = get(plan.noise[arm, seed, forget, stage])
            row |= _oracle_scores(plan, get, second, arm, forget, seed, "second_")
        table.append(row)
    frame = pd.DataFrame(table)
    whole = ["step", "oracle_memorized_step", "oracle_grokked_step"]
    frame[whole] = frame[whole].astype("Int64")
    return frame


def _oracle_scores(
    plan: Plan, get: Get, finished: Finished, arm: str, forget: str, seed: int, prefix: str
) -> dict[str, Any]:
    if finished.result["step"] is None:
        return {f"{prefix}{name}": None for name in ("UA", "RA", "TA")}
    data = load_data(plan.recipe.for_arm(arm)[0].spec())
    rule = plan.recipe.forget[plan.recipe.forget_labels().index(forget)]
    if rule.from_trajectory:
        assert isinstance(data, AnswerData)
        split = split_of(get(plan.splits[arm, seed, forget]).result, data)
    else:
        split = rule.split(data, derive(seed, "forget"))
    scores = load_tensors(finished.path / "scores.safetensors")
    found = oracle_accuracies(scores, split.forget, split.retain, split.classes)
    return {f"{prefix}{name}": getattr(found, name) for name in ("UA", "RA", "TA")}


def _curves(plan: Plan, get: Get) -> pd.DataFrame:
    frames = []
    for (arm, seed), key in plan.trajectories.items():
        metrics = trajectory_of(get(key)).metrics
        metrics.insert(0, "arm", arm)
        metrics.insert(1, "seed", seed)
        frames.append(metrics)
    return pd.concat(frames, ignore_index=True)


def _timings(plan: Plan, get: Get) -> pd.DataFrame:
    table = []
    for key, job in plan.jobs.items():
        finished = get(key)
        seconds = finished.seconds
        row: dict[str, Any] = {"kind": job.kind, "job": job.label, "key": key, "seconds": seconds.get("total")}
        if job.kind == "train":
            row |= _per_update(None, seconds.get("total"), finished.result["steps"])
        if job.kind == "unlearn" and finished.result["doses"]:
            row |= _per_update(job.spec["unlearn"]["kind"], seconds.get("updates"), finished.result["updates"][-1])
        table.append(row)
    columns = ["kind", "job", "key", "seconds", "method", "updates", "seconds_per_update"]
    return pd.DataFrame(table).reindex(columns=columns)


def _per_update(method: str | None, seconds: float | None, updates: int) -> dict[str, Any]:
    per = seconds / updates if seconds is not None and updates else None
    return {"method": method, "updates": updates, "seconds_per_update": per}
