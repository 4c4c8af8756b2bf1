"""Whether studies agree with a table or figure of the paper: which rows speak of it, and the one word that they give.

Rows are verdicts of the headline family and measures with words of their own. Each is oriented so that it is supported where the
paper's direction is found, so a part needs no direction beyond saying which rows are its own.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from ungrok.report.evidence import Evidence
from ungrok.report.evidence_numbers import SAME, FiledMeasure
from ungrok.report.paper import beside
from ungrok.study.verdict_file import FiledVerdict

PaperWord = Literal["agrees", "contradicts", "open"]

Judged = FiledVerdict | FiledMeasure

CLASSES = ("class", "classes")
"""Kinds of forget rules that stay within classes, as the paper's main forget sets do."""

FIVE = ("gradient_ascent", "nabla_tau", "fisher", "scrub", "finetune")
"""Kinds of the methods of Table 1."""

AFTER = (("efficiency", "same_rate"), ("collateral", ""), ("stability", ""))
"""What Tables 1, 8, 10 and 11 show of models after the same updates: UA (fewer updates reach a target), RA and TA (less damage where it
is reached), and their spread over seeds."""


@dataclass(frozen=True)
class Part:
    """A table or figure of the paper, and the rows of a study that speak of it.

    Args:
        says: What the paper says there, in one sentence.
        claims: Kind and reading of claims whose verdicts speak of it; the later side does better, as the paper says.
        measures: Names of measures that speak of it: those that fall, or of groups those that do not differ.
        methods: Kinds of the methods that count; all where empty.
        forget: Kinds of the forget rules that count; all where empty.
        without: Endings of the labels of forget splits that do not count.
        arms: Arms that the earlier side may have; empty for the base arm.
        metrics: What may have been measured; anything where empty.
        instead: What is read in the place of what the paper shows, where these differ.

    """

    says: str
    claims: tuple[tuple[str, str], ...] = ()
    measures: tuple[str, ...] = ()
    methods: tuple[str, ...] = ()
    forget: tuple[str, ...] = ()
    without: tuple[str, ...] = ()
    arms: tuple[str, ...] = ("",)
    metrics: tuple[str, ...] = ()
    instead: str = ""


PARTS = {
    "table1": Part(
        "After the same updates, models unlearned after grokking keep less of what is forgotten and more of the rest than those unlearned before "
        "it, and vary less over seeds.",
        claims=AFTER, methods=FIVE, forget=CLASSES,
    ),
    "table2": Part(
        "After unlearning, less can be extracted of pairs that a language model learned early than of pairs that it learned late, and more of the rest.",
        claims=(("extraction", "forget"), ("extraction", "retain"), ("beyond_oracle", "")), metrics=("ES_forget", "ES_retain"),
        instead="What is read lies beyond the oracle: of forgotten pairs after as many updates, of others where the target is reached.",
    ),
    "table3": Part(
        "After grokking the gradients of forgotten and retained data are less aligned: cosine 0.990 → 0.521 (CNN), 0.999 → 0.426 (ResNet).",
        measures=("gradient_cosine",), forget=CLASSES,
    ),
    "table4": Part(
        "After grokking the local complexity is lower, before unlearning and after it: around retained data 34.53 → 9.87 (CNN), 27.98 → 7.37 (ResNet).",
        measures=("local_complexity",), forget=CLASSES,
    ),
    "table5": Part(
        "After grokking the last layer's features of forgotten and retained data are less alike: CKA 0.459 → 0.129.",
        measures=("cka_unpaired",), forget=CLASSES,
    ),
    "table8": Part(
        "What Table 1 says holds on SVHN and ImageNet-100, and against models that are smooth by construction, too.",
        claims=AFTER, methods=FIVE, forget=CLASSES, arms=("", "spline"),
    ),
    "table9": Part(
        "On SVHN the cosine of forget and retain gradients is 0.999 before grokking, 0.815 of a model that is smooth by construction, 0.426 after grokking.",
        measures=("gradient_cosine",), forget=CLASSES, arms=("", "spline"),
    ),
    "table10": Part(
        "What Table 1 says holds where the forgotten examples are drawn over all classes, too.",
        claims=AFTER, methods=("gradient_ascent", "fisher"), forget=("random",),
    ),
    "table11": Part(
        "Flatness alone is not enough: after gradient ascent the grokked model keeps less of what is forgotten and more of the rest than one trained "
        "to be flat (SAM).",
        claims=AFTER, methods=("gradient_ascent",), forget=CLASSES, arms=("sam",),
    ),
    "table12": Part(
        "Pairs that a language model learned early are neither shorter nor, in the end, better known than others.",
        measures=SAME,
        instead="The loss before training, which the paper does not give, counts, too.",
    ),
    "figure1": Part(
        "Along the training, accuracy on forgotten data after gradient ascent rises with that on retained data and varies before the transition; after "
        "it, it lies below it and settles.",
        instead="No row of it is given a word: unlearning along the training has too few seeds.",
    ),
    "figure2": Part(
        "Where 15 % of two classes are forgotten, nabla-tau reaches its target in 5 to 8 updates after grokking, and in 15 to 20 before it; at 50 % the "
        "paper sees no clear difference.",
        claims=(("efficiency", "same_rate"),), forget=CLASSES, without=("0.5",), metrics=("updates",),
        instead="nabla-tau stops by itself, so that the updates of other methods are read.",
    ),
}  # fmt: skip
"""By table or figure."""


def rows_of(table: str, one: Evidence) -> list[Judged]:
    """Return the rows of a study that speak of a table or figure.

    Args:
        table: For instance ``table1``.
        one: The study.

    """
    part = PARTS[table]
    verdicts = [row for row in one.verdicts if (row.claim, row.reading) in part.claims and _counts(part, one, row)]
    measures = [row for row in one.measures if row.measure in part.measures and _counts(part, one, row)]
    return [*verdicts, *measures]


def _counts(part: Part, one: Evidence, row: Judged) -> bool:
    """Return whether a row has the method, forget split, metric and earlier arm of a part."""
    if isinstance(row, FiledVerdict):
        forget, method, metric = row.setting.forget, row.setting.method, row.setting.metric
    else:
        forget, method, metric = row.forget, row.method, row.measure
    kinds = one.kinds.get(method, ""), one.kinds.get(forget, "")
    asked = zip((*kinds, metric), (part.methods, part.forget, part.metrics), strict=True)
    left, split = (text.partition(" → ")[0] for text in (row.comparison, forget))
    arm = left.removesuffix(f"/{split}").rpartition("/")[0]  # a side that names its forget split ends in it
    return (
        all(not some or has in some for has, some in asked) and arm in part.arms and not forget.endswith(part.without)
    )


def word(rows: Sequence[Judged]) -> PaperWord:
    """Return what rows say of the paper together.

    They agree where one is supported and none refuted, and contradict where one is refuted and none supported: each row's word
    holds for its whole family, so that one is enough. Everything else is open: where none has a word, and where both have.
    """
    words = {row.verdict for row in rows}
    if {"supported", "refuted"} & words == {"supported"}:
        return "agrees"
    return "contradicts" if {"supported", "refuted"} & words == {"refuted"} else "open"


def said(rows: Sequence[Judged], studies: int) -> str:
    """Return the word with the reason where it is open, for instance ``open: nothing run``.

    Args:
        rows: The rows of all studies.
        studies: How many studies there are.

    """
    one, words = word(rows), {row.verdict for row in rows}
    if one != "open":
        return one
    if not studies:
        return "open: nothing run"
    if {"supported", "refuted"} <= words:
        return "open: rows say opposite things"
    return "open: every row is inconclusive" if "inconclusive" in words else "open: nothing is judged"


def studies_of(table: str, every: Sequence[Evidence], *, same: bool) -> list[Evidence]:
    """Return the studies that stand beside a table or figure, on the paper's data or on others."""
    known = beside(table)
    return [one for name, own in known.items() if own == same for one in every if one.recipe == name]
