"""Tables of schemes that certify what they forget, and of schemes that prepare for it during training."""

from __future__ import annotations

import pandas as pd

from ungrok.study.jobs import Unlearn
from ungrok.study.plan import Plan

CERTIFIED = ("sigma", "distance", "epsilon", "delta")
"""What a method certifies, see :class:`ungrok.core.accountant.Promise`; columns are called ``certified_<name>``."""


def with_promises(audits: pd.DataFrame, plan: Plan) -> pd.DataFrame:
    """Return the audits of a study with what is certified of the model at the end of each path, where any method certifies something."""
    methods = {(path.arm, path.method): plan.job(path.path, Unlearn).spec.unlearn for path in plan.paths}
    promises = [
        None if pd.isna(row["updates"]) else methods[row["arm"], row["method"]].promise(int(row["updates"]))
        for row in audits.to_dict("records")
    ]
    if not any(promises):
        return audits
    columns = {f"certified_{name}": [getattr(each, name, None) for each in promises] for name in CERTIFIED}
    return audits.assign(**columns).astype(dict.fromkeys(columns, "float64"))
