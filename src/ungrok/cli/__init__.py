"""The command line: one file a group of commands, each of which imports what it needs when it runs."""

from ungrok.cli.app import app, main

__all__ = ["app", "main"]
