"""The page of results in the documentation, made from the evidence of the recipes that come with the package."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from ungrok.recipes import shipped
from ungrok.report.across import questions
from ungrok.report.evidence import Evidence
from ungrok.report.evidence_page import overview, said
from ungrok.report.export import markdown
from ungrok.report.format import plural
from ungrok.report.tables.across import of_study, studies, summary, transitioned
from ungrok.report.tables.table import Table
from ungrok.study.claims import QUESTION
from ungrok.study.loading import load

HEAD = """# Results

What came out of the recipes of the package, whatever it was. This page is made from the files in `docs/evidence` by
`ungrok evidence docs/evidence --markdown > docs/results.md`, never by hand. `ungrok evidence docs/evidence` writes them as one page with
forest plots. [How claims are decided](claims.md) says what the words mean.
"""


def results_page(every: Sequence[Evidence]) -> str:
    """Return the page as Markdown.

    Args:
        every: The evidence of studies of shipped recipes, by name.

    """
    parts = [HEAD, *_over_all(every)]
    for one in every:
        parts += _of_study(one)
    return "\n".join([*parts, *_not_run(every)])


def _over_all(every: Sequence[Evidence]) -> Iterator[str]:
    asked = questions(every)
    if not asked:
        yield "## Over all recipes\n\nNo recipe has run in full under these rules.\n"
        return
    yield f"## Over all recipes\n\n{_paragraphs(overview(asked))}\n"
    for one in map(said, asked):
        yield f"- **{one.claim.title}: {one.word}.** {one.sentence} {one.overturned_by}"
    yield ""
    for table in [*summary(asked), studies(every)]:
        yield _shown(table)


def _of_study(one: Evidence) -> Iterator[str]:
    judged = f" on {one.date}" if one.date else ""
    yield f"## {one.recipe}\n"
    yield (
        f"{plural(len(one.seeds), 'seed')}; {transitioned(one)} transitioned. Judged{judged} by commit `{(one.commit or 'unknown')[:8]}`, "
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
    for table in of_study(one):
        yield _shown(table)


def _changed(one: Evidence) -> str:
    """Return a remark where the shipped recipe is no longer the one that ran."""
    path = shipped().get(one.recipe)
    if path is None:
        return ", a recipe that no longer comes with the package"
    return "" if load(str(path)).hash == one.hash else "; the recipe has changed since"


def _not_run(every: Sequence[Evidence]) -> Iterator[str]:
    """Yield the table of shipped recipes of which there is no evidence."""
    ran = {one.recipe for one in every}
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
