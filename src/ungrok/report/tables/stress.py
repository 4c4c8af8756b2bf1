"""Tables of attacks after unlearning: R of every method, attack and stage with its word, updates of relearning, barriers, and what attacks cost."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import numpy as np
import pandas as pd

from ungrok.core.errors import spoken
from ungrok.report.attacks import SERIES, Attacks, Series
from ungrok.report.format import MISSING, bracketed, fixed, mean_sd, median_range, missing, number
from ungrok.report.tables.table import Cell, Row, Table, reason
from ungrok.report.view import Reach
from ungrok.study.claims import where_name
from ungrok.study.stress import relearned

WORDS = (
    "forgotten: its interval ends at or below the upper end of that of the floor, the same number between two oracles; hidden: it begins above; "
    "else undecided, and always with fewer than six seeds. Over all attacks: hidden by one attack at least, or forgotten by every one"
)


def stress_tables(attacks: Attacks) -> Iterator[Table]:
    """Yield every table of attacks; none where nothing was attacked."""
    if attacks.table.empty:
        return
    yield from worst_gaps(attacks)
    yield from relearning(attacks)
    yield from barriers(attacks)
    yield costs(attacks)


def worst_gaps(attacks: Attacks) -> Iterator[Table]:
    """Yield one table per forget split: R of every method and stage, over all attacks and attack by attack."""
    names, counting = attacks.view.names, attacks.counting
    shown = ["", *counting] if len(counting) > 1 else counting
    known = {
        (*(row[name] for name in ("arm", "stage", "forget", "method")), row["attack"]): row
        for row in attacks.standings.to_dict("records")
    }
    for forget in attacks.view.recipe.forget_labels():
        rows: list[Row] = []
        for method in attacks.methods:
            for series in attacks.series:
                cells = [known.get((*series, method, attack)) for attack in shown]
                there = attacks.strongest(series, method, counting[0]) if counting else None
                if series[2] == forget and there:
                    own = [_standing(cell) for cell in cells] if any(cells) else reason("no oracle", len(cells))
                    rows.append([names.method(method), names.series(*series[:2]), *own])
        if rows:
            yield Table(
                f"Worst gap to the oracle under attack, forgetting {names.forget(forget)}",
                f"R is the largest UA of the unlearned model less that of the oracle under the same attack, over all attacks, settings and doses; each attack has it by itself "
                f"beside. Means over seeds with intervals that hold together, read at {_places(attacks)}. {WORDS[0].upper()}{WORDS[1:]}. "
                "Walks to other models do not count: they end where knowledge is brought along.",
                ["method", "stage", *(attacks.name(attack) if attack else "R, all attacks" for attack in shown)],
                rows,
                keys=2,
            )


def _places(attacks: Attacks) -> str:
    return spoken(dict.fromkeys(where_name(names[0]) for names in attacks.places.values()))


def _standing(row: Mapping[Any, Any] | None) -> str | Cell:
    """Return the word, R with its interval, and the floor with its own."""
    if row is None:
        return MISSING
    word, low, high = row["word"], row["floor_low"], row["floor_high"]
    floor = "no floor" if missing(row["floor"]) else f"floor {fixed(row['floor'], 2)} {_interval(low, high)}"
    return Cell((word, f"{fixed(row['gap'], 2)} {_interval(row['low'], row['high'])}", floor), word)


def _interval(low: float, high: float) -> str:
    """Return an interval of accuracies; ends without a bound are infinite."""
    return bracketed(*(fixed(end, 2) if np.isfinite(end) else number(end) for end in (low, high)))


def _where(rows: pd.DataFrame, values: Mapping[str, str]) -> pd.DataFrame:
    """Return the rows that have these values, by column."""
    return rows[np.logical_and.reduce([rows[name] == value for name, value in values.items()])]


def relearning(attacks: Attacks) -> Iterator[Table]:
    """Yield one table: updates of relearning until half of what the original knew is back, of each method and of the oracle."""
    times = relearned(attacks.table)
    if times.empty:
        return
    names, rows = attacks.view.names, []
    for method in attacks.methods:
        for series in attacks.series:
            own = _times(times, series, "unlearned", method, attacks.places[method][0])
            if own.n:
                oracle = _times(times, series, "oracle", "", "")
                key = [names.method(method), names.series(*series[:2]), names.forget(series[2])]
                rows.append([*key, *_relearned(own), *_relearned(oracle)])
    yield Table(
        "Updates to relearn half",
        "Updates of relearning until UA on forgotten examples that the attacker does not hold is back at half of the original's; the fewest over all "
        f"settings count. Median over seeds with range; > where it was not back by the last update. Read at {_places(attacks)}. “At once” counts the models that are there before any update.",
        ["method", "stage", "forgetting", "updates", "not back", "at once", "updates", "not back", "at once"],
        rows,
        keys=3,
        groups=[("", 3), ("unlearned", 3), ("oracle", 3)],
    )


def _times(times: pd.DataFrame, series: Series, subject: str, method: str, place: str) -> Reach:
    """Return when the models of one side were relearned."""
    own = _where(
        times, dict(zip([*SERIES, "subject", "method", "place"], (*series, subject, method, place), strict=True))
    )
    reached = own[~own["censored"].astype(bool)]
    by_seed = dict(zip(reached["seed"].astype(int), reached["updates"].astype(float), strict=True))
    return Reach(by_seed, len(own) - len(reached), 0, 0, float(own["updates"].max()))


def _relearned(times: Reach) -> Row:
    if not times.n:
        return [*reason("no oracle", 3)]
    at_once = sum(updates == 0 for updates in times.times.values())
    return [Cell((times.median(), times.range())), f"{times.censored} of {times.n}", f"{at_once} of {times.n}"]


def barriers(attacks: Attacks) -> Iterator[Table]:
    """Yield one table: barriers of the loss on the way to the original and to the oracle; none without such walks."""
    walks = list(attacks.table.loc[attacks.table["barrier_retain"].notna(), "attack"].unique())
    names, rows = attacks.view.names, list[Row]()
    table = attacks.table[attacks.table["attack"].isin(walks) & (attacks.table["subject"] == "unlearned")]
    for method in attacks.methods:
        own = table[(table["method"] == method) & (table["place"] == attacks.places[method][0])]
        for series in attacks.series:
            here = _where(own, dict(zip(SERIES, series, strict=True)))
            if len(here):
                cells = [Cell(mean_sd(_barrier(here, walk, on))) for walk in walks for on in ("forget", "retain")]
                rows.append([names.method(method), names.series(*series[:2]), names.forget(series[2]), *cells])
    if rows:
        yield Table(
            "Barriers of the loss on straight ways to other models",
            "The most by which the loss between two models lies above the line through their losses, mean ± standard deviation over seeds. About 0 says "
            f"that both lie in one basin, so that a few updates may lead from one to the other. Read at {_places(attacks)}.",
            ["method", "stage", "forgetting", *["forgotten data", "retained data"] * len(walks)],
            rows,
            keys=3,
            groups=[("", 3), *((attacks.name(walk), 2) for walk in walks)],
        )


def _barrier(rows: pd.DataFrame, walk: str, on: str) -> list[float]:
    """Return the barrier of each seed, which stands in every row of its walk."""
    first = rows[rows["attack"] == walk].drop_duplicates("seed")
    return [float(value) for value in first[f"barrier_{on}"]]


def costs(attacks: Attacks) -> Table:
    """Return what each attack costs: settings, updates, seconds."""
    seconds = attacks.view.results.timings.set_index("key")["seconds"].astype(float)
    jobs: dict[str, list[str]] = {}
    for one in attacks.view.plan.stress:
        jobs.setdefault(one.attack, []).append(one.rows)
    rows: list[Sequence[str | Cell]] = []
    for attack in attacks.attacks:
        own = attacks.table[attacks.table["attack"] == attack]
        longest = own.groupby("setting")["updates"].max().fillna(0).astype(int)
        taken = seconds.reindex(jobs.get(attack, [])).dropna().tolist()
        places = own.drop_duplicates(["setting", "dose"])
        updates = [f"{longest.max():,}", f"{longest.sum():,}"] if longest.max() else ["none", "none"]
        rows.append(
            [
                attacks.name(attack),
                str(len(longest)),
                str(len(places)),
                *updates,
                median_range(taken),
                f"{len(jobs.get(attack, [])):,}",
            ]
        )
    return Table(
        "Cost of each attack",
        "Per attacked model: settings of the grid, places at which it is read, optimizer updates of the longest setting and of all together, and seconds "
        "(median and range over models).",
        ["attack", "settings", "places", "updates", "updates, all settings", "seconds", "models"],
        rows,
    )
