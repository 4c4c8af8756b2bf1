"""The command that says when training should stop if requests for deletion will come: advise."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from ungrok.cli.options import AsJson, FigureDir, StoreDir, one_of, study_folder
from ungrok.cli.output import print_table, say
from ungrok.core.errors import RecipeError, shown

if TYPE_CHECKING:
    from ungrok.study.deletion_costs import Unit

BY: tuple[Unit, ...] = ("passes", "seconds")

Size = Annotated[
    str | None,
    typer.Option(
        help="Share of the training set in each request, for instance 1%; default: that of each forget split."
    ),
]
Accuracy = Annotated[
    float | None,
    typer.Option(
        min=0, max=1, help="Least validation accuracy before any request; default: the best stage's less --damage."
    ),
]


def share(text: str) -> float:
    """Return a share that is written as such or in percent, for instance ``0.01`` or ``1%``.

    Raises:
        RecipeError: If it is neither, or not above 0 and below 1.

    """
    try:
        value = float(text.removesuffix("%")) / (100 if text.endswith("%") else 1)
    except ValueError:
        value = -1
    if not 0 < value < 1:
        raise RecipeError(f"--size: {shown(text)} is no share of a training set; allowed: for instance 1% or 0.01")
    return value


def advise(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", callback=study_folder, help="The --out folders of one or more studies."),
    ],
    requests: Annotated[int, typer.Option(min=1, help="Requests for deletion that will come.")],
    size: Size = None,
    by: Annotated[str, typer.Option(help="Compare costs in passes over the training data, or in seconds.")] = "passes",
    together: Annotated[int, typer.Option(min=1, help="Requests that are gathered before models are retrained.")] = 1,
    damage: Annotated[float, typer.Option(min=0, help="Largest loss of accuracy beyond the oracle.")] = 0.02,
    tolerance: Annotated[float, typer.Option(min=0, help="How far UA may stay above the oracle's.")] = 0.05,
    fulfilled: Annotated[
        float, typer.Option(min=0, max=1, help="Least share of requests that a method must fulfill by itself.")
    ] = 0.9,
    accuracy: Accuracy = None,
    margin: Annotated[
        float, typer.Option(min=0, help="Share of the cost within which a choice does not matter.")
    ] = 0.1,
    batch_size: Annotated[
        int | None,
        typer.Option(min=1, help="Examples that an update of the training of a sweep read, where it does not say."),
    ] = None,
    out: FigureDir = None,
    store: StoreDir = None,
    as_json: AsJson = False,
) -> None:
    """Say when to stop training if deletion requests will come.

    Every method from every stage is priced, the training to get there included, beside retraining; with several studies, also how often the advice holds in a study left out.
    """
    unit: Any = one_of("--by", by, BY)
    asked = None if size is None else share(size)
    from ungrok.report import advice as told
    from ungrok.study.advise import Terms
    from ungrok.study.advise_across import held_out
    from ungrok.study.deletion_costs import knows_batches, settings_of
    from ungrok.study.folder import StudyFolder

    terms = Terms(requests, asked, unit, together, damage, fulfilled, accuracy, margin)
    studies = [StudyFolder.open(path, store) for path in folders]
    if batch_size is not None and all(knows_batches(study.plan) for study in studies):
        raise RecipeError(
            "--batch-size: every study says how many examples an update of its training read; leave it out"
        )
    settings = [one for study in studies for one in settings_of(study, asked, tolerance, batch_size)]
    every, left_out = told.feasible(settings, terms)
    tested = held_out([one.setting for one in every], terms)
    figure = told.write_figure(out or folders[0], every)
    if as_json:
        typer.echo(json.dumps(told.as_json(every, tested, terms), indent=1, ensure_ascii=False, allow_nan=False))
        return
    rows = told.table(every[0]) if len(every) == 1 else told.across_table(every)
    print_table(told.COLUMNS if len(every) == 1 else told.ACROSS, rows)
    for sentence in told.sentences(every[0]) if len(every) == 1 else told.across(every, tested, terms):
        typer.echo(sentence)
    for sentence in left_out:
        say(sentence)
    typer.echo(figure)
