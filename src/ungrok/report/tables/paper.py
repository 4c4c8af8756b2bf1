"""Studies beside the paper: a row per table and figure, the rows of studies that it rests on, and accuracies as the paper prints them."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from math import inf

import numpy as np

from ungrok.recipes import shipped
from ungrok.report.evidence import Evidence
from ungrok.report.evidence_numbers import FiledEnd, FiledMeasure
from ungrok.report.format import MISSING, bracketed, estimate, fixed, interval, number, plural, shown
from ungrok.report.paper import beside
from ungrok.report.paper_words import PARTS, Judged, rows_of, said, studies_of
from ungrok.report.tables.table import Row, Table
from ungrok.report.tables.verdicts import HEADS
from ungrok.study.names import metric_name
from ungrok.study.recipe_blocks import Side
from ungrok.study.verdict_file import FiledVerdict

LISTED = 3
"""Rows with a word that are listed one by one; of more, their median and range are given."""

ACCURACIES = ("TA", "RA", "UA")

STRENGTHS = ("ES_retain", "ES_forget")


def name_of(table: str) -> str:
    """Return the name of a table or figure, for instance ``Table 1``."""
    kind = table.rstrip("0123456789")
    return f"{kind.capitalize()} {table.removeprefix(kind)}"


def beside_paper(every: Sequence[Evidence]) -> Table:
    """Return a row per table and figure of the paper: what it says, and whether what ran here agrees."""
    how = (
        "Run on a CPU at a much smaller scale than the paper's. A part agrees where a row is supported and none refuted, contradicts where one is refuted "
        "and none supported, and is open elsewhere; the next table has the rows. The commands make a study and set its numbers beside the paper's."
    )
    rows: list[Row] = []
    for table, part in PARTS.items():
        cells = []
        for same in (True, False):
            studies = studies_of(table, every, same=same)
            names = f" ({', '.join(one.recipe for one in studies)})" if studies else ""
            cells.append(said([row for one in studies for row in rows_of(table, one)], len(studies)) + names)
        rows.append([name_of(table), f"{part.says} {part.instead}".strip(), *cells, command(table, every)])
    columns = ["part of the paper", "what it says", "on the paper's data", "on other data", "command"]
    return Table("The paper's tables and figures", how, columns, rows, keys=5)


def command(table: str, every: Sequence[Evidence]) -> str:
    """Return the commands that set a study beside a table or figure: of one that ran, or else of the first recipe that comes with the package."""
    ran = [*studies_of(table, every, same=True), *studies_of(table, every, same=False)]
    known = [name for name in beside(table) if name in shipped()]
    small = [name for name in known if not name.startswith("paper/")]
    recipe = ran[0].recipe if ran else (small or known)[0]
    run = f"runs/{recipe.replace('/', '-')}"
    return f"`ungrok study {recipe} --out {run}`, `ungrok compare {run} --with paper:{table}`"


def rests(every: Sequence[Evidence]) -> Table:
    """Return, per table and figure and study beside it, what was read there and what it says."""
    how = (
        "Words count rows: methods, forget splits and, of measures, data. Up to three rows with a word are named, each with its effect and interval; of more, and of open rows, "
        "median and range of the effects and the outermost ends of their intervals. Above × 1 and above 0 agrees with the paper; measures are earlier → later, with the fall and its interval."
    )
    rows: list[Row] = []
    for table in PARTS:
        for same in (True, False):
            for one in studies_of(table, every, same=same):
                own = rows_of(table, one)
                data = one.scale.sentence if same else f"other data: {one.scale.sentence}"
                texts = list(_read(own, one)) + ([along(one)] if table == "figure1" else [])
                rows.append([name_of(table), one.recipe, data, said(own, 1), "; ".join(filter(None, texts)) or MISSING])
    return Table(
        "What these words rest on", how, ["part of the paper", "recipe", "made with", "word", "rows"], rows, keys=5
    )


def _read(own: Sequence[Judged], one: Evidence) -> Iterator[str]:
    """Yield, per claim and reading or measure, how many rows have which word, and those that have one."""
    groups: dict[str, list[Judged]] = {}
    for row in own:
        groups.setdefault(_title(row), []).append(row)
    for title, group in groups.items():
        parts = []
        for verdict, verb in (("supported", "agree"), ("refuted", "contradict")):
            rows = [row for row in group if row.verdict == verdict]
            if rows:
                parts.append(f"{len(rows)} of {len(group)} {verb}{'s' if len(rows) == 1 else ''} ({_shown(rows, one)})")
        rows = [row for row in group if row.verdict == "inconclusive"]
        if rows:
            several = f"all {len(rows)}" if len(rows) == len(group) > 1 else f"{len(rows)}"
            parts.append(f"{several} open{_range(rows)}")
        count = sum(row.verdict == "exploratory" for row in group)
        yield f"{title}: {', '.join([*parts, *([f'{count} exploratory'] if count else [])])}"


def _title(row: Judged) -> str:
    if isinstance(row, FiledMeasure):
        return metric_name(row.measure)
    if row.setting.metric == "strength":
        return "strength at the same rate"
    return HEADS.get((row.claim, row.reading), (row.claim.replace("_", " "),))[0]


def _shown(rows: Sequence[Judged], one: Evidence) -> str:
    """Return rows one by one where they are few, else their range."""
    if len(rows) > LISTED:
        return _range(rows).strip(" ()")
    return "; ".join(f"{_named(row, one)} {_effect(row)}" for row in rows)


def _range(rows: Sequence[Judged]) -> str:
    """Return the effect of one row, or median and range of several, with the outermost ends of their intervals; empty where none has one."""
    known = [row for row in rows if row.effect is not None]
    if len(known) < 2:
        return f" ({_effect(known[0])})" if known else ""
    effects = [row.effect for row in known if row.effect is not None]
    lows, highs = zip(*map(_ends, known), strict=True)
    middle, least, largest, low, high = (
        _plain(value, known[0])
        for value in (float(np.median(effects)), min(effects), max(effects), min(lows), max(highs))
    )
    return f" (median {middle}, {least} to {largest}, intervals within {bracketed(low, high)})"


def _named(row: Judged, one: Evidence) -> str:
    """Return what tells a row from others of its study: method, data and what is forgotten, where there are several splits."""
    if isinstance(row, FiledVerdict):
        parts, forget = [one.called(row.setting.method)], row.setting.forget
    else:
        parts, forget = [f"on {row.on}", f"after {one.called(row.method)}" if row.method else ""], row.forget
    several = len({verdict.setting.forget for verdict in one.verdicts}) > 1
    return ", ".join(filter(None, [*parts, one.called(forget) if several else ""]))


def _effect(row: Judged) -> str:
    if isinstance(row, FiledVerdict):
        effect = row.as_effect
        unit = " points" if effect.scale == "difference" and effect.unit == "accuracy" else ""
        return f"{estimate(effect)}{unit} {interval(effect)}"
    beside_null = f", null {number(row.null_left)} → {number(row.null_right)}" if row.null_left is not None else ""
    ends = bracketed(*(_plain(end, row) for end in _ends(row)))
    return f"{number(row.left)} → {number(row.right)}{beside_null}, fall {number(row.effect)} {ends}"


def _ends(row: Judged) -> tuple[float, float]:
    """Return the ends of the interval of a row, infinite where there is no bound."""
    return -inf if row.ci_low is None else row.ci_low, inf if row.ci_high is None else row.ci_high


def _plain(value: float, row: Judged) -> str:
    """Return a number in the unit of a row."""
    if isinstance(row, FiledMeasure):
        return number(value)
    effect = row.as_effect
    return f"×\N{NO-BREAK SPACE}{shown(value, effect)}" if effect.scale == "log ratio" else shown(value, effect)


def along(one: Evidence) -> str:
    """Return UA less RA after gradient ascent at the first and the last checkpoint along the training; empty where none was taken."""
    steps = [
        end for end in one.ends if end.stage.startswith("step-") and one.kinds.get(end.method) == "gradient_ascent"
    ]
    known = [
        (end.stage, ua - ra)
        for end in steps
        if (ua := _mean(end, "UA")) is not None and (ra := _mean(end, "RA")) is not None
    ]
    if not known:
        return ""
    seeds = max(end.values["UA"].of for end in steps)
    gaps = ", ".join(f"{fixed(100 * gap, 1)} at {stage.replace('-', ' ')}" for stage, gap in known)
    lost = f"; all diverged at {plural(len(steps) - len(known), 'other checkpoint')}" if len(known) < len(steps) else ""
    return f"UA − RA after gradient ascent along the training, {plural(seeds, 'seed')}, percentage points: {gaps}{lost}"


def _mean(end: FiledEnd, name: str) -> float | None:
    return end.values[name].mean if name in end.values else None


def accuracies(one: Evidence) -> Iterator[Table]:
    """Yield, per forget split, accuracies before and after unlearning in the order of the paper's Table 1, or extraction strengths in that of Table 2."""
    places = [end for end in one.ends if not end.stage.startswith("step-")]
    for forget in dict.fromkeys(end.forget for end in places):
        own = [end for end in places if end.forget == forget]
        sides = list(dict.fromkeys((end.arm, end.stage) for end in own))
        names = STRENGTHS if any(STRENGTHS[0] in end.values for end in own) else ACCURACIES
        cells = {(end.arm, end.stage, end.method): end for end in own}
        methods = dict.fromkeys(end.method for end in own)
        rows: list[Row] = [
            [_method(method, one), *(_values(cells.get((*side, method)), names) for side in sides)]
            for method in methods
        ]
        how = (
            f"{' / '.join(names)} in percent, means over seeds, the standard deviation of the last in brackets, after as many updates from each stage. Such numbers compare "
            "models that have forgotten differently much, and no word rests on them."
        )
        columns = ["method", *(one.called(Side(arm=arm, stage=stage).label) for arm, stage in sides)]
        yield Table(f"As the paper prints it, forgetting {one.called(forget)}", how, columns, rows)


def _method(method: str, one: Evidence) -> str:
    return {"original": "before unlearning", "retrain": "retrained without it"}.get(method) or one.called(method)


def _values(end: FiledEnd | None, names: Sequence[str]) -> str:
    if end is None or not all(name in end.values for name in names):
        return MISSING
    texts = [fixed(None if (mean := end.values[name].mean) is None else 100 * mean, 1) for name in names]
    last = end.values[names[-1]]
    spread = f" (± {fixed(100 * last.sd, 1)})" if last.sd is not None else ""
    some = f", {last.n} of {last.of} seeds" if last.n < last.of else ""
    return f"{' / '.join(texts)}{spread}{some}"
