"""What deletion costs under schemes that prepare for it during training: policies beside those of methods.

A scheme is a policy of the last step, since it trains models of its own to there. Its training costs what it cost; a request what was trained again.
Forgetting is exact, so that every request is fulfilled, and what an ensemble lacks beside the oracle of the last step is its damage. Damage may lie
below 0, where it has more.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING

import numpy as np

from ungrok.study.plan_schemes import FINAL
from ungrok.study.recipe_blocks import BASE
from ungrok.study.results import Results

if TYPE_CHECKING:
    from ungrok.study.deletion_costs import Measured

Place = tuple[str, str, str]
"""Arm, stage and label of a scheme."""


def scheme_costs(results: Results, forget: str) -> Mapping[Place, Measured]:
    """Return what the schemes of a study cost and did; those whose models diverged in every seed are left out.

    Args:
        results: The study's tables.
        forget: Label of the forget split.

    """
    from ungrok.study.deletion_costs import Measured  # which asks for this

    every = results.schemes
    table = every[(every["forget"] == forget) & every["TA"].notna() & every["validation_accuracy"].notna()]
    costs = {}
    for scheme, rows in table.groupby("scheme", sort=False):
        bystanders = rows[["bystander_accuracy", "oracle_bystander_accuracy"]].notna().all(axis=None)
        lost = ("RA", "bystander_accuracy" if bystanders else "TA")
        costs[BASE, FINAL, str(scheme)] = Measured(
            tuple(int(seed) for seed in rows["seed"]),
            {unit: rows[f"training_{unit}"].to_numpy(float) for unit in ("passes", "seconds")},
            {unit: rows[unit].to_numpy(float)[:, None] for unit in ("passes", "seconds")},
            np.ones((len(rows), 1), dtype=np.bool_),
            {name: float((rows[f"oracle_{name}"] - rows[name]).mean()) for name in lost},
            float(rows["validation_accuracy"].mean()),
        )
    return costs
