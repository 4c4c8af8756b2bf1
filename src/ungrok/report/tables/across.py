"""Tables over studies: the studies, what each says, and what claims come to over all settings."""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence

from ungrok.report.across import Question, Tally
from ungrok.report.evidence import Evidence
from ungrok.report.format import MISSING, estimate, fixed, interval, number, unit_of
from ungrok.report.tables.table import Cell, Row, Table, reason
from ungrok.report.tables.verdicts import HEADS, net_wins, verdict_cell
from ungrok.study.claims import Effect
from ungrok.study.verdict_file import FiledVerdict

READ = "Above × 1 and above 0 agrees with the paper: the later side needs, loses or spreads less."


def title(question: Question) -> str:
    """Return what a question is about, for instance ``updates at the same rate``."""
    text = HEADS.get((question.claim, question.reading), (question.claim.replace("_", " "),))[0]
    return text.replace("updates", "strength") if question.unit.endswith(" strength") else text


def studies(every: Sequence[Evidence]) -> Table:
    """Return what the studies were made with."""
    how = "What the evidence was made with. Transitions are those of the first arm, counted in seeds."
    columns = ["recipe", "seeds", "transitioned", "judged on", "by commit", "on", "recipe hash"]
    rows: list[Row] = [
        [one.recipe, str(len(one.seeds)), transitioned(one), one.date or MISSING, (one.commit or MISSING)[:8],
         f"{one.device}: {one.hardware}", one.hash]
        for one in every
    ]  # fmt: skip
    return Table("Studies", how, columns, rows)


def transitioned(one: Evidence) -> str:
    """Return how many seeds of the first arm transitioned, for instance ``8 of 10``."""
    own = next(iter(one.transitions.values()), {})
    return f"{own.get('grokked', 0)} of {sum(own.values())}" if own else MISSING


def as_effect(value: float | None, question: Question) -> Effect:
    """Return a number in the unit of a question as an effect."""
    like = question.settings[0].rows[0].as_effect
    return Effect(value, unit=like.unit, scale=like.scale)


def spread_of(tally: Tally, question: Question) -> list[str]:
    """Return the median effect over settings, its range, and the standard deviation between settings; of ratios a factor."""
    spread = tally.spread
    if not spread["settings"]:
        return [MISSING] * 3
    middle, least, largest = (estimate(as_effect(spread[name], question)) for name in ("median", "least", "largest"))
    return [middle, f"{least} to {largest}", deviation(spread["sd"], question)]


def deviation(sd: float | None, question: Question) -> str:
    """Return a standard deviation between settings; that of log ratios as a factor."""
    like = as_effect(sd, question)
    if sd is None:
        return MISSING
    if like.scale == "log ratio":
        return f"factor {number(math.exp(sd), 2)}"
    return fixed(100 * sd, 1) if like.unit == "accuracy" else number(sd)


def summary(questions: Sequence[Question]) -> Iterator[Table]:
    """Yield, for questions counted in ratios and for others, in how many settings they hold and how far effects lie apart."""
    how = (
        f"Settings are recipe, forget split and family of methods, counted by their word; the last columns are over those that were judged. {READ} "
        "The standard deviation is that between settings; there is no pooled effect."
    )
    for name, ratios in (("ratios", True), ("differences", False)):
        own = [one for one in questions if (as_effect(None, one).scale == "log ratio") == ratios]
        rows: list[Row] = [
            [title(one), *_counts(one.whole), *spread_of(one.whole, one), ", ".join(one.decided_by) or MISSING]
            for one in own
        ]
        unit = "" if ratios else f", {unit_of(as_effect(None, own[0]))}" if own else ""
        columns = ["question", "supported", "refuted", "mixed", "open", "exploratory", f"median{unit}", "range",
                   "sd between", "turned by leaving out"]  # fmt: skip
        if own:
            yield Table(f"Over all settings: {name}", how, columns, rows)


def _counts(tally: Tally) -> list[str]:
    return [str(count) for count in tally.counts.values()]


def without(question: Question) -> Table | None:
    """Return what is left of a question without each recipe in turn; None where there is one recipe only."""
    rows: list[Row] = [[name, *_counts(rest), *spread_of(rest, question)] for name, rest in question.without.items()]
    columns = ["without", "supported", "refuted", "mixed", "open", "exploratory", "median", "range", "sd between"]
    how = "What the other recipes say when one is left out, counted in settings."
    return Table(f"{title(question)}, without each recipe in turn", how, columns, rows) if rows else None


def rows_of(question: Question, every: Mapping[str, Evidence]) -> Table:
    """Return every row of a question."""
    unit = unit_of(as_effect(None, question))
    columns = ["recipe", "forgetting", "family", "method", "compared", unit, "interval", "seeds", "word", "note"]
    rows: list[Row] = []
    for setting in question.settings:
        study = every[setting.recipe]
        for row in setting.rows:
            names = [study.called(setting.forget), setting.family, study.called(row.setting.method)]
            effect = row.as_effect
            notes = "; ".join([*(note.text for note in row.notes), *net_wins(effect, row.as_wins)])
            rows.append([
                setting.recipe, *names, study.called(row.comparison), estimate(effect), interval(effect), str(row.n_seeds),
                Cell((row.verdict,), row.verdict), *reason(notes or MISSING),
            ])  # fmt: skip
    return Table(title(question), READ, columns, rows, keys=5)


def of_study(one: Evidence) -> Iterator[Table]:
    """Yield what a study says, a table per forget split: a row a method, a column a question."""
    how = f"Word, effect and interval. {READ} Ratios are earlier ÷ later; pp are percentage points."
    for comparison, forget in dict.fromkeys((row.comparison, row.setting.forget) for row in one.verdicts):
        own = [row for row in one.verdicts if (row.comparison, row.setting.forget) == (comparison, forget)]
        keys = list(dict.fromkeys((row.claim, row.reading) for row in sorted(own, key=_order)))
        heads = [HEADS.get(key, (key[0].replace("_", " "),))[0] for key in keys]
        cells = {(row.setting.method, row.claim, row.reading): row for row in own}
        methods = dict.fromkeys(row.setting.method for row in own)
        rows: list[Row] = [
            [one.called(method), *(_cell(cells.get((method, *key))) for key in keys)] for method in methods
        ]
        how = f"Word, effect and interval. {READ} Ratios are earlier ÷ later; pp are percentage points."
        yield Table(f"{one.called(comparison)}, forgetting {one.called(forget)}", how, ["method", *heads], rows)
        how = "Read as the table above."


def _order(row: FiledVerdict) -> int:
    keys = list(HEADS)
    return keys.index((row.claim, row.reading)) if (row.claim, row.reading) in keys else len(keys)


def _cell(row: FiledVerdict | None) -> str | Cell:
    if row is None:
        return MISSING
    effect = row.as_effect
    unit = "\N{NO-BREAK SPACE}pp" if effect.scale == "difference" and effect.unit == "accuracy" else ""
    return verdict_cell(row.verdict, effect, row.as_wins, row.notes[0].text if row.notes else "", unit)
