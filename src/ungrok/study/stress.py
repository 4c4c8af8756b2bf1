"""What stress tests say of a study's models: gaps to the oracle, the worst of them, the floor, and how soon forgetting is undone.

Everything is computed from the table ``stress`` of a study alone. An attacked accuracy says nothing by itself: the oracle, which never saw
the forget set, answers the same attack with what it has from elsewhere. So each number is a difference to the oracle of the same seed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import numpy as np
import pandas as pd

from ungrok.audits import STRESS_TESTS
from ungrok.study.inference import FEWEST, Differences, family
from ungrok.study.place import Place
from ungrok.study.statistics import Estimate
from ungrok.study.track import PLACE

CELL = ["attack", "setting", "dose"]
"""Columns that say how a model was attacked, and how far."""

ATTACKED = [*PLACE, "method", "place"]
"""Columns that name one attacked place of a path."""

SIDE = ["arm", "stage", "forget", "method", "place"]
"""The same without the seed."""

HALF = 0.5
"""Share of the original's UA at which forgetting counts as undone."""

Word = Literal["forgotten", "hidden", "undecided"]


def gaps(stress: pd.DataFrame) -> pd.DataFrame:
    """Return the rows of all models but the oracles, with ``oracle_UA`` and ``gap``: UA minus that of the oracle under the same attack.

    Args:
        stress: A study's table ``stress``. The oracle of a row is that of the same seed, arm, stage and forget split, under the
            same attack, setting and dose; rows without one have no gap. What this function has returned is returned as it is.

    """
    if "gap" in stress:
        return stress
    table = stress.assign(setting=stress["setting"].fillna(""))
    known = [*PLACE, *CELL]
    oracles = table[table["subject"] == "oracle"].drop_duplicates(known)[[*known, "UA"]]
    others = table[table["subject"] != "oracle"]
    both = others.merge(oracles.rename(columns={"UA": "oracle_UA"}), on=known, how="left")
    return both.assign(gap=both["UA"].astype(float) - both["oracle_UA"].astype(float))


def worst_gap(stress: pd.DataFrame, *, by_attack: bool = False) -> pd.DataFrame:
    """Return R: the largest gap to the oracle over all attacks, settings and doses.

    Args:
        stress: A study's table ``stress``.
        by_attack: Whether there is one number per attack instead, interpolation included.

    Returns:
        Per seed, arm, stage, forget split, method and place: ``gap``, and of the place where it is largest UA, attack, kind, setting and dose.

    """
    rows = gaps(stress)
    return _worst(rows[rows["subject"] == "unlearned"], by_attack=by_attack)


def floor(stress: pd.DataFrame, *, by_attack: bool = False) -> pd.DataFrame:
    """Return the worst gap between two oracles: the largest distance of their UA over the same attacks, settings and doses.

    R is a largest value, and so lies above zero by chance alone. The floor is computed in the same way, over the same attacks; it is the
    larger of what either oracle would score against the other. Only seeds with a second oracle have one.

    Args:
        stress: A study's table ``stress``.
        by_attack: As for :func:`worst_gap`.

    Returns:
        Per seed, arm, stage and forget split: ``floor``.

    """
    rows = gaps(stress)
    second = rows[rows["subject"] == "oracle_2"]
    worst = _worst(second.assign(gap=second["gap"].abs()), by_attack=by_attack)
    kept = [*PLACE, *(["attack"] if by_attack else [])]
    return worst.rename(columns={"gap": "floor"})[[*kept, "floor"]]


def _worst(rows: pd.DataFrame, *, by_attack: bool) -> pd.DataFrame:
    keys = [*ATTACKED, *(["attack"] if by_attack else [])]
    every = rows if by_attack else counting(rows)
    known = every[every["gap"].notna()]
    first = known.sort_values("gap", ascending=False, kind="stable").drop_duplicates(keys)
    kept = [*keys, "gap", "UA", *(name for name in ("attack", "kind", "setting", "dose") if name not in keys)]
    return first[kept].sort_values(keys, kind="stable", ignore_index=True)


def relearned(stress: pd.DataFrame) -> pd.DataFrame:
    """Return after how many updates of relearning UA is back at half of the original's, on forget examples that the attacker lacks.

    The fewest over all settings count, since an attacker may choose: rates, and shares of the forget set. Between the observed places UA is
    read from a straight line, for places lie far apart. Where no setting gets there, the number is the last that was tried, with finite
    numbers or without, and ``censored`` is true. A model that is there before any update has 0; every other has at least 1.

    Args:
        stress: A study's table ``stress``.

    Returns:
        Per seed, arm, stage, forget split, subject, and for unlearned models method and place: ``updates`` and ``censored``.

    """
    table = stress[stress["kind"] == "relearn"]
    table = table.assign(setting=table["setting"].fillna(""), updates=table["updates"].astype(float))
    cell = [*PLACE, "attack", "setting"]
    starts = table[(table["subject"] == "original") & (table["updates"] == 0)].drop_duplicates(cell)
    halves = starts[[*cell, "UA"]].rename(columns={"UA": "original_UA"})
    rows = table[table["subject"] != "original"].merge(halves, on=cell)
    keys = [*PLACE, "subject", "method", "place"]
    rows = rows.assign(last=rows.groupby(keys, dropna=False)["updates"].transform("max"))
    rows = rows[rows["UA"].notna()].sort_values("updates", kind="stable")
    half = HALF * rows["original_UA"].astype(float) - 1e-9
    rows = rows.assign(ua=rows["UA"].astype(float), half=half)
    before = rows.groupby([*keys, "attack", "setting"], dropna=False)[["updates", "ua"]].shift()
    share = (half - before["ua"]) / (rows["ua"] - before["ua"])
    between = before["updates"] + share * (rows["updates"] - before["updates"])
    # A place after the first that is back does not come from below, and its line means nothing; it lies later in any case.
    crossed = between.where(before["ua"] < half, rows["updates"]).clip(lower=1.0).where(rows["updates"] > 0, 0.0)
    rows = rows.assign(hit=crossed.where(rows["ua"] >= half))
    ends = rows.groupby(keys, dropna=False, sort=True).agg(hit=("hit", "min"), last=("last", "max")).reset_index()
    return ends.assign(updates=ends["hit"].fillna(ends["last"]), censored=ends["hit"].isna())[
        [*keys, "updates", "censored"]
    ]


@dataclass(frozen=True)
class Relearning:
    """Updates until forgetting is half undone.

    Args:
        updates: Their number; 0 where it is so from the start; where ``censored``, the last that was tried.
        censored: Whether no setting got there.

    """

    updates: float
    censored: bool


@dataclass(frozen=True)
class Attacked:
    """What the attacks on one place of a path gave.

    Args:
        gap: R, the worst gap to the oracle; None without an oracle.
        accuracy: UA where that gap is worst.
        floor: The worst gap between two oracles; None for seeds without a second one.
        single: The gap and the floor of each attack that counts, by its name.
        relearned: Of the model; None where nothing was relearned.
        oracle: The same of the oracle.

    """

    gap: float | None = None
    accuracy: float | None = None
    floor: float | None = None
    single: Mapping[str, tuple[float, float | None]] = field(default_factory=dict)
    relearned: Relearning | None = None
    oracle: Relearning | None = None


def attacked(stress: pd.DataFrame) -> dict[tuple[int, Place], dict[str, Attacked]]:
    """Return what the attacks gave, by seed and path, and then by the name of the place on the path as it stands in the table."""
    rows = gaps(stress)
    floors = {_key(row, PLACE): float(row["floor"]) for row in floor(rows).to_dict("records")}
    gap_of = {_key(row, ATTACKED): row for row in worst_gap(rows).to_dict("records")}
    single = _single(rows)
    models: dict[tuple[str, ...], Relearning] = {}
    oracles: dict[tuple[str, ...], Relearning] = {}
    for row in relearned(stress).to_dict("records"):
        own = Relearning(float(row["updates"]), bool(row["censored"]))
        if row["subject"] == "unlearned":
            models[_key(row, ATTACKED)] = own
        elif row["subject"] == "oracle":
            oracles[_key(row, PLACE)] = own
    every: dict[tuple[int, Place], dict[str, Attacked]] = {}
    for key in dict.fromkeys([*gap_of, *models]):
        worst, side = gap_of.get(key), key[: len(PLACE)]
        gap, accuracy = (None, None) if worst is None else (float(worst["gap"]), float(worst["UA"]))
        here = Attacked(gap, accuracy, floors.get(side), single.get(key, {}), models.get(key), oracles.get(side))
        seed, *place, where = key
        every.setdefault((int(seed), Place(*place)), {})[where] = here
    return every


def _single(stress: pd.DataFrame) -> dict[tuple[str, ...], dict[str, tuple[float, float | None]]]:
    """Return by attacked place the gap and the floor of each attack that counts."""
    floors = {
        _key(row, [*PLACE, "attack"]): float(row["floor"]) for row in floor(stress, by_attack=True).to_dict("records")
    }
    every: dict[tuple[str, ...], dict[str, tuple[float, float | None]]] = {}
    for row in counting(worst_gap(stress, by_attack=True)).to_dict("records"):
        two = floors.get(_key(row, [*PLACE, "attack"]))
        every.setdefault(_key(row, ATTACKED), {})[str(row["attack"])] = float(row["gap"]), two
    return every


def counting(rows: pd.DataFrame) -> pd.DataFrame:
    """Return the rows whose attack is part of R; see :attr:`ungrok.audits.base.StressTest.counts`."""
    return rows[~rows["kind"].isin(apart())]


def apart() -> list[str]:
    """Return the kinds of attacks that are no part of R."""
    return [kind for kind in STRESS_TESTS.names() if not STRESS_TESTS.get(kind).counts]


def _key(row: Mapping[Any, Any], names: list[str]) -> tuple[str, ...]:
    return tuple(str(row[name]) for name in names)


def standings(
    worst: pd.DataFrame, floors: pd.DataFrame, alpha: float = 0.05, *, by_attack: bool = False, paired: bool = False
) -> pd.DataFrame:
    """Return, per method and side, the mean of R beside that of the floor, each with its interval over seeds, and a word.

    The intervals of R hold together over all rows that are given, and so do those of the floor. *forgotten*: R's interval ends at or below the upper end of the floor's;
    *hidden*: it begins above that; else *undecided*, and wherever fewer than six seeds have an R or a floor, or the
    floor's interval has no upper end.

    Args:
        worst: Rows of :func:`worst_gap`.
        floors: Of :func:`floor`.
        alpha: One minus the level of the intervals.
        by_attack: Whether both hold one number per attack.
        paired: Whether seeds 2k and 2k + 1 are one unit of inference.

    Returns:
        Per arm, stage, forget split, method and place, and per ``attack`` where asked for: ``seeds``, ``gap``, ``low``, ``high``,
        ``floor_seeds``, ``floor``, ``floor_low``, ``floor_high``, ``word``.

    """
    keys, own_floor = ([*SIDE, "attack"], [*SIDE[:3], "attack"]) if by_attack else (SIDE, SIDE[:3])
    seeds = sorted(set(worst["seed"]) | set(floors["seed"]))
    sides = list(worst.groupby(keys, sort=True))
    above = interval_of([_by_unit(side, "gap", seeds, paired=paired) for _, side in sides], alpha)
    of_floor = {
        tuple(key): _by_unit(side, "floor", seeds, paired=paired) for key, side in floors.groupby(own_floor, sort=True)
    }
    between = dict(zip(of_floor, interval_of(list(of_floor.values()), alpha), strict=True))
    table = []
    for (key, _), own in zip(sides, above, strict=True):
        where = dict(zip(keys, key, strict=True))
        two = between.get(tuple(where[name] for name in own_floor))
        table.append(
            where
            | {"seeds": own.n, "gap": own.effect, "low": own.low, "high": own.high}
            | {"floor_seeds": two.n if two else 0, "floor": two.effect if two else np.nan}
            | {"floor_low": two.low if two else np.nan, "floor_high": two.high if two else np.nan}
            | {"word": word(own, two)}
        )
    names = [*keys, "seeds", "gap", "low", "high", "floor_seeds", "floor", "floor_low", "floor_high", "word"]
    return pd.DataFrame(table, columns=names)


def over_attacks(whole: pd.DataFrame, single: pd.DataFrame) -> pd.DataFrame:
    """Return the standings over all attacks, with the word that follows from each attack against its own floor.

    An attack that breaks every model makes two oracles differ by nearly everything. Against a floor that holds it, no other attack could
    show anything; see :func:`together`.

    Args:
        whole: What :func:`standings` returns for R over all attacks.
        single: The same attack by attack, its intervals holding together over all of them.

    Returns:
        ``whole``, with ``word`` and, where that is *hidden*, ``shown_by``: the attack whose R lies farthest above its floor.

    """
    table = []
    for row in whole.to_dict("records"):
        here = single[np.logical_and.reduce([single[name] == row[name] for name in SIDE])]
        shown = here[here["word"] == "hidden"]
        above = (shown["low"] - shown["floor_high"]).to_numpy()
        shown_by = None if shown.empty else str(shown["attack"].iloc[int(above.argmax())])
        table.append(row | {"word": together(here["word"]), "shown_by": shown_by})
    return pd.DataFrame(table, columns=[*whole.columns, "shown_by"])


def standings_of(
    stress: pd.DataFrame, chosen: Callable[[pd.DataFrame], pd.DataFrame], alpha: float, *, paired: bool = False
) -> tuple[pd.DataFrame, pd.DataFrame]:
    """Return the standings over all attacks, as :func:`over_attacks` gives them, and those attack by attack.

    Args:
        stress: A study's table ``stress``.
        chosen: Returns, of the rows of :func:`worst_gap`, those on the sides and at the places that are asked for.
        alpha: One minus the level of the intervals.
        paired: Whether seeds 2k and 2k + 1 are one unit of inference.

    """
    rows = gaps(stress)
    each, every = worst_gap(rows, by_attack=True), worst_gap(rows)
    floors = floor(rows, by_attack=True)
    single = standings(chosen(counting(each)), floors, alpha, by_attack=True, paired=paired)
    return over_attacks(standings(chosen(every), floor(rows), alpha, paired=paired), single), single


def together(words: Iterable[Word]) -> Word:
    """Return the word over several attacks: *hidden* by one at least, or *forgotten* by every one; else *undecided*."""
    every = set(words)
    return "hidden" if "hidden" in every else "forgotten" if every == {"forgotten"} else "undecided"


def _by_unit(rows: pd.DataFrame, name: str, seeds: list[int], *, paired: bool) -> np.ndarray:
    """Return the values of the seeds, or the means of swapped pairs of seeds, NaN where one is missing."""
    own = rows.set_index("seed")[name].astype(float)
    if not paired:
        return own.reindex(seeds).to_numpy()
    firsts = sorted({seed - seed % 2 for seed in seeds})
    return np.array([own.reindex([first, first + 1]).mean(skipna=False) for first in firsts], dtype=float)


def interval_of(rows: list[np.ndarray], alpha: float) -> list[Estimate]:
    """Return the mean of each row over seeds with simultaneous intervals; values by seed of the study, NaN where there is none."""
    return family([Differences(row) for row in rows], len(rows[0]), alpha) if rows else []


def word(worst: Estimate | None, two: Estimate | None) -> Word:
    """Return the word for R, given the floor between two oracles; see :func:`standings`."""
    if worst is None or two is None or min(worst.n, two.n) < FEWEST or two.high == np.inf:
        return "undecided"
    if worst.high <= two.high:
        return "forgotten"
    return "hidden" if worst.low > two.high else "undecided"
