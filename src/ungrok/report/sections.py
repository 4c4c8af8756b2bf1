"""The sections of a page below its front: what folds, in order, each under the title by which the navigation names it."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Any

from ungrok.report.attacks import Attacks
from ungrok.report.families import ReportFamily
from ungrok.report.mechanism import Mechanism
from ungrok.report.tables import costs, oracle, transitions, updates, verdicts
from ungrok.report.tables import mechanism as mechanism_tables
from ungrok.report.tables.audit import Audit, audit_tables
from ungrok.report.tables.components import components
from ungrok.report.tables.controls import controls
from ungrok.report.tables.exposure import exposure
from ungrok.report.tables.lasting import lasting_table
from ungrok.report.tables.provenance import provenance
from ungrok.report.tables.schemes import schemes
from ungrok.report.tables.sequences import sequences
from ungrok.report.tables.stress import stress_tables
from ungrok.report.tables.table import Table
from ungrok.report.tables.warnings import warnings
from ungrok.report.view import View
from ungrok.study.loading import to_yaml
from ungrok.study.names import Names

Shown = dict[str, str]
"""A figure as the page holds it: its ``name``, ``title``, ``how``, the ``section`` that it stands in, and ``image``, a data URI."""


@dataclass(frozen=True)
class Section:
    """A part of the page that folds.

    Args:
        key: Its name in links.
        title: What stands over it and in the navigation.
        tables: Its tables, each with a class of the style sheet.
        figures: Its figures, which stand before its tables.
        sentences: Its sentences, which stand before both.
        intro: What stands first.
        code: Text that is shown letter by letter, last.

    """

    key: str
    title: str
    tables: Sequence[tuple[str, Table]] = ()
    figures: Sequence[Shown] = field(default=(), repr=False)
    sentences: Sequence[str] = ()
    intro: str = ""
    code: str = ""


def sections(
    view: View,
    family: ReportFamily,
    mechanism: Mechanism,
    attacks: Attacks,
    figures: Sequence[Shown],
    made: dict[str, Any],
) -> list[Section]:
    """Return the sections of a page.

    Args:
        view: The study.
        family: What its report is made of.
        mechanism: What was measured on its models.
        attacks: What was done to them after unlearning.
        figures: Its figures but for the front's.
        made: What the study was made with.

    """
    return [
        *_of_verdicts(view, family.later),
        *_optional("exposure", "Randomized exposure", exposure(view)),
        Section("figures", "Figures", figures=_of("figures", figures)),
        *_optional("lasting", "Forgetting that lasts", lasting_table(view), _of("lasting", figures)),
        *_optional("stress", "Attacks after unlearning", stress_tables(attacks), _of("stress", figures)),
        *audit_section(view.audit, view.names, _of("audit", figures)),
        *_optional("sequences", "Requests in sequence", sequences(view), _of("sequences", figures)),
        *_optional("schemes", "Schemes that certify or prepare", schemes(view)),
        *_optional("language", "Language", family.own_tables(view)),
        Section(
            "oracle", "Oracle gap",
            [*_plain(oracle.oracle_gaps(view)), *(("ends", table) for table in family.ends(view))],
            intro="" if view.methods else "No unlearning path and no oracle exists at any stage.",
        ),
        *_optional("ranking", "Methods ranked", oracle.ranking(view)),
        *_of_mechanism(mechanism),
        Section(
            "updates", "Updates to target", _plain([*updates.updates_to_target(view), *updates.learning_rates(view), *components(view)]),
            intro="" if view.methods else "No unlearning path exists.",
        ),
        Section("transitions", "Transitions", _plain([transitions.transitions(view), transitions.grok_rates(view), *controls(view)])),
        _of_costs(view, _of("cost", figures)),
        _of_warnings(view),
        Section(
            "recipe", "Recipe", intro="With every default; ungrok study accepts it as a file.", code=to_yaml(view.recipe)
        ),
        Section("provenance", "Provenance", [("plain", provenance(made))]),
    ]  # fmt: skip


def _plain(tables: Iterator[Table] | Sequence[Table]) -> list[tuple[str, Table]]:
    return [("", table) for table in tables]


def _of(section: str, figures: Sequence[Shown]) -> list[Shown]:
    return [figure for figure in figures if figure["section"] == section]


def _optional(key: str, title: str, tables: Iterator[Table], figures: Sequence[Shown] = ()) -> Iterator[Section]:
    """Yield a section unless it would be empty."""
    there = _plain(tables)
    if there or figures:
        yield Section(key, title, there, figures)


def audit_section(audit: Audit, names: Names, figures: Sequence[Shown] = ()) -> Iterator[Section]:
    """Yield what audits of many models say, where there are any."""
    yield from _optional("audit", "Audits of many models", audit_tables(audit, names), figures)


def _of_verdicts(view: View, later: str) -> Iterator[Section]:
    tables = [("verdicts", table) for table in verdicts.all_verdicts(view, later)]
    intro = (
        "Every claim at every target and setting, the headline family among them; the others are exploratory, each with an "
        "interval of its own."
    )
    yield Section("verdicts", "All verdicts", tables, intro=intro if tables else "Nothing was compared.")


def _of_mechanism(mechanism: Mechanism) -> Iterator[Section]:
    tables = [("mechanism", table) for table in mechanism_tables.tables(mechanism)]
    if tables:
        yield Section("mechanism", "Mechanism", tables, sentences=mechanism.sentences())


def _of_costs(view: View, figures: Sequence[Shown]) -> Section:
    tables = [table for table in (costs.training_cost(view), costs.request_cost(view)) if table]
    intro = "" if tables or figures else "Nothing was compared."
    return Section("cost", "Cost of grokking", _plain(tables), figures, intro=intro)


def _of_warnings(view: View) -> Section:
    said = warnings(view)
    return Section("warnings", f"Warnings ({len(said)})", sentences=said, intro="" if said else "None.")
