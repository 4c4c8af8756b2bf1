"""Paths made by hand, and their verdicts as ``verdicts.json`` holds them."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import pandas as pd
import pytest

from ungrok.study.claims import Doses, judge
from ungrok.study.recipe import Recipe

BUDGET, DOSE = 100.0, 50.0
KEYS = [
    "claim", "reading", "comparison", "setting", "headline", "effect", "unit", "ci_low", "ci_high", "n_seeds", "p_value", "verdict",
    "wins", "notes",
]  # fmt: skip

Key = tuple[str, str, str, str, str]


@dataclass(frozen=True)
class Hand:
    """What tests of claims make by hand."""

    tiny: Callable[..., Recipe]
    seeds = list(range(8))

    def recipe(self, *overrides):
        own = (f"seeds={self.seeds}", "unlearn=[{kind: gradient_ascent}]", "claims.targets=[0.1, oracle]")
        return self.tiny(*own, *overrides)

    @staticmethod
    def path(
        seed,
        stage,
        hit,
        *,
        ra=0.9,
        ta=0.8,
        ua0=1.0,
        oracle=0.2,
        end=None,
        method="gradient_ascent",
        oracle_ta=0.85,
        moved=None,
        **more,
    ):
        """Return the rows of a path that reaches UA 0 at update ``hit`` (None: never) with the RA and TA given.

        ``moved`` is how far the function has moved at its end, in proportion to the dose; ``more`` are columns that do not change.
        """
        doses = sorted({0.0, DOSE, BUDGET, *([hit] if hit else [])})
        rows = []
        for dose in doses:
            done = hit is not None and dose >= hit
            ua = ua0 if not done else 0.0
            if end is not None and dose >= DOSE:
                ua = end
            rows.append(
                {
                    "seed": seed, "arm": "base", "stage": stage, "step": 1, "forget": "class", "method": method,
                    "dose": float(dose), "updates": int(dose), "UA": ua, "RA": ra if done else 1.0,
                    "TA": ta if done else 0.9, "bystander_accuracy": None, "validation_accuracy": 0.9,
                    "reached_0.1": ua0 <= 0.1 or done,
                    "reached_oracle": None if oracle is None else ua0 <= oracle or done,
                    "rewound": dose == doses[-1], "diverged": False,
                    "oracle_gap": None if oracle is None else abs(ua - oracle) / 3,
                    "oracle_TA": None if oracle is None else oracle_ta,
                    "moved_retain": None if moved is None else moved * dose / BUDGET,
                    **more,
                }
            )  # fmt: skip
        return rows

    def pairs(self, before, after, **kwargs):
        sides = (("pre_grok", before), ("grokked", after))
        return [self.path(seed, stage, hit[seed], **kwargs) for stage, hit in sides for seed in self.seeds]

    @staticmethod
    def verdicts(recipe, *paths):
        rows = pd.DataFrame([row for rows in paths for row in rows])
        for flag in ("reached_0.1", "reached_oracle"):
            rows[flag] = rows[flag].astype("boolean")
        doses = dict.fromkeys(recipe.unlearn_labels(), Doses(BUDGET, DOSE))
        judged = judge(rows, recipe, doses)
        assert judged
        assert all(list(verdict.to_dict()) == KEYS for verdict in judged)
        return {
            (v.claim.kind, v.reading, v.metric, str(v.at), v.method): v.to_dict() | {"note": v.note, "wins": v.wins}
            for v in judged
        }

    @staticmethod
    def pick(verdicts: dict[Key, Any], claim, metric, at="UA ≤ 0.1", method="gradient_ascent", reading=None):
        if reading is None:
            reading = {"efficiency": "same_rate"}.get(claim, "")
        return verdicts[claim, reading, metric, at, method]


@pytest.fixture
def hand(tiny):
    return Hand(tiny)
