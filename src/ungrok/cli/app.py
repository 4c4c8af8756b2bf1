"""The program ``ungrok``: its commands, and how errors and interrupts end it."""

from __future__ import annotations

import signal
import sys
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ungrok.cli import compare, listing, single, study
from ungrok.cli.output import say
from ungrok.core.errors import StoreError, UngrokError, WorkersLost, first_line

INTERRUPTED = 130
"""Exit code of a program that Ctrl-C has ended: 128 and the number of the signal."""


class _Commands(TyperGroup):
    def invoke(self, ctx: Any) -> Any:
        """Run a command, and say so if it is interrupted: typer would end it without a word."""
        try:
            return super().invoke(ctx)
        except KeyboardInterrupt:
            signal.signal(
                signal.SIGINT, signal.SIG_IGN
            )  # the program is ending; a second Ctrl-C would only add a traceback
            say("interrupted; run the same command again to go on from here")
            raise typer.Exit(INTERRUPTED) from None


app = typer.Typer(
    cls=_Commands,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=None,
    help="Machine unlearning as a function of when a model's training stopped.",
)


def _print_version(wanted: bool) -> None:
    if wanted:
        from importlib import metadata

        typer.echo(f"ungrok {metadata.version('ungrok')}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", is_eager=True, callback=_print_version, help="Print the version and exit.")
    ] = False,
) -> None:
    pass


for command in (study.study, study.check, study.show, study.report):
    app.command()(command)
for command in (single.train, single.unlearn, single.evaluate, single.analyze):
    app.command()(command)
app.command()(compare.compare)
app.command()(compare.mediation)
app.command(name="list")(listing.list_)


def main() -> None:
    """Run the command line. An error is one line of text; its exit code is 1 for a broken store or lost workers, and 2 for all that a user can mend."""
    try:
        app()
    except UngrokError as error:
        say(f"error: {error}")
        sys.exit(1 if isinstance(error, StoreError | WorkersLost) else 2)
    except RuntimeError as error:
        import torch

        if not isinstance(error, torch.OutOfMemoryError):
            raise
        # Inside a job the message would name the keys of the recipe to lower.
        say(f"error: the device is out of memory; lower the batch sizes or the size of the model ({first_line(error)})")
        sys.exit(2)
