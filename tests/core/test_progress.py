"""Progress is a bar on a terminal and a few plain lines elsewhere."""

import io

import pytest
from rich.console import Console

from ungrok.core.progress import progress


def shown(total, dones, *, terminal):
    file = io.StringIO()
    with progress("reading [x]", total, Console(file=file, force_terminal=terminal, width=100)) as note:
        for done in dones:
            note(done)
    return file.getvalue()


@pytest.mark.parametrize("step", [1, 7, 100, 1000])
def test_plain_lines_where_there_is_no_terminal(step):
    text = shown(1000, [*range(step, 1000, step), 1000], terminal=False)
    lines = text.splitlines()
    assert 1 <= len(lines) <= 5
    assert lines[-1] == "reading [x]: 1000 of 1000"
    assert "\r" not in text
    assert "\x1b" not in text


def test_a_bar_on_a_terminal():
    text = shown(1000, [400, 1000], terminal=True)
    assert "\x1b" in text
    assert "1000/1000" in text


def test_nothing_to_do():
    assert shown(0, [], terminal=False) == ""


def test_a_line_for_every_fifth_of_the_work():
    lines = shown(1000, range(1, 1001), terminal=False).splitlines()
    assert lines == [f"reading [x]: {done} of 1000" for done in (200, 400, 600, 800, 1000)]
    assert shown(0, [0], terminal=False) == ""


def test_on_standard_error_unless_told_otherwise(capsys):
    label = "a file with a name that is longer than a line of a terminal " * 3
    with progress(label, 1) as note:
        note(1)
    out, err = capsys.readouterr()
    assert (out, err) == ("", f"{label}: 1 of 1\n")
