"""The page: one HTML file that holds everything, and needs no network."""

from __future__ import annotations

import base64
import io
import shutil
from collections import Counter
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined

from ungrok.core.files import write_text
from ungrok.report.families import ReportFamily, family_of
from ungrok.report.figures import mechanism as mechanism_figures
from ungrok.report.figures.drawing import STYLE, Picture, glyphs_named
from ungrok.report.format import level, listed, number
from ungrok.report.mechanism import Mechanism
from ungrok.report.tables import costs, oracle, transitions, updates, verdicts
from ungrok.report.tables import mechanism as mechanism_tables
from ungrok.report.tables.components import components
from ungrok.report.tables.controls import controls
from ungrok.report.tables.provenance import provenance
from ungrok.report.tables.warnings import warnings
from ungrok.report.view import View
from ungrok.study.claims import Doses, Verdict, answers, every_claim, first_things
from ungrok.study.loading import to_yaml
from ungrok.study.plan import Plan
from ungrok.study.results import Results
from ungrok.study.store import explained

STAGES = {
    "pre_grok": "what early stopping on validation accuracy would have kept before the jump",
    "memorized": "the first step at which the training data are memorized",
    "grokked": "the first step from which {signal} holds its level",
    "final": "the last step",
}


def write_report(
    out: Path,
    plan: Plan,
    results: Results,
    judged: list[Verdict],
    made: dict[str, Any],
    doses: dict[str, Doses],
) -> Path:
    """Write ``report/index.html`` under ``out``, and every figure as PNG and PDF under ``report/figures``.

    Args:
        out: The study's folder.
        plan: The study's plan.
        results: Its tables.
        judged: Its verdicts, from :func:`ungrok.study.claims.judge`.
        made: What the study was made with, as in ``provenance.json``; shown as it is.
        doses: Per method label, where paths end and where doses are matched.

    Returns:
        The path of the page.

    Raises:
        StoreError: If the folder cannot be written.

    """
    view, family = View(plan, results, judged, doses), family_of(plan.recipe)
    page = out / "report" / "index.html"
    with explained(out), mpl.rc_context(STYLE), glyphs_named():
        shutil.rmtree(page.parent / "figures", ignore_errors=True)
        (page.parent / "figures").mkdir(parents=True, exist_ok=True)
        mechanism = Mechanism(view)
        every = distinct([*family.pictures(view), *mechanism_figures.pictures(mechanism)])
        shown = [_save(picture, page.parent / "figures") for picture in every]
        write_text(page, render(view, family, mechanism, shown, made))
        if plan.recipe.analyze:
            write_text(page.parent / "mediation.csv", mechanism.mediation.to_csv(index=False))
    return page


def render(
    view: View, family: ReportFamily, mechanism: Mechanism, shown: list[dict[str, str]], made: dict[str, Any]
) -> str:
    """Return the page as text.

    Args:
        view: The study.
        family: What its report is made of.
        mechanism: What was measured on its models.
        shown: Per figure its ``name``, ``title``, ``how`` and ``image``, a data URI.
        made: What the study was made with.

    """
    environment = Environment(
        loader=PackageLoader("ungrok.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template("template.html.j2").render(
        name=view.recipe.name,
        question=family.question(view),
        answer=answer(view),
        words=list(words(view)),
        claims=dict(statements(family)),
        headline=list(verdicts.headline(view)),
        verdicts=list(verdicts.all_verdicts(view)),
        figures=shown,
        oracle_gaps=list(oracle.oracle_gaps(view)),
        ranking=list(oracle.ranking(view)),
        ends=list(family.ends(view)),
        language=list(family.own_tables(view)),
        mechanism=list(mechanism_tables.tables(mechanism)),
        mechanism_answers=mechanism.sentences(),
        updates=[*updates.updates_to_target(view), *updates.learning_rates(view), *components(view)],
        transitions=[transitions.transitions(view), transitions.grok_rates(view), *controls(view)],
        costs=[table for table in (costs.training_cost(view), costs.request_cost(view)) if table],
        warnings=warnings(view),
        recipe=to_yaml(view.recipe),
        provenance=provenance(made),
    )


def answer(view: View) -> list[str]:
    """Return what did not happen, and the answer to each claim with its word."""
    if not view.recipe.claims.compare:
        return ["Nothing was compared, so there is no verdict."]
    every = [
        f"{each.sentence} {each.word.capitalize()}. {each.overturned_by}"
        for each in answers(view.verdicts, view.recipe)
    ]
    return [*first_things(view.verdicts, view.recipe, view.results.transitions), *every]


def statements(family: ReportFamily) -> Iterator[tuple[str, str]]:
    """Yield every claim that can be made on models of a family, with its statement."""
    for claim in every_claim():
        if claim.family in (None, family.name):
            yield claim.title, claim.sentence(family.later)


def words(view: View) -> Iterator[tuple[str, str]]:
    """Yield the words that the page uses, with their meaning."""
    claims = view.recipe.claims
    known = [f"{stage}: {STAGES[stage].format(signal=view.signal)}" for stage in view.stages if stage in STAGES]
    known += [
        f"{name}: {view.recipe.controls[name].described()}" for name in view.stages if name in view.recipe.controls
    ]
    yield "stage", f"a place on a training run. {'; '.join(known)}.".replace("run. .", "run.")
    yield (
        "target",
        (
            f"a level to which UA must fall, here {listed([level(target) for target in claims.targets])}, the first of them that is a "
            "number in the headline; a path that ends above it has not reached it, and is counted, never dropped."
        ),
    )
    doses = [f"{method} {number(own.matched)} of {number(own.end)}" for method, own in view.doses.items()]
    yield (
        "dose",
        (
            "how far along an unlearning path: updates, or the strength of a one-shot method. At the matched dose both sides have had the "
            f"same{': ' + ', '.join(doses) if doses else ''}. Rewinding picks the place where UA is nearest to validation accuracy on the same classes."
        ),
    )
    yield (
        "oracle",
        "a model retrained without the forget data under the same recipe, at the same step: what forgetting should lead to.",
    )
    yield (
        "effect",
        (
            f"a log ratio of updates or of spread, or a difference of accuracies, positive where it agrees with the paper (arXiv 2512.03437), with an interval that covers {1 - claims.alpha:.0%}. Where "
            "a target was not always reached, updates are compared after cutting them off at the end of the path (“restricted to”)."
        ),
    )
    yield (
        "verdict",
        (
            f"supported or refuted where the interval lies on one side of zero and p, adjusted over methods (Holm), is below {claims.alpha:g}; "
            "refuted also where the whole interval is too close to zero to matter; otherwise inconclusive."
        ),
    )


def distinct(pictures: list[Picture]) -> list[Picture]:
    """Number the figures whose files would have one name, as those of two labels that differ in a space."""
    seen: Counter[str] = Counter()
    for index, picture in enumerate(pictures):
        name = picture.name.lower()
        seen[name] += 1
        if seen[name] > 1:
            pictures[index] = replace(picture, name=f"{picture.name}-{seen[name]}")
    return pictures


def _save(picture: Picture, folder: Path) -> dict[str, str]:
    """Write a figure as PNG and PDF, without dates, and return what the page needs of it."""
    image = io.BytesIO()
    picture.figure.savefig(image, format="png", metadata={"Software": None})
    (folder / f"{picture.name}.png").write_bytes(image.getvalue())
    picture.figure.set_layout_engine("none")  # The layout is done; doing it again takes as long as drawing.
    picture.figure.savefig(folder / f"{picture.name}.pdf", metadata={"CreationDate": None})
    data = base64.b64encode(image.getvalue()).decode("ascii")
    return {
        "name": picture.name,
        "title": picture.title,
        "how": picture.how,
        "image": f"data:image/png;base64,{data}",
    }
