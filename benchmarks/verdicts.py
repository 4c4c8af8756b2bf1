"""How often verdicts err and what they find, on made-up tables of seeds.

python benchmarks/verdicts.py [TABLES [RUN [STORE]]]

Errors: any direction named where the two sides of every seed may be swapped. Tables of 60 rows have heavy tails, ties, censored
times, rows that depend on each other through the seed, missing seeds, and spreads among them. Looks: the same as seeds are added.
Equivalence: "no difference" said where there is one, which censoring or its rarity hides. Power: a ratio of updates of 2
found among null rows. RUN, the folder of a finished study: its own paths, sides swapped within seeds; with 0 TABLES nothing else.
"""

from __future__ import annotations

import math
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy import stats

from ungrok.study.calibrate import calibrate
from ungrok.study.claims.base import Finding, Sides
from ungrok.study.claims.efficiency import Efficiency
from ungrok.study.claims.judge import _word, paths_of
from ungrok.study.claims.verdicts import At
from ungrok.study.folder import StudyFolder
from ungrok.study.inference import Differences, PairedRow, Spreads, family

Floats = NDArray[np.float64]
Draw = np.random.Generator
Noise = Callable[[Draw, tuple[int, ...]], Floats]

ROWS, SPREADS = 60, 6
"""Rows of a table, and those of them that compare spreads."""

NOISES: dict[str, Noise] = {
    "normal": lambda draw, size: draw.normal(size=size),
    "t with 2 df": lambda draw, size: draw.standard_t(2, size),
    "lognormal": lambda draw, size: draw.lognormal(size=size),
    "ties": lambda draw, size: draw.integers(-1, 2, size).astype(float),
}
LAST = 10
"""Rows of a table that come last, where some do."""

LATER = ((6, 0.8), (8, 0.1), (10, 0.05))
"""Seeds at each look, and its share of alpha: four fifths, then half of what is left."""


def null_sides(draw: Draw, noise: Noise, seeds: int, rows: int, censored: float) -> Floats:
    """Return log times of both sides, shape (2, rows, seeds), whose sides may be swapped within each seed.

    Rows share what the seed brings (half of it to both sides alike). Up to ``censored`` of a row's times are cut at its budget, and
    a fifth of rows lack a seed or two.
    """
    both = noise(draw, (1, 1, seeds)) + noise(draw, (1, rows, seeds))
    sides = both + 0.7 * noise(draw, (2, 1, seeds)) + noise(draw, (2, rows, seeds))
    shares = 1 - censored * draw.random(rows)
    budgets = np.array([np.quantile(sides[:, row], share) for row, share in enumerate(shares)])
    sides = np.minimum(sides, budgets[None, :, None])
    for row in range(0, rows, 5):
        sides[:, row, draw.integers(0, seeds, 2)] = np.nan
    return np.asarray(sides)


def rows_of(sides: Floats, spreads: int = SPREADS) -> list[PairedRow]:
    """Return the rows of a table; the last ones compare spreads, where both sides have one."""
    left, right = sides
    rows: list[PairedRow] = [Differences(x - y) for x, y in zip(left[:-spreads], right[:-spreads], strict=True)]
    for x, y in zip(left[-spreads:], right[-spreads:], strict=True):
        if np.nanmax(x) > np.nanmin(x) and np.nanmax(y) > np.nanmin(y):
            rows.append(Spreads(x, y))
    return rows


def any_word(rows: Sequence[PairedRow], seeds: int, alpha: float, last: int = 0) -> bool:
    """Return whether a direction is named: exactly where an interval leaves out zero; the first so many rows come ``last``."""
    late = [place < last for place in range(len(rows))]
    return any(not row.low <= 0 <= row.high for row in family(rows, seeds, alpha, late))


def error(
    noise: Noise, seeds: int, tables: int, censored: float = 0.6, rows: int = ROWS, alpha: float = 0.05, last: int = 0
) -> float:
    """Return the share of null tables in which any direction is named; see :func:`any_word`."""
    draw = np.random.default_rng(seeds)
    made = (rows_of(null_sides(draw, noise, seeds, rows, censored)) for _ in range(tables))
    return sum(any_word(table, seeds, alpha, last) for table in made) / tables


def looks(noise: Noise, tables: int, rows: int = ROWS, alpha: float = 0.05) -> float:
    """Return the share of null tables in which a direction is named at any of the looks while seeds are added."""
    draw, named = np.random.default_rng(1), 0
    for _ in range(tables):
        sides = null_sides(draw, noise, LATER[-1][0], rows, 0.6)
        named += any(any_word(rows_of(sides[:, :, :seeds]), seeds, share * alpha) for seeds, share in LATER)
    return named / tables


def power(
    tables: int,
    censored: float = 0.0,
    sd: float = 0.3,
    seeds: int = 10,
    alpha: float = 0.05,
    rows: int = ROWS,
    last: int = 0,
) -> float:
    """Return how often a ratio of 2 is found among null rows, of which 30 % have times cut; ``censored`` is that of its own times.

    Its budget is where that share of the times of both sides lies beyond; each side's times have an equal part in its spread. So many rows
    at the end come ``last``, as those at identical settings do in a search; where the number is negative, the sought one is among them.
    """
    draw, found = np.random.default_rng(2), 0
    for _ in range(tables):
        sides = draw.normal(0.0, sd / math.sqrt(2), (2, rows + 1, seeds))
        for row in range(1, 1 + round(0.3 * rows)):
            sides[:, row] = np.minimum(sides[:, row], np.quantile(sides[:, row], 1 - 0.6 * draw.random()))
        sides[0, 0] += math.log(2)
        sides[:, 0] = np.minimum(sides[:, 0], np.quantile(sides[:, 0], 1 - censored))
        late = [place == 0 if last < 0 and place < 1 else place > rows - abs(last) for place in range(rows + 1)]
        found += family([Differences(d) for d in sides[0] - sides[1]], seeds, alpha, late)[0].low > 0
    return found / tables


def said_alike(differences: Floats, margin: float, budget: float | None = None, *, accuracy: bool = False) -> bool:
    """Return whether "no difference" is said of one row; ``budget`` where times were cut."""
    sides, at = Sides(differences, np.zeros_like(differences)), At("any")
    finding = Finding(Efficiency(), "", "", at, sides, "", margin, cut_at=budget, accuracy=accuracy)
    _, note = _word(finding, family([Differences(differences)], len(differences))[0], 0.05)
    return note is not None and note.code.startswith("no_difference")


def hidden_by_censoring(ratio: float, share: float, seeds: int, tables: int) -> float:
    """Return how often "no difference" is said of a ratio whose longer times lie beyond the budget with probability ``share``."""
    draw, said = np.random.default_rng(3), 0
    budget = math.log(ratio) + 0.3 * float(stats.norm.ppf(1 - share))
    for _ in range(tables):
        late = draw.normal(0, 0.3, seeds)
        early = late + math.log(ratio)
        cut = budget if (early > budget).any() else None
        said += said_alike(np.minimum(early, budget) - np.minimum(late, budget), 0.1, cut)
    return said / tables


def hidden_by_rarity(seeds: int, tables: int, chance: float = 0.1, drop: float = 0.5) -> float:
    """Return how often "no difference" is said of an accuracy that falls by ``drop`` in a seed with the chance given."""
    draw, said = np.random.default_rng(4), 0
    for _ in range(tables):
        d = draw.normal(0, 0.001, seeds) + drop * (draw.random(seeds) < chance)
        said += said_alike(d, 0.01, accuracy=True)
    return said / tables


def made_up(tables: int) -> None:
    """Print errors and power on made-up tables."""
    allowed = 0.05 + 2 * math.sqrt(0.05 * 0.95 / tables)
    print(f"any direction in a null table of {ROWS} rows, {tables} tables; allowed {allowed:.4f}")
    for name, noise in NOISES.items():
        shares = ", ".join(f"{seeds} seeds {error(noise, seeds, tables):.4f}" for seeds in (6, 8, 10))
        print(f"  {name}: {shares}; looks at 6, 8 and 10 seeds {looks(noise, tables):.4f}", flush=True)
    print(f"  the same where {LAST} rows come last")
    for name, noise in NOISES.items():
        shares = ", ".join(f"{seeds} seeds {error(noise, seeds, tables, last=LAST):.4f}" for seeds in (6, 8, 10))
        print(f"  {name}: {shares}", flush=True)
    print(f"a ratio of 2 found at 10 seeds, {LAST} rows last, and itself among them: sd 0.3 and 0.5")
    for alpha in (0.05, 0.04):
        found = [power(tables, 0.0, sd, alpha=alpha, last=last) for last in (LAST, -LAST) for sd in (0.3, 0.5)]
        print(f"  alpha {alpha}: {found[0]:.3f}, {found[1]:.3f}; among them {found[2]:.3f}, {found[3]:.3f}", flush=True)
    print("a ratio of 2 found at 10 seeds: not cut, 20 % cut")
    for sd in (0.3, 0.5):
        for alpha in (0.05, 0.04):
            whole, cut = (power(tables, censored, sd, alpha=alpha) for censored in (0.0, 0.2))
            print(f"  sd {sd}, alpha {alpha}: {whole:.3f}, {cut:.3f}", flush=True)
    print('"no difference" said where there is one; allowed 0.05')
    for ratio, share in ((1.25, 0.9), (2.0, 0.99)):
        said = ", ".join(f"{seeds} seeds {hidden_by_censoring(ratio, share, seeds, tables):.4f}" for seeds in (8, 10))
        print(f"  ratio {ratio}, {share:.0%} cut: {said}")
    rarely = ", ".join(f"{seeds} seeds {hidden_by_rarity(seeds, min(tables, 1000)):.4f}" for seeds in (8, 10, 36))
    print(f"  accuracy falls by 0.5 in a tenth of seeds: {rarely}")


def real(run: Path, store: Path | None) -> None:
    """Print how often words are given on a study's own paths, the sides swapped within seeds."""
    study = StudyFolder.open(run, store)
    outcome = calibrate([paths_of(study.results.rows)], study.recipe, study.doses, 512)
    low, high = outcome.interval
    print(f"{study.recipe.name}, {len(study.recipe.seeds)} seeds, {outcome.draws} swaps: any direction in {outcome.words}, "
          f"{outcome.words / outcome.draws:.4f} [{low:.4f}, {high:.4f}]; by claim {dict(outcome.claims)}")  # fmt: skip


if __name__ == "__main__":
    asked = int(sys.argv[1]) if len(sys.argv) > 1 else 1000
    if asked:
        made_up(asked)
    if len(sys.argv) > 2:
        real(Path(sys.argv[2]), Path(sys.argv[3]) if len(sys.argv) > 3 else None)
