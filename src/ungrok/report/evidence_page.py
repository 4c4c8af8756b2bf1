"""Evidence over studies as one page, which looks like a report, and as one JSON file."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import matplotlib as mpl

from ungrok.core.errors import spoken
from ungrok.core.files import write_json, write_text
from ungrok.report.across import Question, SettingWord, Tally, questions
from ungrok.report.evidence import Evidence
from ungrok.report.evidence_audits import FiledAudit
from ungrok.report.figures.drawing import STYLE, glyphs_named
from ungrok.report.figures.forest import forests
from ungrok.report.format import plural, unit_of
from ungrok.report.page import distinct, filled, saved
from ungrok.report.sections import Section, Shown
from ungrok.report.tables.across import as_effect, rows_of, spread_of, studies, summary, title, without
from ungrok.study.privacy import QUESTION as PRIVACY
from ungrok.study.store import explained

ASKED = (
    "Which claims of the paper (arXiv 2512.03437) hold over studies, and which depend on one of them? A setting is a recipe, what is forgotten, "
    "and a family of methods; methods of one family share models, so that their median counts once."
)

WORDS = [
    ("holds in all", "every setting that was judged has the word; exploratory ones are counted apart."),
    ("open", "the intervals of some method hold no difference."),
    ("mixed", "methods of one family say opposite things."),
    ("sd between", "the standard deviation of effects between settings, which no number of seeds makes smaller."),
    ("turned by leaving out", "recipes without which it would hold, or fail, in all, in some or in none, and no longer as it does."),
]  # fmt: skip


@dataclass(frozen=True)
class Titled:
    """What an answer is about; ``title`` names it in prose."""

    title: str


@dataclass(frozen=True)
class Said:
    """What studies say of one question, as the first screen of a page shows it.

    Args:
        claim: What is asked.
        word: One word for all settings.
        sentence: In how many settings it holds, and how far the effects lie apart.
        overturned_by: What leaving out each recipe in turn changes.

    """

    claim: Titled
    word: SettingWord
    sentence: str
    overturned_by: str


def said(question: Question) -> Said:
    """Return what the studies say of a question."""
    whole = question.whole
    sentence = f"{extents(whole)}{_apart(whole, question)}"
    return Said(Titled(title(question)), word(whole), sentence, _left_out(question))


def word(tally: Tally) -> SettingWord:
    """Return one word for some settings: that which stands in all of them, mixed where both directions are found, else inconclusive."""
    counts = tally.counts
    if not tally.judged:
        return "exploratory"
    for one in ("supported", "refuted"):
        if tally.extent(one) == "all":
            return one
    return "mixed" if counts["mixed"] or (counts["supported"] and counts["refuted"]) else "inconclusive"


def extents(tally: Tally) -> str:
    """Return in how many settings a claim holds: ``Supported in 2 of 6 settings, refuted in 3, open in 1.``, for instance."""
    total, counts = len(tally.judged), tally.counts
    if not total:
        return f"Nothing was judged: all {plural(counts['exploratory'], 'setting')} are exploratory."
    names: dict[SettingWord, str] = {"refuted": "refuted", "mixed": "mixed", "inconclusive": "open"}
    others = [(text, counts[name]) for name, text in names.items() if counts[name]]
    if total == 1:
        parts = [f"{(others[0][0] if others else 'supported').capitalize()} in the one setting"]
    else:
        parts = [f"Supported in {_of(counts['supported'], total)}"]
        parts += [f"{text} in {'all' if count == total else count}" for text, count in others]
    more = f"; {counts['exploratory']} more exploratory" if counts["exploratory"] else ""
    return f"{', '.join(parts)}{more}."


def _of(count: int, total: int) -> str:
    return f"all {total} settings" if count == total else f"{count or 'none'} of {total} settings"


def _apart(tally: Tally, question: Question) -> str:
    """Return the median effect with its spread between settings; of one setting its effect."""
    known = tally.spread["settings"]
    middle, between, sd = spread_of(tally, question)
    like = as_effect(None, question)
    unit = "" if like.scale == "log ratio" else f" {unit_of(like).partition(',')[0]}"
    if not known:
        return ""
    if known == 1:
        return f" In the one setting with an effect it is {middle}{unit}."
    return f" Over {known} settings with an effect it is {middle}{unit} in the median, {between}{unit}; standard deviation between settings: {sd}{unit}."


def _left_out(question: Question) -> str:
    """Return what leaving out each recipe in turn changes."""
    rest = question.without
    if not rest:
        return "One recipe only: nothing is known of others."
    turned = [f"Without {name}: {extents(rest[name])}" for name in question.decided_by]
    return " ".join(turned) or "No recipe alone decides this."


def overview(asked: Sequence[Question]) -> list[str]:
    """Return what holds in all settings, in some, and in none, in sentences."""
    groups: dict[str, list[str]] = {"all": [], "some": [], "none": [], "": []}
    for one in asked:
        groups[one.whole.extent("supported")].append(title(one))
    texts = {"all": "Supported in all settings", "some": "Supported in some settings", "none": "Supported in no setting",
             "": "Judged in no setting"}  # fmt: skip
    return [f"{texts[extent]}: {spoken(names)}." for extent, names in groups.items() if names]


def write_evidence(out: Path, every: Sequence[Evidence], audits: Sequence[FiledAudit] = ()) -> Path:
    """Write ``evidence.html`` and ``evidence.json`` under ``out``, and every forest plot as PNG and PDF under ``figures``.

    Args:
        out: The folder.
        every: The studies.
        audits: What shadow models say of privacy.

    Returns:
        The path of the page.

    Raises:
        StoreError: If the folder cannot be written.

    """
    asked = questions(every)
    with explained(out), mpl.rc_context(STYLE), glyphs_named():
        (out / "figures").mkdir(parents=True, exist_ok=True)
        by_name = {one.recipe: one for one in every}
        pictures = distinct([picture for one in asked for picture in forests(one, by_name)])
        shown = [saved(picture, out / "figures") for picture in pictures]
        write_text(out / "evidence.html", filled(contents(every, asked, shown, audits)))
        write_json(out / "evidence.json", as_json(every, audits))
    return out / "evidence.html"


def as_json(every: Sequence[Evidence], audits: Sequence[FiledAudit] = ()) -> dict[str, Any]:
    """Return the studies without their rows, every question with its rows and what they come to, and audits, as plain JSON types."""
    made = [one.model_dump(mode="json", exclude={"verdicts"}) for one in every]
    asked = [one.to_dict() for one in questions(every)]
    return {"version": 1, "studies": made, "questions": asked, "audits": [one.to_dict() for one in audits]}


def contents(
    every: Sequence[Evidence], asked: Sequence[Question], shown: Sequence[Shown], audits: Sequence[FiledAudit] = ()
) -> dict[str, Any]:
    """Return what fills the page; see :func:`ungrok.report.page.filled`."""
    by_name = {one.recipe: one for one in every}
    left = [("", table) for one in asked if (table := without(one))]
    private = [f"{one.recipe}: {one.answer}" for one in audits]
    return {
        "name": f"evidence of {plural(len(every), 'recipe')}",
        "question": ASKED,
        "screen": {
            "first": overview(asked),
            "answers": [said(one) for one in asked],
            "asked": [(PRIVACY, private)] if private else [],
            "last": [],
        },
        "words": WORDS,
        "front": shown,
        "headline": list(summary(asked)),
        "sections": [
            Section("rows", "Every row", [("verdicts", rows_of(one, by_name)) for one in asked]),
            *([Section("without", "Without each recipe", left)] if left else []),
            *(
                Section(
                    f"audit-{one.recipe}", f"{PRIVACY} {one.recipe}", [("verdicts", one.table())], sentences=[one.made]
                )
                for one in audits
            ),
            *(Section(f"study-{one.recipe}", one.recipe, sentences=study_sentences(one)) for one in every),
            Section("studies", "Studies", [("plain", studies(every))]),
        ],
    }


def study_sentences(one: Evidence) -> list[str]:
    """Return what a study says in its own words: first what did not happen, then its answers and what its measures say."""
    answers = [f"{answer.claim.replace('_', ' ')}: {answer.verdict}. {answer.text}" for answer in one.answers]
    return [*one.first, *answers, *one.mechanism]
