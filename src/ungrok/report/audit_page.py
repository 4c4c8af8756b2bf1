"""The page of an audit that was run alone: ``report/audit.html``."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import matplotlib as mpl

from ungrok.core.files import write_text
from ungrok.report.export import write_tables
from ungrok.report.figures.audit import audit_pictures
from ungrok.report.figures.drawing import STYLE, glyphs_named
from ungrok.report.front import Screen, privacy_sentences
from ungrok.report.page import filled, saved, tables_of
from ungrok.report.sections import Section, audit_section
from ungrok.study.loading import to_yaml
from ungrok.study.names import Names
from ungrok.study.privacy import QUESTION
from ungrok.study.recipe import Recipe
from ungrok.study.store import explained

SHADOWS = "Shadow models are audited: models trained on random halves of a pool, and those of them that unlearned."


def write_audit_page(out: Path, recipe: Recipe, audit: Mapping[str, Any]) -> Path:
    """Write the page of an audit under ``out``, its figures under ``report/figures`` and its tables under ``report/tables/audit``.

    Args:
        out: The study's folder.
        recipe: Its recipe.
        audit: What ``audit.json`` holds.

    Returns:
        The path of the page.

    Raises:
        StoreError: If the folder cannot be written.

    """
    page, names = out / "report" / "audit.html", Names(recipe)
    with explained(out), mpl.rc_context(STYLE), glyphs_named():
        (page.parent / "figures").mkdir(parents=True, exist_ok=True)
        shown = [saved(picture, page.parent / "figures") for picture in audit_pictures(audit, names)]
        recipe_section = Section(
            "recipe", "Recipe", intro="With every default; ungrok audit accepts it as a file.", code=to_yaml(recipe)
        )
        content = {
            "name": f"{recipe.name}, audit",
            "question": SHADOWS,
            "screen": Screen([], [], [], [(QUESTION, privacy_sentences(audit))]),
            "words": [],
            "front": shown,
            "headline": [],
            "sections": [*audit_section(audit, names), recipe_section],
        }
        write_text(page, filled(content))
        write_tables(page.parent / "tables" / "audit", tables_of(content))
    return page
