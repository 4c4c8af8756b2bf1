"""Tables of verdicts: the headline, and every verdict under its claim."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from ungrok.report.format import MISSING, factor, in_unit, interval, measure, p_value, restriction
from ungrok.report.tables.table import Cell, Row, Table
from ungrok.report.view import View
from ungrok.study.claims import WORDS, Claim, Verdict, Word, every_claim


def headline_verdicts(view: View) -> list[Verdict]:
    """Return the verdicts of the headline family."""
    return [v for v in view.verdicts if v.headline]


def class_like(view: View) -> list[str]:
    """Return the forget splits made of classes, or all where there is none."""
    labels = [rule.label for rule in view.recipe.forget if rule.of_classes]
    return labels or view.recipe.forget_labels()


def stage_pairs(view: View) -> list[str]:
    """Return the comparisons of two stages of one training, or all where there is none: controls answer another question."""
    every = {comparison.label: comparison.sides for comparison in view.comparisons}
    plain = [
        label
        for label, (left, right) in every.items()
        if left.arm == right.arm and not {str(left.stage), str(right.stage)} & view.recipe.controls.keys()
    ]
    return plain or list(every)


def answer(view: View) -> dict[Claim, dict[Word, int]]:
    """Return, per claim, how many verdicts of stage pairs at the primary setting on class-like splits were of each kind."""
    splits, pairs = class_like(view), stage_pairs(view)
    shown = [v for v in headline_verdicts(view) if v.comparison.left_forget in splits and v.comparison.label in pairs]
    words = {claim: [v.word for v in shown if v.claim == claim] for claim in every_claim()}
    return {claim: {word: own.count(word) for word in WORDS} for claim, own in words.items() if own}


def headline(view: View) -> Iterator[Table]:
    """Yield a table per comparison and forget split of the headline family: a row a method."""
    shown = headline_verdicts(view)
    for comparison in dict.fromkeys(v.comparison for v in shown):
        here = {(v.method, v.claim, v.reading): v for v in shown if v.comparison == comparison}
        methods = list(dict.fromkeys(method for method, _, _ in here))
        keys = [
            (claim, reading)
            for claim in every_claim()
            for reading in dict.fromkeys(r for _, c, r in here if c == claim)
        ]
        rows = [[method, *(_verdict_cell(here.get((method, *key))) for key in keys)] for method in methods]
        groups = [("", 1), *((claim.title, n) for claim, n in Counter(claim for claim, _ in keys).items())]
        how = "Each cell holds the verdict, the effect and its interval for one method; a positive effect agrees with the paper."
        title = f"{comparison.label}, forget split {comparison.forget}"
        yield Table(title, how, ["method", *(reading.replace("_", " ") for _, reading in keys)], rows, groups=groups)


def _verdict_cell(verdict: Verdict | None) -> str | Cell:
    if verdict is None:
        return MISSING
    word, effect = verdict.word, verdict.effect
    if effect.value is None:
        return Cell((word, verdict.notes[0].short if verdict.notes else ""), word)
    counted = effect.unit if effect.cut_at is not None else ""
    extra = [text for text in (factor(effect) or counted, restriction(effect)) if text]
    return Cell((word, in_unit(effect.value, effect), interval(effect), *extra), word)


COLUMNS = [
    *("comparison", "forget split", "method", "metric", "at"),
    *("effect", "interval", "unit", "n", "p", "verdict", "note"),
]


def all_verdicts(view: View) -> Iterator[tuple[str, Table]]:
    """Yield, per claim, its counts and the table of its verdicts."""
    for claim in every_claim():
        own = [v for v in view.verdicts if v.claim == claim]
        if own:
            words = [v.word for v in own]
            counts = ", ".join(f"{words.count(word)} {word}" for word in WORDS)
            yield counts, Table(claim.title, claim.sentence(), COLUMNS, [_verdict_row(v) for v in own], keys=5)


def _verdict_row(v: Verdict) -> Row:
    names: list[str] = [v.comparison.label, v.comparison.forget, v.method, v.metric, str(v.at)]
    factors = (factor(v.effect),) if factor(v.effect) else ()
    effect = Cell((in_unit(v.effect.value, v.effect), *factors))
    return [
        *names,
        effect,
        interval(v.effect),
        measure(v.effect),
        str(v.n_seeds),
        p_value(v.p_value),
        Cell((v.word,), v.word),
        v.note,
    ]
