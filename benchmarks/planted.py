"""How often studies made up so that the truth is known are given a word.

python benchmarks/planted.py [STUDIES]

The two sides differ as stages do on digits: the later one is more accurate, varies less over seeds and lies nearer to its oracle. What the
unlearner does is planted. A class is forgotten, a tenth of the test data; the second oracle differs from the first in its seed alone.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd

from ungrok.study.claims import Doses, Verdict, judge_paths, paths_of
from ungrok.study.loading import load
from ungrok.study.rates import rated
from ungrok.study.recipe import Recipe

Draw = np.random.Generator
Values = dict[str, float]

ITERATIVE, STOPPING, RATE, BUDGET = "gradient_ascent", "nabla_tau", 1e-3, 400.0
SIDES = ("pre_grok", "grokked")
ACCURACY, SPREAD, NOISE = (0.48, 0.92), (0.03, 0.015), (0.02, 0.01)
"""Per side the mean accuracy on the classes that stay, its sd over seeds, and the sd of one oracle around the model."""


@dataclass(frozen=True)
class Seed:
    """A seed's model and its two oracles on one side, each with its accuracies."""

    start: Values
    oracle: Values
    second: Values


Unlearner = Callable[[Draw, Seed], Values]
"""Returns what an unlearner has changed when it is done: UA, RA, TA, bystander and validation accuracy."""


def accuracies(stays: float, forgotten: float, retained: float) -> Values:
    """Return the accuracies of a model, given those on classes that stay, on the forgotten class, and on retained data."""
    test = 0.9 * stays + 0.1 * forgotten
    return {"UA": forgotten, "RA": retained, "TA": test, "bystander_accuracy": stays, "validation_accuracy": test}


def drawn(draw: Draw, side: int, cost: float = 0.0) -> Seed:
    """Return a seed's models on one side; ``cost`` is what retraining loses, on average, on the classes that stay."""
    stays = draw.normal(ACCURACY[side], SPREAD[side])
    first, second = (accuracies(stays - cost + draw.normal(0, NOISE[side]), 0.0, 1.0) for _ in range(2))
    return Seed(accuracies(stays, 1.0, 1.0) | {"TA": stays}, first, second)


def oracle(draw: Draw, seed: Seed) -> Values:  # noqa: ARG001
    """Take a model that was retrained with another seed for what unlearning gives."""
    return seed.second


def forgotten_only(draw: Draw, seed: Seed) -> Values:  # noqa: ARG001
    """Change predictions on the forgotten class alone."""
    return accuracies(seed.start["bystander_accuracy"], 0.0, 1.0)


def nothing(draw: Draw, seed: Seed) -> Values:  # noqa: ARG001
    """Leave the model as it is."""
    return seed.start


def harmful(draw: Draw, seed: Seed) -> Values:
    """Lose half of what a model can do, more or less."""
    return accuracies(seed.start["bystander_accuracy"] * draw.uniform(0.45, 0.55), 0.0, 0.5)


def gap(values: Values, best: Values) -> float:
    return float(np.mean([abs(values[name] - best[name]) for name in ("UA", "RA", "TA")]))


def path(seed: int, side: int, models: Seed, after: Values, updates: float, method: str) -> Iterator[dict[str, Any]]:
    """Yield the rows of a path that changes the model so after so many updates, and then no more."""
    reached = after["UA"] <= 0.1
    moved = float(after != models.start)
    for dose in sorted({0.0, updates, BUDGET}):
        done = dose >= updates
        values = after if done else models.start
        yield {
            "seed": seed, "arm": "base", "stage": SIDES[side], "step": 1 + side, "forget": "class", "method": method,
            "dose": dose, "updates": int(dose), **values, "diverged": False, "rewound": dose == BUDGET,
            "reached_0.1": reached and done, "reached_oracle": reached and done,
            **{f"oracle_{name}": value for name, value in models.oracle.items()},
            "oracle_gap": gap(values, models.oracle), "oracle_floor": gap(models.second, models.oracle),
            "moved_retain": moved * done * updates / BUDGET, "weight_distance": moved * done * updates / BUDGET,
        }  # fmt: skip


def study(draw: Draw, seeds: int, unlearner: Unlearner, costs: tuple[float, float] = (0.0, 0.0)) -> pd.DataFrame:
    """Return the rows of a method with a target and one that stops by itself; both take equally long on either side.

    Args:
        draw: What draws.
        seeds: How many.
        unlearner: What unlearning changes.
        costs: What retraining loses on either side.

    """
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        for side in (0, 1):
            models = drawn(draw, side, costs[side])
            for method in (ITERATIVE, STOPPING):
                updates = float(round(draw.lognormal(4.0, 0.2)))
                rows += path(seed, side, models, unlearner(draw, models), updates, method)
    return table(rows)


def grid(
    draw: Draw, seeds: int, ratio: float, factor: float = 1.0, limits: tuple[float, float] = (1.0, 2.0)
) -> pd.DataFrame:
    """Return the rows of a search whose later side takes ``factor`` times the rate that it is told.

    The updates that a side needs are inverse to the rate; above its own limit it loses a tenth of its accuracy. At its own best rate the
    earlier side needs ``ratio`` times the updates. Limits are drawn, in the unit of the rate in the middle of seven.
    """
    rows: list[dict[str, Any]] = []
    for seed in range(seeds):
        for side in (0, 1):
            models, limit = drawn(draw, side), RATE * draw.uniform(*limits)
            work = (ratio if side == 0 else 1.0) * draw.lognormal(2.5, 0.1)  # updates at the limit
            for step in range(-3, 4):
                told = RATE * 2.0**step
                rate = told * (factor if side == 1 else 1.0)
                after = models.oracle if rate <= limit else accuracies(0.9 * models.oracle["TA"], 0.0, 0.9)
                label = ITERATIVE if step == 0 else rated(ITERATIVE, told)
                rows += path(seed, side, models, after, min(BUDGET, work * limit / rate), label)
    return table(rows)


def table(rows: list[dict[str, Any]]) -> pd.DataFrame:
    return pd.DataFrame(rows).astype({"reached_0.1": "boolean", "reached_oracle": "boolean"})


def recipe_of(rows: pd.DataFrame) -> Recipe:
    """Return the recipe of such a study, with a search where its rows hold several rates."""
    searched = bool(rows["method"].str.startswith(rated(ITERATIVE, 0)[:-1]).any())
    lr = f"{{auto: {RATE}}}" if searched else f"{RATE}"
    stopping = "" if searched else f", {{kind: {STOPPING}, updates: {BUDGET:g}}}"
    own = (
        f"seeds={sorted(rows['seed'].unique().tolist())}",
        f"unlearn=[{{kind: {ITERATIVE}, lr: {lr}, updates: {BUDGET:g}}}{stopping}]",
        "claims.targets=[0.1]", "forget=[{kind: class}]", "along=null", "stress=null", "lasting=null", *([] if searched else ["search=null"]),
    )  # fmt: skip
    return load("digits", own)


def doses(recipe: Recipe) -> dict[str, Doses]:
    return dict.fromkeys(recipe.unlearn_labels(), Doses(BUDGET, BUDGET / 2))


def judged(rows: pd.DataFrame, *, headline_only: bool = True) -> list[Verdict]:
    """Return the verdicts on the rows of a study."""
    recipe = recipe_of(rows)
    return judge_paths([paths_of(rows)], recipe, doses(recipe), headline_only=headline_only)


def directions(verdicts: list[Verdict], claim: str | None = None) -> set[tuple[str, str, str]]:
    """Return claim, reading and method of the rows that are given a direction, of one claim where it is named."""
    return {
        (verdict.claim.kind, verdict.reading, verdict.method)
        for verdict in verdicts
        if verdict.word in ("supported", "refuted")
        and not any(note.code.startswith("no_difference") for note in verdict.notes)
        and claim in (None, verdict.claim.kind)
    }


def share(studies: int, unlearner: Unlearner, claim: str | None, costs: tuple[float, float] = (0.0, 0.0)) -> float:
    """Return the share of studies of ten seeds in which a claim is given a direction; any claim where it is None."""
    draw = np.random.default_rng(0)
    return sum(bool(directions(judged(study(draw, 10, unlearner, costs)), claim)) for _ in range(studies)) / studies


def doubled(seed: int, reading: str) -> tuple[Verdict, Verdict]:
    """Return the first verdict of a reading in a search, of a true ratio from 1/2 to 2, before and after doubling the rate of the later stage."""
    ratio = 2.0 ** np.random.default_rng(seed).uniform(-1, 1)
    tables = [grid(np.random.default_rng(seed), 10, ratio, factor) for factor in (1.0, 2.0)]
    once, twice = (next(v for v in judged(rows) if v.reading == reading) for rows in tables)
    return once, twice


def turned(studies: int, reading: str) -> float:
    """Return the share of searches in which doubling the rate of one stage changes the word of a reading."""
    return sum(once.word != twice.word for once, twice in (doubled(seed, reading) for seed in range(studies))) / studies


UNEQUAL = (0.03, 0.0)
"""What retraining loses on either side where only the later one loses nothing."""


def main(studies: int) -> None:
    print(f"share of {studies} studies with a direction; retraining loses equally much on both sides, or {UNEQUAL}")
    for unlearner, claim in (
        (oracle, "collateral"),
        (forgotten_only, "collateral"),
        (nothing, None),
        (harmful, "collateral"),
    ):
        shares = [share(studies, unlearner, claim, costs) for costs in ((0.0, 0.0), UNEQUAL)]
        print(f"  {unlearner.__name__}, {claim or 'any claim'}: {shares[0]:.3f}, {shares[1]:.3f}", flush=True)
    for reading in ("own_rate", "distance", "same_rate"):
        print(
            f"  word of {reading} changed by doubling the rate of one stage: {turned(studies, reading):.3f}", flush=True
        )


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 300)
