"""The page: one HTML file that holds everything, and needs no network."""

from __future__ import annotations

import base64
import io
import shutil
from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from importlib import resources
from pathlib import Path
from typing import Any

import matplotlib as mpl
from jinja2 import Environment, PackageLoader, StrictUndefined
from matplotlib.backends.backend_agg import FigureCanvasAgg
from PIL import Image

from ungrok.core.files import write_json, write_text
from ungrok.report.attacks import Attacks
from ungrok.report.export import LATEX, write_tables
from ungrok.report.families import ReportFamily, family_of
from ungrok.report.figures import mechanism as mechanism_figures
from ungrok.report.figures.advice import advice_of_study
from ungrok.report.figures.audit import audit_pictures
from ungrok.report.figures.drawing import STYLE, Picture, glyphs_named, light_fonts
from ungrok.report.figures.front import front
from ungrok.report.figures.lasting import lasting
from ungrok.report.figures.stress import stress
from ungrok.report.front import first_screen, looks, words
from ungrok.report.mechanism import Mechanism
from ungrok.report.sections import Shown, sections
from ungrok.report.tables import verdicts
from ungrok.report.tables.table import Table
from ungrok.report.view import View
from ungrok.study.audit import read_audit
from ungrok.study.claims import Doses, Verdict
from ungrok.study.plan import Plan
from ungrok.study.results import Results
from ungrok.study.store import explained


def write_report(
    out: Path,
    plan: Plan,
    results: Results,
    judged: list[Verdict],
    made: dict[str, Any],
    doses: dict[str, Doses],
) -> Path:
    """Write ``report/index.html`` under ``out``, every figure as PNG and PDF under ``report/figures``, and every table under ``report/tables``.

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
    view, family = View(plan, results, judged, doses, read_audit(out, plan.recipe)), family_of(plan.recipe)
    page = out / "report" / "index.html"
    with explained(out), mpl.rc_context(STYLE), glyphs_named():
        shutil.rmtree(page.parent / "figures", ignore_errors=True)
        (page.parent / "figures").mkdir(parents=True, exist_ok=True)
        mechanism, attacks, first = Mechanism(view), Attacks(view), list(front(view))
        more = [
            *mechanism_figures.pictures(mechanism),
            *stress(attacks),
            *lasting(view),
            *advice_of_study(view, made.get("sizes")),
            *audit_pictures(view.audit, view.names),
        ]
        every = distinct([*first, *family.pictures(view), *more])
        shown = [saved(picture, page.parent / "figures") for picture in every]
        content = contents(view, family, mechanism, attacks, shown, made, fronts=len(first))
        write_text(page, filled(content))
        write_tables(page.parent / "tables", tables_of(content))
        if plan.recipe.analyze:
            write_text(page.parent / "mediation.csv", mechanism.mediation.to_csv(index=False))
            write_json(page.parent / "mechanism.json", mechanism.sentences())
    return page


def contents(
    view: View,
    family: ReportFamily,
    mechanism: Mechanism,
    attacks: Attacks,
    shown: Sequence[Shown],
    made: dict[str, Any],
    *,
    fronts: int = 0,
) -> dict[str, Any]:
    """Return what fills the page of a study.

    Args:
        view: The study.
        family: What its report is made of.
        mechanism: What was measured on its models.
        attacks: What was done to them after unlearning.
        shown: Per figure what :func:`saved` returns.
        made: What the study was made with.
        fronts: Figures, counted from the first, that stand on the front.

    """
    look = made.get("look")
    looked = looks(look["alpha"], look["number"], look["seeds_before"]) if look else ""
    return {
        "name": view.recipe.name,
        "question": family.question(view),
        "screen": first_screen(view, looked),
        "words": list(words(view)),
        "front": shown[:fronts],
        "headline": list(verdicts.headline(view)),
        "sections": sections(view, family, mechanism, attacks, shown[fronts:], made),
    }


def filled(content: dict[str, Any]) -> str:
    """Return a page as text.

    Args:
        content: ``name`` and ``question``, which open the page; ``screen``, with what stands first, answers and what stands last
            (:class:`~ungrok.report.front.Screen`); ``front``, figures that do not fold; ``words``, pairs of a word and its meaning;
            ``headline``, tables that do not fold; ``sections``.

    """
    environment = Environment(
        loader=PackageLoader("ungrok.report", "."),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    script = (resources.files("ungrok.report") / "page.js").read_text(encoding="utf-8")
    return environment.get_template("template.html.j2").render(content, script=script, latex=LATEX)


def tables_of(content: dict[str, Any]) -> list[Table]:
    """Return every table of a page, in its order."""
    return [*content["headline"], *(table for section in content["sections"] for _, table in section.tables)]


def distinct(pictures: list[Picture]) -> list[Picture]:
    """Number the figures whose files would have one name, as those of two labels that differ in a space."""
    seen: Counter[str] = Counter()
    for index, picture in enumerate(pictures):
        name = picture.name.lower()
        seen[name] += 1
        if seen[name] > 1:
            pictures[index] = replace(picture, name=f"{picture.name}-{seen[name]}")
    return pictures


def saved(picture: Picture, folder: Path) -> dict[str, str]:
    """Write a figure as PNG and PDF, without dates, and return what the page needs of it."""
    figure, image = picture.figure, io.BytesIO()
    figure.set_dpi(STYLE["savefig.dpi"])
    canvas = FigureCanvasAgg(figure)  # before the layout, which then measures texts for the drawing, too
    if layout := figure.get_layout_engine():
        layout.execute(figure)
        figure.set_layout_engine(None)  # With a layout, every file is drawn once more to make it.
    canvas.draw()  # type: ignore[no-untyped-call]
    pixels = Image.frombuffer("RGBA", canvas.get_width_height(physical=True), canvas.buffer_rgba())  # type: ignore[no-untyped-call]
    # Every pixel is opaque: without the fourth channel, and at this level, writing takes two thirds of the time and the file is smaller.
    pixels.convert("RGB").save(image, "png", dpi=(figure.dpi, figure.dpi), compress_level=4)
    (folder / f"{picture.name}.png").write_bytes(image.getvalue())
    with light_fonts():
        figure.savefig(folder / f"{picture.name}.pdf", metadata={"CreationDate": None})
    data = base64.b64encode(image.getvalue()).decode("ascii")
    return {
        "name": picture.name,
        "title": picture.title,
        "how": picture.how,
        "section": picture.section,
        "image": f"data:image/png;base64,{data}",
    }
