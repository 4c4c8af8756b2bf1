"""The page: one HTML file that holds everything and asks nothing of the network."""

from __future__ import annotations

import base64
import io
import shutil
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined

from ungrok.core.files import write_text
from ungrok.report import figures, language, language_figures, mechanism_figures, tables
from ungrok.report.controls import controls
from ungrok.report.ends import ends
from ungrok.report.figures import STYLE, Picture
from ungrok.report.format import level, listed, number, plural
from ungrok.report.mechanism import Mechanism
from ungrok.report.tables import Table
from ungrok.report.view import View
from ungrok.study.claims import CLAIMS
from ungrok.study.loading import to_yaml
from ungrok.study.plan import Plan
from ungrok.study.recipe import Rescaled, Side
from ungrok.study.results import Results
from ungrok.study.store import explained

STAGES = {
    "pre_grok": "what early stopping on validation accuracy would have kept before the jump",
    "memorized": "the first step at which the training data are memorized",
    "grokked": "the first step from which {signal} holds its level",
    "final": "the last step",
}

ADVANTAGE = {
    "efficiency": "needs fewer updates",
    "collateral": "does less collateral damage",
    "oracle_gap": "ends nearer to the oracle",
    "stability": "spreads less over seeds",
    "paper": "looks better by the paper's own reading",
    "extraction": "gives away less of what is forgotten and more of what is retained",
}
"""What each claim says of the later stage, or of the second group."""


def write_report(
    out: Path,
    plan: Plan,
    results: Results,
    verdicts: list[dict[str, Any]],
    provenance: dict[str, Any],
    budgets: dict[str, tuple[float, float]],
) -> Path:
    """Write ``report/index.html`` under ``out``, and every figure as PNG and PDF under ``report/figures``.

    Args:
        out: The study's folder.
        plan: The study's plan.
        results: Its tables.
        verdicts: What :func:`ungrok.study.claims.judge` returned.
        provenance: What the report was made with; shown as it is.
        budgets: Per method label, the dose at which paths end and the dose at which doses are matched.

    Returns:
        The path of the page.

    Raises:
        StoreError: If the folder cannot be written.

    """
    view = View(plan, results, verdicts, budgets)
    page = out / "report" / "index.html"
    with explained(out), mpl.rc_context(STYLE):
        shutil.rmtree(page.parent / "figures", ignore_errors=True)
        (page.parent / "figures").mkdir(parents=True)
        drawn = language_figures.pictures(view) if view.text else figures.pictures(view)
        mechanism = Mechanism(view)
        every = [*drawn, *mechanism_figures.pictures(mechanism)]
        shown = [_save(picture, page.parent / "figures") for picture in every]
        write_text(page, render(view, mechanism, shown, provenance))
        if plan.recipe.analyze:
            write_text(page.parent / "mediation.csv", mechanism.mediation.to_csv(index=False))
    return page


def render(view: View, mechanism: Mechanism, shown: list[dict[str, str]], provenance: dict[str, Any]) -> str:
    """Return the page as text.

    Args:
        view: The study.
        mechanism: What was measured on its models.
        shown: Per figure its ``name``, ``title``, ``how`` and ``image``, a data URI.
        provenance: What the report was made with.

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
        question=question(view),
        answer=answer(view),
        words=list(words(view)),
        claims=dict(statements(view)),
        headline=list(tables.headline(view)),
        verdicts=list(tables.all_verdicts(view)),
        figures=shown,
        oracle_gaps=list(tables.oracle_gaps(view)),
        ranking=list(tables.ranking(view)),
        ends=[] if view.text else list(ends(view)),
        language=_language(view),
        mechanism=list(mechanism.tables()),
        mechanism_answers=mechanism.sentences(),
        updates=[*tables.updates_to_target(view), *tables.learning_rates(view)],
        transitions=[tables.transitions(view), tables.grok_rates(view), *controls(view)],
        costs=[table for table in (tables.training_cost(view), tables.request_cost(view)) if table],
        warnings=tables.warnings(view),
        recipe=to_yaml(view.recipe),
        provenance=tables.provenance(provenance),
    )


def _language(view: View) -> list[Table]:
    """Return the tables that only studies on language models have."""
    if not view.text:
        return []
    return [
        *language.extraction(view),
        *language.group_sizes(view),
        *language.difficulty(view),
        *language.answers(view),
    ]


def _question_of_groups(view: View) -> str:
    recipe = view.recipe
    return (
        "Are examples that a language model learned at another time easier to make it forget? Here "
        f"{recipe.model.kind} models are trained on question-answer pairs of {recipe.problem.kind} for {recipe.trajectory.steps:,} steps "
        f"with {plural(len(recipe.seeds), 'seed')}{' from a base model' if recipe.base else ''}; the loss of every pair is followed, and "
        f"forget sets are drawn from groups that were learned early (grokked) and late (ungrokked). {plural(len(recipe.unlearn), 'method')} "
        f"unlearn the {_splits(recipe.forget_labels())} from {listed(view.stages)}; groups are compared seed by seed. UA and RA are the shares "
        "of answer tokens that are the model's first choice after the true prefix, on forgotten and retained pairs, TA that on real authors "
        "and world facts, which only the base model was taught; a larger UA means more is remembered."
    )


def question(view: View) -> str:
    """Return what was asked, and on what."""
    if view.text:
        return _question_of_groups(view)
    recipe = view.recipe
    data = getattr(recipe.problem, "dataset", recipe.problem.kind)
    arms = f", in the arms {listed(view.arms)}" if recipe.arms else ""
    unlearn = f"{plural(len(recipe.unlearn), 'method')} {'unlearn' if len(recipe.unlearn) > 1 else 'unlearns'}"
    return (
        f"Is a model easier to make forget when its training went on past grokking, the late jump of {view.signal} that "
        f"follows memorization? Here {recipe.model.kind} models are trained on {data} for {recipe.trajectory.steps:,} steps "
        f"with {plural(len(recipe.seeds), 'seed')}{arms}. From {listed(view.stages)}, {unlearn} the {_splits(recipe.forget_labels())}; "
        "all else is the same, and stages are compared seed by seed. UA, RA and TA are accuracies in [0, 1] on the forget data, "
        "the retained training data and the test data; a larger UA means more is remembered."
    )


def _splits(labels: Sequence[str]) -> str:
    return f"forget split{'s' if len(labels) > 1 else ''} {listed(labels)}"


def answer(view: View) -> list[str]:
    """Return the counts of verdicts per claim at the primary setting, in one or two sentences."""
    counts = tables.answer(view)
    if not counts:
        return ["Nothing was compared, so there is no verdict."]
    pairs = tables.stage_pairs(view)
    between = f"{listed(pairs)}, " if len(pairs) < len(view.recipe.claims.compare) else ""
    on = f"{between}{plural(len(view.recipe.unlearn), 'method')}, {_splits(tables.class_like(view))}"
    sentences = []
    for place, claims in (
        (level(view.primary), [claim for claim in counts if claim in tables.AT_TARGET]),
        ("the matched dose", [claim for claim in counts if claim not in tables.AT_TARGET]),
    ):
        parts = [f"{ADVANTAGE[claim]} is {_counted(counts[claim])}" for claim in claims]
        if parts:
            second = "second group" if view.text else "later stage"
            sentences.append(f"At {place} ({on}), that the {second} {'; that it '.join(parts)}.")
    return sentences


def _counted(found: dict[str, int]) -> str:
    each = [f"{word} in {count}" for word, count in found.items()]
    return f"{listed(each)} of {plural(sum(found.values()), 'setting')}"


def statements(view: View) -> Iterator[tuple[str, str]]:
    """Yield every claim with what it says, of the second group where groups are compared."""
    for claim, text in CLAIMS.items():
        if view.text or claim != "extraction":
            yield tables.NAMED[claim], text.replace("later stage", "second group") if view.text else text


def words(view: View) -> Iterator[tuple[str, str]]:
    """Yield the words that the page uses, with their meaning."""
    claims = view.recipe.claims
    known = [f"{stage}: {STAGES[stage].format(signal=view.signal)}" for stage in view.stages if stage in STAGES]
    known += [f"{name}: {described(view, name)}" for name in view.stages if name in view.recipe.controls]
    yield "stage", f"a place on a training run. {'; '.join(known)}.".replace("run. .", "run.")
    yield (
        "target",
        (
            f"a level to which UA must fall, here {listed([level(target) for target in claims.targets])}, the first of them that is a "
            "number in the headline; a path that ends above it has not reached it, and is counted, never dropped."
        ),
    )
    doses = [f"{method} {number(matched)} of {number(end)}" for method, (end, matched) in view.budgets.items()]
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


def described(view: View, name: str) -> str:
    """Return what a matched or rescaled checkpoint is."""
    control = view.recipe.controls[name]
    if isinstance(control, Rescaled):
        return f"the model of {control.stage} with its first layer times {control.factor:g} and its last divided by it: the same function"
    to = Side(stage=control.stage, arm=control.arm).label
    return f"the step with the {control.equal.replace('_', ' ')} of {to}, within {control.tolerance:g}"


def _save(picture: Picture, folder: Path) -> dict[str, str]:
    """Write a figure as PNG and PDF, without dates, and return what the page needs of it."""
    image = io.BytesIO()
    picture.figure.savefig(image, format="png", metadata={"Software": None})
    (folder / f"{picture.name}.png").write_bytes(image.getvalue())
    picture.figure.set_layout_engine("none")  # The layout has been found; finding it again takes as long as drawing.
    picture.figure.savefig(folder / f"{picture.name}.pdf", metadata={"CreationDate": None})
    data = base64.b64encode(image.getvalue()).decode("ascii")
    return {
        "name": picture.name,
        "title": picture.title,
        "how": picture.how,
        "image": f"data:image/png;base64,{data}",
    }
