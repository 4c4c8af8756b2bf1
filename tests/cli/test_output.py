"""What commands print."""

from __future__ import annotations

import io
import re
import sys

from ungrok.cli.output import print_rows, print_table, say


class Terminal(io.StringIO):
    def isatty(self):
        return True


def test_rows_are_comma_separated_and_what_is_missing_is_empty(capsys):
    print_rows([{"a": 1, "b": None}, {"a": 0.5, "b": "x"}])
    print_rows([{"a": 1, "b": 2}], ("b",))
    assert capsys.readouterr().out == "a,b\n1,\n0.5,x\nb\n2\n"


def test_a_table_is_separated_by_tabs_where_there_is_no_terminal(capsys):
    print_table(["name", "what"], [["one", "two words"]])
    print_table(["name", "what"], [["one", "two words"]], header=False)
    assert capsys.readouterr().out == "name\twhat\none\ttwo words\none\ttwo words\n"


def test_a_table_is_aligned_on_a_terminal(monkeypatch):
    monkeypatch.setattr(sys, "stdout", Terminal())
    print_table(["name", "what"], [["one", "x"], ["longer", "y"]])
    lines = re.sub(r"\x1b\[[\d;]*m", "", sys.stdout.getvalue()).splitlines()
    assert [line.rstrip() for line in lines] == ["name    what", "one     x", "longer  y"]


def test_what_is_said_is_no_result(capsys):
    say("hello")
    assert capsys.readouterr() == ("", "hello\n")
