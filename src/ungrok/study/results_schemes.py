"""Tables of schemes that certify what they forget, and of schemes that prepare for it during training."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pandas as pd

from ungrok.evaluate.gap import NAMES
from ungrok.study.jobs import Fulfilled, Oracle, Prepared, Unlearn
from ungrok.study.plan import Plan
from ungrok.study.plan_schemes import scheme_jobs
from ungrok.study.store import Store

CERTIFIED = ("sigma", "distance", "epsilon", "delta")
"""What a method certifies, see :class:`ungrok.core.accountant.Promise`; columns are called ``certified_<name>``."""

FULFILLED = (*NAMES, "bystander_accuracy")
"""Accuracies after a request; those before it are called ``before_<name>``, the oracle's at the last step ``oracle_<name>``."""

SCHEMES = [
    *("seed", "scheme", "forget", "members", "hit", "share", "validation_accuracy", "diverged"),
    *("training_updates", "training_passes", "training_seconds", "updates", "passes", "seconds"),
    *FULFILLED,
    *(f"before_{name}" for name in FULFILLED),
    *(f"oracle_{name}" for name in FULFILLED),
]
"""Columns of the table of schemes that prepare: ``hit`` of the ``members`` were trained again, ``share`` of the training examples are forgotten;
``passes`` are examples read over training examples; seconds are those of the processor, where they are known, and include scoring."""


def with_promises(audits: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return the audits of a study with what is certified of the model at the end of each path, where any method certifies something."""
    methods = {(path.arm, path.method): plan.job(path.path, Unlearn).spec.unlearn for path in plan.paths}
    promises = [
        None if pd.isna(row["updates"]) else methods[row["arm"], row["method"]].promise(int(row["updates"]))
        for row in audits.to_dict("records")
    ]
    if not any(promises):
        return audits
    table = audits.copy()
    for name in CERTIFIED:
        values = [getattr(each, name, None) for each in promises]
        table[f"certified_{name}"] = pd.Series(values, dtype="float64", index=table.index)
    return table


def schemes_table(plan: Plan, store: Store) -> pd.DataFrame:
    """Return one row per request to a scheme that prepared for it during training."""
    rows = []
    for one in scheme_jobs(plan):
        prepared = store.open(one.prepared, Prepared, tensors=False)
        request = store.open(one.fulfilled, Fulfilled, tensors=False)
        trained, done = prepared.result, request.result
        row: dict[str, Any] = {"seed": one.seed, "scheme": one.scheme, "forget": one.forget, "members": done.members}
        row |= {"hit": len(done.hit), "share": done.forget / done.examples}
        row |= {"validation_accuracy": trained.validation_accuracy, "diverged": trained.status == "diverged"}
        row |= {"training_updates": trained.updates, "training_passes": trained.passes}
        row |= {"training_seconds": _spent(prepared.seconds), "updates": done.updates, "passes": done.passes}
        row |= {"seconds": _spent(request.seconds)}
        oracle = store.open(one.oracle, Oracle, tensors=False).result.accuracies
        for prefix, accuracies in (("", done.after), ("before_", done.before), ("oracle_", oracle)):
            row |= {f"{prefix}{name}": getattr(accuracies, name) for name in FULFILLED}
        rows.append(row)
    table = pd.DataFrame(rows, columns=SCHEMES)
    whole = ("seed", "members", "hit", "training_updates", "updates")
    words = ("scheme", "forget", "diverged")
    return table.astype({name: "Int64" if name in whole else "float64" for name in SCHEMES if name not in words})


def _spent(seconds: Mapping[str, float]) -> float | None:
    return seconds.get("processor", seconds.get("total"))
