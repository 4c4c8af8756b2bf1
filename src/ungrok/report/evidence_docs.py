"""The page of results in the documentation, made from the evidence of the recipes that come with the package."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence

from ungrok.core.errors import spoken
from ungrok.recipes import shipped
from ungrok.report.across import Question, SettingWord, questions
from ungrok.report.evidence import Evidence
from ungrok.report.evidence_audits import FiledAudit
from ungrok.report.evidence_page import said
from ungrok.report.export import markdown
from ungrok.report.format import plural
from ungrok.report.paper_words import PARTS, PaperWord, rows_of, studies_of, word
from ungrok.report.tables.across import of_study, studies, summary, title, transitioned
from ungrok.report.tables.paper import accuracies, beside_paper, name_of, rests
from ungrok.report.tables.table import Table
from ungrok.study.claims import QUESTION
from ungrok.study.claims.answers import STRENGTHS, WORDINGS
from ungrok.study.loading import load
from ungrok.study.privacy import QUESTION as PRIVACY

MADE = """This page is made from the files in `docs/evidence` by `ungrok evidence docs/evidence --markdown > docs/results.md`, never by hand.
`ungrok evidence docs/evidence` writes them as one page with forest plots. [How claims are decided](claims.md) says what the words mean.
"""


def results_page(every: Sequence[Evidence], audits: Sequence[FiledAudit] = ()) -> str:
    """Return the page as Markdown: the answer over all recipes, the paper's tables and figures, privacy, then every recipe.

    Args:
        every: The evidence of studies of shipped recipes, by name.
        audits: What shadow models of shipped recipes say of privacy, by name.

    """
    asked = questions(every)
    parts = ["# Results\n", *_answer(every, asked), MADE, "## The paper's tables and figures\n"]
    parts += [_shown(beside_paper(every)), _shown(rests(every)), *_over_all(every, asked), *_of_audits(audits)]
    for one in every:
        parts += _of_study(one)
    return "\n".join([*parts, *_not_run({one.recipe for one in every} | {one.recipe for one in audits})])


def _answer(every: Sequence[Evidence], asked: Sequence[Question]) -> Iterator[str]:
    """Yield what all recipes say, a sentence on the paper's parts and one per claim."""
    if not asked:
        yield "No recipe has run in full under these rules.\n"
        return
    yield (
        f"Do models unlearn better after grokking, as the paper says (arXiv 2512.03437)? {plural(len(every), 'recipe')} {'has' if len(every) == 1 else 'have'} run in full, on "
        f"a CPU and at a much smaller scale than the paper's. {_tally(every)}\n"
    )
    yield "Claim by claim, where a setting is a recipe, what is forgotten and a family of methods:\n"
    for claim in dict.fromkeys(one.claim for one in asked):
        own = "; ".join(f"{_statement(one)} {_extent(one)}" for one in asked if one.claim == claim)
        yield f"- **{claim.replace('_', ' ')}**: unlearned after grokking, a model {own}."
    yield ""


def _tally(every: Sequence[Evidence]) -> str:
    """Return how many of the paper's tables and figures agree with what ran."""
    sentences = []
    for same, where in ((True, "on the paper's data"), (False, "on other data")):
        words: dict[PaperWord, list[str]] = {"agrees": [], "contradicts": [], "open": []}
        for table in PARTS:
            rows = [row for one in studies_of(table, every, same=same) for row in rows_of(table, one)]
            words[word(rows)].append(name_of(table))
        counts = [f"{len(names) or 'none'} {text}{f' ({spoken(names)})' if names else ''}" for text, names in
                  (("with rows that agree", words["agrees"]), ("with rows that contradict", words["contradicts"]))]  # fmt: skip
        sentences.append(f"{where} {', '.join(counts)} and {len(words['open'])} open")
    return f"Of the paper's {len(PARTS)} tables and figures there are {'; '.join(sentences)}."


def _statement(question: Question) -> str:
    """Return what a claim says of the later side, for instance ``needs fewer updates at the same rate``."""
    wording = WORDINGS.get((question.claim, question.reading))
    if wording is None:
        return f"does better by {title(question)}"
    better, tail = wording.better, wording.tail
    if question.unit.endswith(" strength"):
        better, tail = STRENGTHS.get(better, better), STRENGTHS.get(tail, tail)
    return " ".join(filter(None, (wording.verb, better, tail)))


def _extent(question: Question) -> str:
    """Return in how many settings a claim holds, for instance ``in none of 10 settings (refuted in 7, open in 3)``."""
    counts, total = question.whole.counts, len(question.whole.judged)
    if not total:
        return "in none that was judged"
    held = counts["supported"]
    names: dict[SettingWord, str] = {"refuted": "refuted", "mixed": "mixed", "inconclusive": "open"}
    if total == 1:
        return (
            "in the one setting"
            if held
            else f"not in the one setting ({next(text for name, text in names.items() if counts[name])})"
        )
    rest = ", ".join(f"{text} in {counts[name]}" for name, text in names.items() if counts[name])
    return f"in {'all' if held == total else held or 'none'} of {total} settings{f' ({rest})' if rest else ''}"


def _over_all(every: Sequence[Evidence], asked: Sequence[Question]) -> Iterator[str]:
    if not asked:
        return
    yield "## Over all recipes\n"
    for one in map(said, asked):
        yield f"- **{one.claim.title}: {one.word}.** {one.sentence} {one.overturned_by}"
    yield ""
    for table in [*summary(asked), studies(every)]:
        yield _shown(table)


def _of_audits(audits: Sequence[FiledAudit]) -> Iterator[str]:
    if audits:
        yield f"## {PRIVACY}\n"
    for one in audits:
        yield f"### {one.recipe}\n"
        yield f"{one.answer} {one.made.removesuffix('.')}{_changed(one)}.\n"
        yield _shown(one.table())


def _of_study(one: Evidence) -> Iterator[str]:
    judged = f" on {one.date}" if one.date else ""
    yield f"## {one.recipe}\n"
    yield (
        f"{one.scale.sentence}; {transitioned(one)} transitioned. Judged{judged} by commit `{(one.commit or 'unknown')[:8]}`, "
        f"on {one.device} ({one.hardware}); recipe hash `{one.hash}`{_changed(one)}.\n"
    )
    if one.first:
        yield f"{_paragraphs(one.first)}\n"
    for answer in one.answers:
        yield f"- **{answer.claim.replace('_', ' ')}: {answer.verdict}.** {answer.text} {answer.overturned_by}".rstrip()
    if one.durable:
        yield f"- **{QUESTION}** {one.durable}"
    yield from (f"- {sentence}" for sentence in one.mechanism)
    yield ""
    for table in (*of_study(one), *accuracies(one)):
        yield _shown(table)


def _changed(one: Evidence | FiledAudit) -> str:
    """Return a remark where the shipped recipe is no longer the one that ran."""
    path = shipped().get(one.recipe)
    if path is None:
        return ", a recipe that no longer comes with the package"
    return "" if load(str(path)).hash == one.hash else "; the recipe has changed since"


def _not_run(ran: Collection[str]) -> Iterator[str]:
    """Yield the table of shipped recipes of which there is no evidence."""
    rows = [[name, _about(name)] for name in shipped() if name not in ran]
    if rows:
        how = "No result of these recipes stands here; ungrok check says what one costs."
        yield "## Not run in full under these rules\n"
        yield _shown(Table("Recipes without a result", how, ["recipe", "what it asks"], rows, keys=2))
        yield "`ungrok compare RUN --with paper:table1` puts a study beside the numbers of the paper.\n"


def _about(name: str) -> str:
    """Return the first line of a recipe."""
    return shipped()[name].read_text(encoding="utf-8").partition("\n")[0].lstrip("# ")


def _paragraphs(sentences: Sequence[str]) -> str:
    return "\n\n".join(sentences)


def _shown(table: Table) -> str:
    return f"**{table.title}.** {table.how}\n\n{markdown(table)}"
