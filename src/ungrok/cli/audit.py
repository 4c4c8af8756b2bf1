"""The command that trains shadow models and asks many of them at once."""

from __future__ import annotations

import typer

from ungrok.cli.options import OutDir, Overrides, RecipeName, Scheduler, StoreDir, Workers, check_scheduler, load_recipe
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

    Shadow models are trained, unlearned, and compared with those that never saw the data. Only the jobs of the recipe's block audit are run; a recipe without one gets the default one, of 64 shadows. What the measures say, and
    which of them may speak, is written to audit.json. Jobs that are finished already are not run again.
    """
    check_scheduler(scheduler)
    content = load_recipe(recipe, overrides)
    if content.audit is None:
        content = load_recipe(recipe, [*(overrides or ()), "audit={}"])
    from ungrok.study.audit import FILE, run_audit
    from ungrok.study.run import folders, planned

    folder, where = folders(content, out, store)
    run_audit(planned(content), folder, where, workers=workers, scheduler=scheduler, say=say)
    typer.echo(folder / FILE)
