"""The command that lays finished studies side by side: evidence."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Annotated

import typer

from ungrok.cli.options import AsJson, PageDir, SaveDir, nameable
from ungrok.core.errors import RecipeError, shown_file


def _there(param: typer.CallbackParam, value: list[Path]) -> list[Path]:
    """Return paths that exist; told before the modules that read them are imported."""
    nameable(param, value)
    for path in value:
        if not path.exists():
            raise RecipeError(f"RUN: {shown_file(path)} is not there")
    return value


def evidence(
    paths: Annotated[
        list[Path],
        typer.Argument(
            metavar="RUN",
            callback=_there,
            help="The --out folders of studies and audits, files that --save wrote, or folders of them.",
        ),
    ],
    out: PageDir = None,
    save: SaveDir = None,
    markdown: Annotated[bool, typer.Option("--markdown", help="Print the page docs/results.md.")] = False,
    as_json: AsJson = False,
) -> None:
    """Say which claims hold over several studies.

    In all settings, in some or in none, and without each study in turn: as a page and a JSON file. With --save, --markdown or --json it does that instead, unless --out asks for the page too.
    """
    from ungrok.report import evidence as filed
    from ungrok.report.evidence_audits import read_audits, save_audits

    every, audits = filed.read(paths), read_audits(paths)
    if save:
        for file in (*filed.save(save, every), *save_audits(save, audits)):
            typer.echo(file)
    if markdown:
        from ungrok.report.evidence_docs import results_page

        typer.echo(results_page(every, audits), nl=False)
    if as_json or out or not (save or markdown):
        from ungrok.report import evidence_page as page

        if as_json:
            typer.echo(json.dumps(page.as_json(every, audits), indent=1, ensure_ascii=False))
        if out or not (save or markdown or as_json):
            typer.echo(page.write_evidence(out or Path("runs") / "evidence", every, audits))
