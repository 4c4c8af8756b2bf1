"""The command line: one file for each group of commands. A command imports what it needs when it runs, not before."""

from ungrok.cli.app import app, main

__all__ = ["app", "main"]
