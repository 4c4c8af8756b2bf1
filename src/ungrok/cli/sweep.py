"""Commands on checkpoints of the user's own: sweep, convert."""

from __future__ import annotations

import inspect
from pathlib import Path
from typing import Annotated, Any

import typer

from ungrok.cli.options import OutDir, Track, nameable, writable
from ungrok.cli.output import say, tracked
from ungrok.core.errors import RecipeError, listed, nearest, shown

SEED = "{seed}"
"""Stands for the seed in the name of a folder."""


def sweep(
    folder: Annotated[
        str,
        typer.Argument(metavar="FOLDER", help="Of the checkpoints; with --seeds it holds {seed}, as in 'runs/{seed}'."),
    ],
    data: Annotated[
        str, typer.Option(help="module:function, which returns a dict: forget, retain, test, model; see ungrok.sweep.")
    ],
    train: Annotated[
        str | None,
        typer.Option(
            help="module:function of a seed, which trains without forget and returns checkpoints or their folder."
        ),
    ] = None,
    method: Annotated[list[str] | None, typer.Option(help="Name of a method; may be given several times.")] = None,
    seeds: Annotated[int | None, typer.Option(min=1, max=1000, help="Number of runs, seeds 0, 1, …")] = None,
    out: OutDir = None,
    track: Track = None,
) -> None:
    """Run a study of checkpoints of your own and write its report.

    They are measured, unlearned from and compared with your own retraining (--train). What is finished already is not done again.
    """
    if (SEED in folder) != (seeds is not None):
        raise RecipeError(f"--seeds: goes with a FOLDER that holds {SEED}, as 'runs/{SEED}', and only with such a one")
    from ungrok import api
    from ungrok.core.users_function import users_function

    oracle = None if train is None else users_function(train, "--train")
    given = _given(data)
    if oracle is not None:
        given["oracle"] = oracle
    if method:
        given["methods"] = method
    if seeds is not None:
        given |= {"checkpoints": lambda seed: folder.replace(SEED, str(seed)), "seeds": range(seeds)}
    else:
        given["checkpoints"] = folder
    made = api.sweep(**given, out=out or Path("runs") / "sweep", say=say)
    tracked(made, track)
    typer.echo(made.path / "report" / "index.html")


def _given(name: str) -> dict[str, Any]:
    """Return the arguments of ``ungrok.sweep`` that the user's function gives."""
    from ungrok import api
    from ungrok.core.users_function import called

    known = [
        key for key in inspect.signature(api.sweep).parameters if key not in ("checkpoints", "out", "say", "settings")
    ]
    given = called(name, "--data", known)
    lacking = [key for key in ("forget", "retain", "test") if key not in given]
    if lacking:
        near = nearest(lacking[0], map(str, given))
        raise RecipeError(f"--data: {shown(name)} gives no {lacking[0]}; allowed: a dict with {listed(known)}{near}")
    return dict(given)


def convert(
    files: Annotated[
        list[Path], typer.Argument(metavar="FILE...", callback=nameable, help="Written by torch.save; you trust them.")
    ],
    key: Annotated[
        str | None,
        typer.Option(help="The part that holds the weights, where there are several, as ema beside model."),
    ] = None,
    out: Annotated[
        Path | None,
        typer.Option(callback=nameable, help="Where the weights of one FILE go; default: FILE with .safetensors."),
    ] = None,
) -> None:
    """Write the weights in pickled files as safetensors.

    Where a file holds more than tensors, this runs whatever code is in it: do it only with files of people you trust.
    """
    if out is not None and len(files) > 1:
        raise RecipeError(f"--out: names one file, and {len(files)} are to be written; leave it out")
    targets = [writable(out or file.with_suffix(".safetensors"), "--out") for file in files]
    from ungrok.core.weight_files import convert as write

    for file, target in zip(files, targets, strict=True):
        write(file, target, key)
        typer.echo(target)
