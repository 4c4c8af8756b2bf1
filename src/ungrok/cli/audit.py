"""The command that trains shadow models and asks many of them at once."""

from __future__ import annotations

import typer

from ungrok.cli.options import (
    OutDir,
    Overrides,
    RecipeName,
    Scheduler,
    StoreDir,
    Workers,
    check_scheduler,
    load_with_block,
)
from ungrok.cli.output import say


def audit(
    recipe: RecipeName,
    overrides: Overrides = None,
    out: OutDir = None,
    store: StoreDir = None,
    workers: Workers = None,
    scheduler: Scheduler = None,
) -> None:
    """Audit methods by many shadow models of a recipe.

    Shadow models are trained, unlearned, and compared with those that never saw the data. Only the jobs of the recipe's block audit are run; a
    recipe without one gets the default one, of 64 shadows. What the measures say, and which of them may speak, is written to audit.json and to a
    page. Jobs that are finished already are not run again.
    """
    check_scheduler(scheduler)
    content = load_with_block(recipe, overrides, "audit")
    from ungrok.report.audit_page import write_audit_page
    from ungrok.study.audit import run_audit
    from ungrok.study.folder import kept_where_read_only
    from ungrok.study.run import folders, planned

    folder, where = folders(content, out, store)
    told = run_audit(planned(content), folder, where, workers=workers, scheduler=scheduler, say=say)
    with kept_where_read_only(folder, "its page and figures", say):
        typer.echo(write_audit_page(folder, content, told))
