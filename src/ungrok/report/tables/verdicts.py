"""Tables of verdicts: the headline family, a row a method, and every verdict under its claim."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ungrok.core.errors import spoken
from ungrok.report.format import MISSING, POINTS, estimate, interval, p_value, plural, unit_of
from ungrok.report.tables.table import Cell, Row, Table, reason
from ungrok.report.view import View
from ungrok.study.claims import WORDS, Claim, Effect, Verdict, Wins, Word, every_claim, place_name
from ungrok.study.claims.efficiency import READINGS
from ungrok.study.names import metric_name
from ungrok.study.place import Comparison
from ungrok.study.units import units_of

Key = tuple[str, str]
"""Kind of a claim, and its reading."""

HEADS: dict[Key, tuple[str, str]] = {
    ("efficiency", "same_rate"): ("updates at the same rate", "updates, same rate"),
    ("efficiency", "own_rate"): ("updates at its own rate", "updates, own rate"),
    ("efficiency", "distance"): ("distance moved", "distance moved"),
    ("efficiency", "lasting"): ("updates until forgetting lasts", "updates, lasting"),
    ("collateral", ""): ("damage beyond the oracle", "damage"),
    ("collateral", "lasting"): ("price of lasting forgetting", "price of lasting"),
    ("stability", ""): ("spread of damage over seeds", "spread"),
    ("oracle_gap", ""): ("change of the oracle gap", "oracle gap"),
    ("beyond_oracle", ""): ("left beyond the oracle at the matched dose", "left beyond the oracle"),
    ("extraction", "forget"): (
        "extraction of forgotten pairs left beyond the oracle at the matched dose",
        "extraction left",
    ),
    ("extraction", "retain"): ("extraction of retained pairs lost beyond the oracle", "extraction lost"),
    ("durability", "relearning"): ("speed of relearning, the oracle's divided out", "relearning"),
    ("durability", "attacks"): ("worst gap under attack", "worst gap"),
}
"""What the rows of the headline family are about, by claim and reading: in a head, and where there is little room."""


def headline_verdicts(view: View) -> list[Verdict]:
    """Return the verdicts of the headline family."""
    return [v for v in view.verdicts if v.headline]


def briefly(verdict: Verdict) -> str:
    """Return what a row of the headline family is about, for instance ``updates, same rate``."""
    if verdict.metric == "strength":
        return "strength"
    title = verdict.claim.title
    return HEADS.get(_key(verdict), (title, title))[1]


def net_wins(effect: Effect, wins: Wins | None) -> list[str]:
    """Return in how many more pairs the later side needs fewer updates, of all pairs.

    Nothing where every path reached its target: a ratio then says everything.
    """
    if wins is None or effect.cut_at is None:
        return []
    return [f"net wins {f'{wins.net:+d}'.replace('-', '−') if wins.net else '0'} of {sum(wins)}"]


def _key(verdict: Verdict) -> Key:
    return verdict.claim.kind, verdict.reading


def headline(view: View) -> Iterator[Table]:
    """Yield a table per comparison and forget split of the headline family: a row a method."""
    family = headline_verdicts(view)
    how = (
        "Each cell holds the word, the effect and its interval. Above × 1 and above 0 agrees with the paper: the later side needs, "
        "loses, spreads or gives back less. The intervals hold together: the chance that any of them misses is what this look at the study may spend."
    )
    for comparison in dict.fromkeys(v.comparison for v in family):
        yield _headline(view, comparison, [v for v in family if v.comparison == comparison], how)
        how = "Read as the table above."


def _headline(view: View, comparison: Comparison, own: Sequence[Verdict], how: str) -> Table:
    cells = {(v.method, *_key(v)): v for v in own}
    order = [claim.kind for claim in every_claim()]
    keys = sorted(dict.fromkeys(map(_key, own)), key=lambda key: order.index(key[0]))
    heads = [_head(key, [v for v in own if _key(v) == key]) for key in keys]
    rows: list[Row] = []
    for method in dict.fromkeys(v.method for v in own):
        row: Row = [view.names.method(method)]
        for key in keys:
            verdict = cells.get((method, *key))
            row += [_cell(verdict)] if verdict else _without(view, method, key)
        seeds = [v.n_seeds for v in own if v.method == method and v.n_seeds] or [0]
        rows.append([*row, " to ".join(dict.fromkeys(map(str, (min(seeds), max(seeds)))))])
    place = next((verdict.at for verdict in own if verdict.at.kind != "dose"), own[0].at)
    title = f"{view.names.comparison(comparison)}, forgetting {view.names.splits(comparison)}, at {place_name(place)}"
    return Table(title, how, ["method", *heads, units_of(view.recipe).noun], rows)


def _cell(verdict: Verdict) -> Cell:
    short = verdict.notes[0].short if verdict.notes else ""
    return verdict_cell(verdict.word, verdict.effect, verdict.wins, short)


def _head(key: Key, own: Sequence[Verdict]) -> str:
    """Return the head of a column, with its unit: ratios have none, so updates and strengths may stand together."""
    effect, title = own[0].effect, own[0].claim.title
    text, _ = HEADS.get(key, (title, title))
    if effect.scale == "log ratio":
        return f"{text}, earlier ÷ later"
    return f"{text}, {POINTS}, earlier − later"


def _without(view: View, method: str, key: Key) -> Row:
    """Return the cell of a method that has no row for a column, with the reason where one is known."""
    unlearner = next(one for one in view.recipe.unlearn if one.label == method)
    if unlearner.self_stopping and key[0] == "efficiency":
        return reason("stops by itself")
    return reason("no rate searched") if key == ("efficiency", "own_rate") else [MISSING]


def verdict_cell(word: Word, effect: Effect, wins: Wins | None, reason_for_none: str, unit: str = "") -> Cell:
    """Return the cell of a verdict: its word, effect with what follows it, interval, and net wins; without an effect the reason."""
    if effect.value is None:
        return Cell((word, reason_for_none), word, reason=True)
    return Cell((word, estimate(effect) + unit, interval(effect), *net_wins(effect, wins)), word)


def all_verdicts(view: View, later: str) -> Iterator[Table]:
    """Yield, per claim and unit, the table of its verdicts; ``later`` is what the later side is called."""
    for claim in every_claim():
        own = [v for v in view.verdicts if v.claim == claim]
        for unit in dict.fromkeys(unit_of(v.effect) for v in own):
            yield _of_claim(view, claim.sentence(later), claim, unit, [v for v in own if unit_of(v.effect) == unit])


def _of_claim(view: View, sentence: str, claim: Claim, unit: str, own: Sequence[Verdict]) -> Table:
    words = [v.word for v in own]
    counts = spoken([f"{words.count(word)} {word}" for word in WORDS if word in words])
    several = [len({c.label for c in view.comparisons}) > 1, len({c.forgets for c in view.comparisons}) > 1]
    named = [name for name, shown in zip(("comparison", "forget split"), several, strict=True) if shown]
    columns = [*named, "method", "metric", "at", unit or "effect", "interval", "seeds", "p", "word", "note"]
    rows = [_verdict_row(view, v, several) for v in own]
    title = f"{claim.title}: {unit}" if unit else claim.title
    return Table(title, f"{sentence} {plural(len(own), 'row')}: {counts}.", columns, rows, keys=len(named) + 3)


def _verdict_row(view: View, v: Verdict, several: Sequence[bool]) -> Row:
    places = (view.names.comparison(v.comparison), view.names.splits(v.comparison))
    metric = metric_name(v.metric)
    return [
        *(name for name, shown in zip(places, several, strict=True) if shown),
        view.names.method(v.method),
        f"{metric}, {READINGS[v.reading]}" if v.reading in READINGS and v.reading != "distance" else metric,
        place_name(v.at),
        estimate(v.effect),
        interval(v.effect),
        str(v.n_seeds),
        p_value(v.p_value),
        Cell((v.word,), v.word),
        *reason("; ".join(filter(None, [v.note, *net_wins(v.effect, v.wins)])) or MISSING),
    ]
