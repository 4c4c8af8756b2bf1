"""How often a study says that a measure predicts the cost of unlearning, where none does, and where one does.

python benchmarks/mediation.py [STUDIES]

Ten seeds, eight places, fifteen measures. All that is measured at a place differs between places by as much as ``effect``, between
seeds by 1. Where a relation is planted, the first measure holds the cost as well.
"""

from __future__ import annotations

import itertools
import math
import sys

import numpy as np
import pandas as pd

from ungrok.study.mediation import mediation

SEEDS, ARMS, STAGES, MEASURES, ALPHA = 10, 4, 2, 15, 0.05


def points(random: np.random.Generator, effect: float, relation: float) -> pd.DataFrame:
    """Return the points of one study, as :func:`ungrok.study.mediation.changes` does: changes from the first of the places."""
    shape = (MEASURES + 2, SEEDS, ARMS * STAGES)
    values = random.normal(size=shape) + effect * random.normal(size=(shape[0], 1, shape[2]))
    values[2] += relation * values[1]
    accuracy, cost, *measures = (values - values[..., :1])[..., 1:]
    places = list(itertools.product(map(str, range(ARMS)), map(str, range(STAGES))))[1:]
    index = [(f"m-{m}", seed, *place) for m in range(MEASURES) for seed in range(SEEDS) for place in places]
    table = pd.DataFrame(index, columns=["measure", "seed", "arm", "stage"])
    columns = {"change": np.ravel(measures), "accuracy": np.tile(accuracy.ravel(), MEASURES)}
    columns |= {"damage": np.tile(cost.ravel(), MEASURES), "updates": np.full(len(table), np.nan)}
    return table.assign(**columns, forget="class", analysis="a", on="", layer="model")


def answers(effect: float, relation: float, studies: int) -> pd.DataFrame:
    """Return the answers on damage, one row a study and one column a measure."""
    rows = []
    for seed in range(studies):
        table = mediation(points(np.random.default_rng(seed), effect, relation), ALPHA)
        rows.append(table[table["outcome"] == "damage"].set_index("measure")["answer"])
    return pd.DataFrame(rows)


def main() -> None:
    studies = int(sys.argv[1]) if len(sys.argv) > 1 else 400
    limit = ALPHA + 2 * math.sqrt(ALPHA * (1 - ALPHA) / studies)
    for effect in (1.0, 2.0):
        said = answers(effect, 0.0, studies)
        yes, seeds = ((said.isin(words)).any(axis=1).mean() for words in (["yes"], ["yes", "associated"]))
        print(
            f"unrelated, places differ by {effect:g}: any yes {yes:.3f} (limit {limit:.3f}); by seeds alone {seeds:.3f}",
            flush=True,
        )
        if yes > limit:
            raise SystemExit("more studies say yes than the limit allows")
    for effect, relation in itertools.product((1.0, 2.0), (0.5, 1.0, 2.0)):
        said = answers(effect, relation, studies // 4)["m-0"]
        print(
            f"a relation of {relation:g}, places differ by {effect:g}: yes {(said == 'yes').mean():.2f}, associated {(said == 'associated').mean():.2f}",
            flush=True,
        )


if __name__ == "__main__":
    main()
