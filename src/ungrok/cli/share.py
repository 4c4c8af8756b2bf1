"""The commands that hand studies on: export, import."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from ungrok.cli.options import StoreDir, nameable, study_folder
from ungrok.cli.output import say

Folder = Annotated[Path, typer.Argument(metavar="FOLDER", callback=nameable, help="The folder to be shared.")]


def export(
    run: Annotated[Path, typer.Argument(metavar="RUN", callback=study_folder, help="The --out folder of a study.")],
    folder: Folder,
    weights: Annotated[bool, typer.Option("--weights", help="Also write checkpoints and models.")] = False,
    store: StoreDir = None,
) -> None:
    """Write a finished study as a data set that others can load.

    The folder holds the tables, the recipe, every job with its scores, and a checksum of each file. Models are left out unless
    --weights is given; without them a new method trains them again.
    """
    from ungrok.study.folder import StudyFolder
    from ungrok.study.share import export_study

    count = export_study(StudyFolder.open(run, store), folder, weights=weights)
    say(f"{count} jobs written")
    typer.echo(folder)


def import_(folder: Folder, store: StoreDir = None) -> None:
    """Check an exported study and bring it into a store.

    A changed file is refused and named, and so is a job whose key does not follow from its spec; nothing is imported then.
    """
    from ungrok.study.share import import_study
    from ungrok.study.store import Store

    made = import_study(folder, Store(store or Path("runs") / "store"))
    say(f"{made.jobs} jobs imported, {made.known} were there already")
    typer.echo(made.recipe)
