"""The program ``ungrok``: its commands, and how errors and interrupts end it."""

from __future__ import annotations

import atexit
import gc
import signal
import sys
import warnings
from typing import Annotated, Any

import typer
from typer.core import TyperGroup

from ungrok.cli import advise, audit, compare, delete, evidence, listing, share, single, store, study, sweep
from ungrok.cli.output import say
from ungrok.core.errors import StoreError, UngrokError, UngrokWarning, WorkersLost, clipped, first_line

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


for command in (study.study, study.stress, study.check, study.show, study.report):
    app.command()(command)
for command in (single.train, single.unlearn, single.evaluate, single.analyze):
    app.command()(command)
app.command()(audit.audit)
app.command()(sweep.sweep)
app.command()(sweep.convert)
app.command()(delete.delete)
app.command()(compare.compare)
app.command()(compare.mediation)
app.command()(compare.calibrate)
app.command()(evidence.evidence)
app.command()(advise.advise)
app.command(name="list")(listing.list_)
app.command()(share.export)
app.command(name="import")(share.import_)
app.add_typer(store.app, name="store")


_Misused: type[Exception] = typer.BadParameter.__mro__[2]
"""``ClickException``: click's, or that of the copy of click which newer versions of typer bring along."""

LONGEST = 390
"""Characters of an error; what is longer loses its middle."""


def _warn(message: Warning | str, category: type[Warning], filename: str, lineno: int, *_: Any) -> None:
    """Print a warning of this package as one line, and any other as Python does."""
    if issubclass(category, UngrokWarning):
        say(f"warning: {clipped(str(message), LONGEST)}")
    else:
        typer.echo(warnings.formatwarning(message, category, filename, lineno), err=True, nl=False)


def main() -> None:
    """Run the command line. An error is one line of text; its exit code is 1 for a broken store or lost workers, and 2 for all that a user can mend."""
    atexit.register(gc.freeze)  # a process that ends leaves its garbage to the system
    try:
        with warnings.catch_warnings():
            warnings.showwarning = _warn  # type: ignore[assignment]
            sys.exit(app(sys.argv[1:] or ["--help"], standalone_mode=False))
    except typer.Exit as stop:
        sys.exit(stop.exit_code)
    except _Misused as error:
        say(f"error: {clipped(error.format_message(), LONGEST)}")  # type: ignore[attr-defined]
        sys.exit(2)
    except UngrokError as error:
        say(f"error: {clipped(str(error), LONGEST)}")
        sys.exit(1 if isinstance(error, StoreError | WorkersLost) else 2)
    except RuntimeError as error:
        import torch

        if not isinstance(error, torch.OutOfMemoryError):
            raise
        # Inside a job the message would name the keys of the recipe to lower.
        say(f"error: the device is out of memory; lower the batch sizes or the size of the model ({first_line(error)})")
        sys.exit(2)
