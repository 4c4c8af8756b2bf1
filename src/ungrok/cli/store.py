"""The commands on a store of finished jobs: store size, store prune."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from ungrok.cli.options import AsJson, StoreDir, study_folder
from ungrok.cli.output import print_table, say
from ungrok.core.errors import RecipeError

if TYPE_CHECKING:
    from ungrok.study.folder import StudyFolder
    from ungrok.study.store import Store

app = typer.Typer(help="Show what a store takes, and remove what no report needs.")


def _opened(runs: list[Path], store: Path | None) -> tuple[Store, list[StudyFolder]]:
    """Return the store of studies, and the studies as they lie in it."""
    from ungrok.study.prune import studies_of
    from ungrok.study.store import Store

    if not runs and store is None:
        raise RecipeError("RUN: name the --out folder of a study, or the store with --store")
    where = Store(store) if store else studies_of(runs[0])[0].store
    return where, [study for run in runs for study in studies_of(run, where.root)]


Runs = Annotated[
    list[Path] | None,
    typer.Argument(metavar="RUN", callback=study_folder, help="The --out folders of studies that share the store."),
]


@app.command()
def size(runs: Runs = None, store: StoreDir = None, as_json: AsJson = False) -> None:
    """Print what a store takes, by kind of job and by study.

    The last column is what goes if this study goes; for a kind, what none of the named studies has.
    """
    from ungrok.study.prune import sizes

    where, studies = _opened(runs or [], store)
    kinds, by_study = sizes(where, studies)
    if as_json:
        shares = {"kinds": kinds, "studies": by_study}
        typer.echo(json.dumps({name: [vars(share) for share in listed] for name, listed in shares.items()}, indent=1))
        return
    total = sum(share.bytes for share in kinds)
    for what, listed, alone in (("kind of job", kinds, "in no study named"), ("study", by_study, "in no other")):
        if listed:
            rows = [[s.name, f"{s.jobs}", _megabytes(s.bytes), _megabytes(s.alone)] for s in listed]
            print_table([what, "jobs", "MB", alone], rows)
    typer.echo(f"{where.root}: {sum(share.jobs for share in kinds)} jobs, {_megabytes(total)} MB")


@app.command()
def prune(
    runs: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", callback=study_folder, help="The --out folders of all studies to be kept."),
    ],
    store: StoreDir = None,
    keep_scores: Annotated[
        bool, typer.Option("--keep-scores", help="Keep the scores along paths, from which new measures are computed.")
    ] = False,
    yes: Annotated[bool, typer.Option("--yes", help="Remove it; without this, only show what would go.")] = False,
) -> None:
    """Show what of a store the reports of studies do not need, and remove it with --yes.

    That is every job that none of the studies has, checkpoints in the middle of their trainings, and the scores along their paths. A study
    makes again what it needs of it. While a study runs on the store, nothing is removed.
    """
    from ungrok.study.prune import prune as remove
    from ungrok.study.prune import unneeded

    where, studies = _opened(runs, store)
    what = unneeded(where, studies, keep_scores=keep_scores)
    rows = [
        [f"{kind}", f"{count} {unit}{'s' * (count > 1)}", _megabytes(taken)]
        for kind, unit, count, taken in what.by_kind()
    ]
    if rows:
        print_table(["kind of job", "to be removed", "MB"], rows)
    if yes:
        remove(where, what)
    done = "removed" if yes else "can go"
    typer.echo(f"{where.root}: {_megabytes(what.bytes)} MB {done}")
    if rows and not yes:
        say("nothing was removed; --yes removes it")


def _megabytes(size: int) -> str:
    return f"{size / 1e6:.1f}"
