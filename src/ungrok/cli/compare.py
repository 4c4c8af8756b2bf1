"""Commands that set finished studies beside the paper, each other, or themselves with sides swapped: compare, mediation, calibrate."""

from __future__ import annotations

import json
from itertools import groupby
from pathlib import Path
from typing import Annotated

import typer

from ungrok.cli.options import AsJson, StoreDir, study_folder
from ungrok.cli.output import print_table, say


def compare(
    folder: Annotated[Path, typer.Argument(metavar="RUN", callback=study_folder, help="The --out folder of a study.")],
    paper: Annotated[str, typer.Option("--with", help="Part of the paper, for instance paper:table1.")],
    place: Annotated[
        list[str] | None,
        typer.Option(
            help="What of the study stands for a stage or forget split of the paper: pre=step-52800, classes-2-0.15=class."
        ),
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Print the paper's numbers beside those of a study.

    For each difference that the paper draws conclusions from, say whether it holds.
    """
    from ungrok.report import compare as beside
    from ungrok.report import paper as printed
    from ungrok.report.view import View
    from ungrok.study.folder import StudyFolder

    view = View.of(StudyFolder.open(folder))
    lines = [line.to_dict() for line in beside.compare(view, paper, place or ())]
    if as_json:
        typer.echo(json.dumps(lines, indent=1, ensure_ascii=False))
        return
    for table, group in groupby(lines, key=lambda line: line["table"]):
        typer.echo(f"{printed.paper()[table]['title']} (arXiv 2512.03437) against {folder}")
        typer.echo(beside.scales(view, table))
        rows = [{key: cell for key, cell in line.items() if key != "table"} for line in group]
        print_table(list(rows[0]), [list(row.values()) for row in rows])
    verdicts = [line["verdict"] for line in lines if line["claimed"]]
    typer.echo(", ".join(f"{verdicts.count(word)} {word}" for word in beside.VERDICTS))
    for line in printed.missing(view, paper, place or ()):
        say(line)


def mediation(
    folders: Annotated[
        list[Path],
        typer.Argument(metavar="RUN", callback=study_folder, help="The --out folders of two or more studies."),
    ],
    as_json: AsJson = False,
) -> None:
    """Ask which measures predict the cost of unlearning.

    The question is what they predict beyond test accuracy, in all studies together and again without each of them.
    """
    from ungrok.report import mechanism

    correlations = mechanism.across(folders)
    if as_json:
        typer.echo(correlations.to_json(orient="records", indent=1))
        return
    for sentence in mechanism.sentences(correlations):
        typer.echo(sentence)


def calibrate(
    folder: Annotated[Path, typer.Argument(metavar="RUN", callback=study_folder, help="The --out folder of a study.")],
    draws: Annotated[int, typer.Option(min=1, help="Random swaps.")] = 100,
    store: StoreDir = None,
    as_json: AsJson = False,
) -> None:
    """Swap the sides at random and count the words given.

    Nothing tells sides apart that are swapped within seeds, so every word is a mistake. Their share should be about the level at which the report was judged, or less.
    """
    from ungrok.study.calibrate import calibrate as swap_and_judge
    from ungrok.study.claims.judge import all_paths_of
    from ungrok.study.folder import StudyFolder

    study = StudyFolder.open(folder, store)
    results = study.results
    paths = all_paths_of(results.rows, results.stress, results.lasting)
    calibration = swap_and_judge(paths, study.recipe, study.doses, draws, alpha=study.alpha)
    shares = calibration.to_dict()
    if as_json:
        typer.echo(json.dumps(shares, indent=1))
        return
    low, high = calibration.interval
    typer.echo(
        f"any direction: {calibration.words} of {calibration.draws} draws, {shares['any_word']:.1%} "
        f"[{low:.1%}, {high:.1%}]; the report was judged at {calibration.alpha:.2%}"
    )
    for claim, count in calibration.claims.items():
        typer.echo(f"{claim}: {count}")
    typer.echo(f"no difference: {calibration.no_difference}")
