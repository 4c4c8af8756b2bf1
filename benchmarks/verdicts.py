"""How often verdicts err where the truth is known, and how often they find it.

python benchmarks/verdicts.py [TABLES] [RUN]

Tables of sixty rows are made up and judged as headline families: without any effect (how often is any row given a direction, at once and
over three looks), with a ratio of two in one row (how often is it found), and with effects that are there but hard to see (how often is "no
difference" said). Then the seconds that a family takes. RUN is the folder of a study, whose own paths are swapped and judged again.
"""

from __future__ import annotations

import math
import sys
import time
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
from ungrok.study.looks import share

Floats = NDArray[np.float64]
Draw = np.random.Generator
Noise = Callable[[Draw, Sequence[int]], Floats]

METHODS = 10
"""Of each come six rows: two of updates, and one of distance, damage, gap and spread."""

NOISES: dict[str, Noise] = {
    "t with 2 df": lambda draw, shape: draw.standard_t(2, shape),
    "lognormal": lambda draw, shape: draw.lognormal(size=shape),
    "ties": lambda draw, shape: np.round(draw.normal(size=shape)),
}
LEAST = 3
"""Seeds that a spread needs."""


def sides(draw: Draw, noise: Noise, rows: int, seeds: int) -> Floats:
    """Return values of both sides, shape (2, rows, seeds): alike between sides, and in no other way.

    A seed has its own scale. It shifts all values of one side together, and those of both.
    """
    scale = draw.lognormal(0, 0.5, seeds)
    one_side, both = noise(draw, (2, 1, seeds)), noise(draw, (1, 1, seeds))
    return scale * (noise(draw, (2, rows, seeds)) + one_side) + both


def cut(times: Floats, censored: float) -> tuple[Floats, Floats]:
    """Return log times of both sides, (2, seeds), cut off where a share of paths does not get there, and whether each got there."""
    end = np.quantile(times, 1 - censored)
    return np.minimum(times, end), times <= end


def null_table(draw: Draw, noise: Noise, censored: float, seeds: int) -> Floats:
    """Return rows without an effect, shape (2, 6 methods, seeds), NaN where a row lacks a seed; the last sixth are spreads."""
    methods = []
    for values in sides(draw, noise, 6 * METHODS, seeds).reshape(2, METHODS, 6, seeds).swapaxes(0, 1):
        same, reached = cut(values[:, 0], censored)
        own, _ = cut(values[:, 1], censored / 2)
        there = np.where(reached.all(axis=0), 1.0, np.nan)
        damage, gap = np.round(np.clip(0.02 * np.abs(values[:, 2:4]), 0, 1), 2).swapaxes(0, 1)
        spread = np.where(draw.random(seeds) < 0.1, np.nan, values[:, 5])
        methods.append(np.stack([same, own, values[:, 4] * there, damage * there, gap * there, spread]))
    return np.stack(methods, axis=1).reshape(6 * METHODS, 2, seeds).swapaxes(0, 1)


def as_rows(table: Floats, seeds: int) -> list[PairedRow]:
    """Return the rows that can be tested for the first seeds of a table."""
    rows: list[PairedRow] = []
    for place, (left, right) in enumerate(table[:, :, :seeds].swapaxes(0, 1)):
        if place < 5 * METHODS:
            if not np.isnan(left - right).all():
                rows.append(Differences(left - right))
        else:
            both = ~np.isnan(left + right)
            if both.sum() >= LEAST and np.ptp(left[both]) > 0 and np.ptp(right[both]) > 0:
                rows.append(Spreads(left, right))
    return rows


def directions(rows: Sequence[PairedRow], seeds: int, alpha: float = 0.05) -> list[bool]:
    """Return for each row of a family whether a direction is named."""
    return [row.low > 0 or row.high < 0 for row in family(rows, seeds, alpha)]


def any_word(tables: int, noise: str, censored: float, seeds: Sequence[int]) -> float:
    """Return the share of tables without an effect in which any row is given a direction, at any of the looks at so many seeds."""
    draw, words, alone = np.random.default_rng(0), 0, len(seeds) == 1
    for _ in range(tables):
        table = null_table(draw, NOISES[noise], censored, max(seeds))
        words += any(
            any(directions(as_rows(table, count), count, 0.05 * (1 if alone else share(look))))
            for look, count in enumerate(seeds, 1)
        )
    return words / tables


def times(draw: Draw, seeds: int, sd: float, ratio: float) -> Floats:
    """Return log updates of both sides, (2, seeds): sd is that of their difference, ratio the left over the right."""
    hardness = draw.normal(0, 0.3, seeds)
    return hardness + draw.normal(0, sd / math.sqrt(2), (2, seeds)) + np.array([[math.log(ratio)], [0.0]])


def found(tables: int, sd: float, censored: float, alpha: float, seeds: int = 10) -> float:
    """Return how often a ratio of two is found among 60 rows without an effect, in which 30 % of paths are censored."""
    draw, named = np.random.default_rng(0), 0
    for _ in range(tables):
        nulls = [cut(times(draw, seeds, sd, 1.0), 0.3)[0] for _ in range(60)]
        pairs = [cut(times(draw, seeds, sd, 2.0), censored)[0], *nulls]
        named += family([Differences(left - right) for left, right in pairs], seeds, alpha)[0].low > 0
    return named / tables


def no_difference(
    left: Floats, right: Floats, margin: float, *, cut_at: float | None = None, accuracy: bool = False
) -> bool:
    """Return whether "no difference" is said of a family of this row alone, whose interval is the narrowest."""
    finding = Finding(
        Efficiency(), "", "", At("any"), Sides(left, right), "", margin, cut_at=cut_at, accuracy=accuracy
    )  # fmt: skip
    _, reason = _word(finding, family([Differences(left - right)], len(left))[0], 0.05)
    return reason is not None and reason.code in ("no_difference", "no_difference_in_most")


def no_difference_of_times(tables: int, ratio: float, censored: float, seeds: int, sd: float = 0.02) -> float:
    """Return how often "no difference" is said where the slower side takes so many times the updates, and a share of it is cut off."""
    draw, said = np.random.default_rng(0), 0
    end = math.log(ratio) + stats.norm.ppf(1 - censored) * math.hypot(0.3, sd / math.sqrt(2))
    for _ in range(tables):
        values = times(draw, seeds, sd, ratio)
        said += no_difference(*np.minimum(values, end), 0.1, cut_at=end if (values > end).any() else None)
    return said / tables


def no_difference_of_accuracies(tables: int, seeds: int) -> float:
    """Return how often "no difference" is said where one side loses half of its accuracy in a tenth of seeds."""
    draw, said = np.random.default_rng(0), 0
    for _ in range(tables):
        lost = draw.normal(0, 0.001, (2, seeds)) + np.outer([0.5, 0.0], draw.random(seeds) < 0.1)
        said += no_difference(*lost, 0.01, accuracy=True)
    return said / tables


def seconds(spreads: int, seeds: int = 10) -> float:
    """Return the least seconds of five that a family of 60 rows takes."""
    draw, took = np.random.default_rng(0), []
    values = draw.normal(size=(60, 2, seeds))
    rows: list[PairedRow] = [Spreads(*pair) for pair in values[:spreads]]
    rows += [Differences(left - right) for left, right in values[spreads:]]
    for _ in range(5):
        started = time.perf_counter()
        family(rows, seeds)
        took.append(time.perf_counter() - started)
    return min(took)


def most(tables: int, rate: float = 0.05) -> float:
    """Return two standard errors above a rate."""
    return rate + 2 * math.sqrt(rate * (1 - rate) / tables)


def main(tables: int, run: Path | None) -> None:
    print(f"any direction in tables without an effect, at most {most(tables):.4f} of {tables}:")
    for noise in NOISES:
        for censored in (0.0, 0.3, 0.6):
            once = [f"{any_word(tables, noise, censored, [seeds]):.4f}" for seeds in (6, 8, 10)]
            looks = any_word(tables, noise, censored, [6, 8, 10])
            print(
                f"  {noise}, {censored:.0%} censored: 6, 8, 10 seeds {', '.join(once)}; looks {looks:.4f}", flush=True
            )
    print("a ratio of two found at 10 seeds:")
    for sd in (0.3, 0.5):
        for censored in (0.0, 0.2):
            shares = ", ".join(f"alpha {alpha:g}: {found(tables, sd, censored, alpha):.3f}" for alpha in (0.05, 0.04))
            print(f"  sd {sd}, {censored:.0%} censored: {shares}", flush=True)
    print('"no difference" said where there is one:')
    for ratio, censored in ((1.25, 0.9), (2.0, 0.99)):
        said = ", ".join(f"{no_difference_of_times(tables, ratio, censored, seeds):.4f}" for seeds in (8, 10))
        print(f"  ratio {ratio}, {censored:.0%} of one side censored: 8, 10 seeds {said}")
    said = ", ".join(f"{no_difference_of_accuracies(tables, seeds):.4f}" for seeds in (8, 10, 20, 36, 60))
    print(f"  accuracies: 8, 10, 20, 36, 60 seeds {said}")
    print(f"a family of 60 rows and 10 seeds: {', '.join(f'{1e3 * seconds(n):.0f} ms ({n} spreads)' for n in (0, 10))}")
    if run is not None:
        study = StudyFolder.open(run)
        swaps = calibrate([paths_of(study.results.rows)], study.recipe, study.doses, draws=tables)
        print(f"{run.name} with sides swapped: any direction in {swaps.words} of {swaps.draws} draws")


if __name__ == "__main__":
    main(int(sys.argv[1]) if len(sys.argv) > 1 else 2000, Path(sys.argv[2]) if len(sys.argv) > 2 else None)
