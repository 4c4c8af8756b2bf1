"""Tables of studies on language models: the paper's Tables 2 and 12, the groups, and the answers of models at the ends of paths."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Any, get_args

import numpy as np
import pandas as pd

from ungrok.data.local import GROUPS, RuleName
from ungrok.evaluate.answers import ANSWERS
from ungrok.report.format import MISSING, fixed, mean_sd, missing, p_value
from ungrok.report.tables.table import NOTHING, Cell, Row, Table
from ungrok.report.view import View
from ungrok.study.place import Place
from ungrok.study.recipe_blocks import BASE
from ungrok.study.statistics import sign_flip

Pairs = dict[int, dict[str, str]]
"""By forget-set size, the labels of the splits that were drawn from each group, by group."""

ENDS = {
    "ROUGE_forget": "ROUGE-L forget",
    "ROUGE_retain": "ROUGE-L retain",
    "ROUGE1_forget": "ROUGE-1 forget",
    "truth_ratio_forget": "truth ratio forget",
    "utility": "model utility",
    "forget_quality": "forget quality p",
    "forget_ks": "KS",
    "zlib_auc": "zlib AUC",
    "reference_auc": "reference AUC",
    "min_k_auc": "Min-K% AUC",
    "min_k_plus_plus_auc": "Min-K%++ AUC",
    "privleak": "privleak %",
    "fluency_forget": "fluency forget",
}
"""Columns of the table of ends, with their heads."""

HARDNESS = {
    "question_length": ("question, characters", 1),
    "answer_length": ("answer, characters", 1),
    "base_loss": ("base-model loss", 3),
    "final_loss": ("final loss", 4),
}
"""Columns of the table of difficulty, with their heads and decimals."""


def group_splits(view: View) -> dict[str, Pairs]:
    """Return the splits that were drawn from groups, by how they were drawn, then by size and group."""
    every: dict[str, Pairs] = {}
    for rule in view.recipe.forget:
        drawn = rule.group_draw()
        if drawn is not None:
            pair = every.setdefault(drawn.how, {}).setdefault(drawn.size, dict.fromkeys(drawn.groups, ""))
            pair[drawn.group] = rule.label
    whole = {name: {size: pair for size, pair in pairs.items() if all(pair.values())} for name, pairs in every.items()}
    return {name: dict(sorted(pairs.items())) for name, pairs in whole.items() if pairs}


def extraction(view: View) -> Iterator[Table]:
    """Yield the paper's Table 2 for each way of drawing: extraction strength by method and size, both groups side by side."""
    how = (
        "Extraction strength in [0, 1], as the paper's code computes it (1/n where the last of n tokens is wrong), means ± standard deviations over seeds, splits from the {groups} group: the "
        "share of an answer that the model completes by itself; higher is better on retained pairs, and on forgotten ones it should "
        f"fall to the oracle's, the model fine-tuned without them. “{NOTHING}” is the model before unlearning. Doses are matched."
    )
    for name, pairs in group_splits(view).items():
        for stage in view.stages:
            rows = list(_extraction_rows(view, pairs, stage))
            if rows:
                columns = ["method", "on", *(f"{size} pairs" for size in pairs)]
                title = f"Extraction strength after unlearning (the paper's Table 2), {name}, {view.names.stage(stage)}"
                groups = " / the ".join(next(iter(pairs.values())))
                yield Table(title, how.format(groups=groups), columns, rows, keys=2)


def _extraction_rows(view: View, pairs: Pairs, stage: str) -> Iterator[Row]:
    def after(method: str) -> Callable[[str, str], list[float]]:
        dose = view.doses[method].matched
        return lambda label, column: [_value(t.at_dose(dose)[column]) for t in _tracks(view, stage, label, method)]

    def start(label: str, column: str) -> list[float]:
        return [_value(t.start[column]) for t in _tracks(view, stage, label, view.methods[0])]

    def oracle(label: str, column: str) -> list[float]:
        return [_value(t.start[f"oracle_{column}"]) for t in _tracks(view, stage, label, view.methods[0])]

    sources = {NOTHING: start, "oracle": oracle, **{method: after(method) for method in view.methods}}
    for method, values in sources.items():
        for column, text in (("ES_retain", "retained"), ("ES_forget", "forgotten")):
            cells = [_side_by_side([values(label, column) for label in pair.values()]) for pair in pairs.values()]
            yield [view.names.method(method), text, *cells]


def _tracks(view: View, stage: str, label: str, method: str) -> list[Any]:
    return list(view.tracks(Place(BASE, stage, label, method)).values())


def _value(value: Any) -> float:
    return np.nan if missing(value) else float(value)


def _side_by_side(sides: Sequence[Sequence[float]]) -> str | Cell:
    """Return the means of both groups, and under them their standard deviations."""
    if not all(len(side) for side in sides):
        return MISSING
    texts = [mean_sd(side) for side in sides]
    means = " / ".join(text[0] for text in texts)
    spreads = " / ".join(text[1] if len(text) > 1 else MISSING for text in texts)
    return Cell((means, spreads))


def difficulty(view: View) -> Iterator[Table]:
    """Yield the paper's Table 12 for each way of drawing: how hard the members of both groups are."""
    groups = view.results.groups
    how = (
        "Mean difficulty of what is forgotten, grokked / ungrokked, means ± standard deviations over seeds, and p of a sign-flip test of "
        "the difference over seeds. If it differs, the groups differ in more than when they were learned."
    )
    for name, pairs in group_splits(view).items() if len(groups) else ():
        if any(label not in set(groups["forget"]) for pair in pairs.values() for label in pair.values()):
            continue
        rows = [[f"{size} pairs", *_hardness(groups, pair)] for size, pair in pairs.items()]
        columns = ["forget set", *(column for text, _ in HARDNESS.values() for column in (text, "p"))]
        yield Table(f"Difficulty of the groups (the paper's Table 12), {name}", how, columns, rows)


def _hardness(groups: pd.DataFrame, pair: dict[str, str]) -> Iterator[str | Cell]:
    for column, (_, decimals) in HARDNESS.items():
        sides = [groups[groups["forget"] == pair[group]].sort_values(["arm", "seed"])[column] for group in GROUPS]
        texts = [mean_sd(list(side), decimals) for side in sides]
        spreads = " / ".join(text[1] if len(text) > 1 else MISSING for text in texts)
        yield Cell((" / ".join(text[0] for text in texts), spreads))
        difference = sides[0].to_numpy() - sides[1].to_numpy()
        yield p_value(sign_flip(difference).p_value) if len(difference) > 1 else MISSING


def group_sizes(view: View) -> Iterator[Table]:
    """Yield, for each set of thresholds, how many examples every rule puts into each group by its absolute thresholds."""
    groups = view.results.groups
    if groups.empty:
        return
    first = groups.drop_duplicates(["arm", "seed"])
    rules = [rule for rule in (*get_args(RuleName), "used") if f"found {rule} grokked" in first]
    rows = []
    for row in first.to_dict("records"):
        cells = [f"{row[f'found {rule} grokked']} / {row[f'found {rule} ungrokked']}" for rule in rules]
        rows.append([str(row["arm"]), str(row["seed"]), str(row["examples"]), *cells])
    how = (
        "Examples found grokked / ungrokked by each rule's absolute thresholds, with the settings of the recipe's first split; “used” is "
        "the recipe's own rule. A group smaller than a forget set would have been an error."
    )
    yield Table("Local grokking: sizes of the groups", how, ["arm", "seed", "training pairs", *rules], rows, keys=3)


def answers(view: View) -> Iterator[Table]:
    """Yield one table per forget split: what models answer at the ends of their paths, beside the oracle."""
    audits = view.results.audits
    names = [name for name in ENDS if name in audits]
    if "ROUGE_forget" not in audits:
        return
    how = "At the end of each path, medians over seeds. " + " ".join(f"{ENDS[n]}: {_lower(ANSWERS[n])}" for n in names)
    short = "The same at the end of each path, medians over seeds."
    for label in view.recipe.forget_labels():
        here = audits[audits["forget"] == label]
        first = here[here["method"] == here["method"].iloc[0]] if len(here) else here
        rows = [["oracle", *(_median(first.get(f"oracle_{name}")) for name in names)]]
        rows += [
            [view.names.method(m), *(_median(here[here["method"] == m][name]) for name in names)] for m in view.methods
        ]
        if len(here):
            yield Table(
                f"Answers at the end, forgetting {view.names.forget(label)}",
                how,
                ["method", *(ENDS[n] for n in names)],
                rows,
            )
            how = short


def _median(values: pd.Series[Any] | None) -> str:
    there = [] if values is None else [float(value) for value in values if not missing(value)]
    return fixed(float(np.median(there)), 3) if there else MISSING


def _lower(text: str) -> str:
    return text[0].lower() + text[1:] if not text[:2].isupper() else text
