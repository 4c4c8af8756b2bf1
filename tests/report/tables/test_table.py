"""Tables as data."""

from __future__ import annotations

from ungrok.report.tables.table import Cell, Placed, Table, reason


def test_groups_begin_where_the_spans_before_them_end():
    table = Table("t", "how", list("abcdef"), [], groups=[("", 2), ("one", 3), ("two", 1)])
    assert table.starts == {2, 5}
    assert Table("t", "how", ["a"], []).starts == set()


def test_neighbors_with_the_same_reason_are_one_cell():
    """Side by side first; below only where the same columns have the same reason in the row above."""
    (never,) = reason("never")
    rows = [
        ["a", *reason("never", 2), "1"],
        ["b", *reason("never", 2), "2"],
        ["c", *reason("never"), *reason("diverged"), "3"],
        ["d", *reason("never", 3)],
        ["e", *reason("never", 3)],
        ["f", "never", "never", "4"],
    ]
    grid = Table("t", "how", list("wxyz"), rows).grid
    assert grid[0] == [Placed("a", 0), Placed(never, 1, columns=2, rows=2), Placed("1", 3)]
    assert grid[1] == [Placed("b", 0), Placed("2", 3)]
    assert [(one.column, one.columns, one.rows) for one in grid[2]] == [(0, 1, 1), (1, 1, 1), (2, 1, 1), (3, 1, 1)]
    assert grid[3] == [Placed("d", 0), Placed(never, 1, columns=3, rows=2)]
    assert grid[4] == [Placed("e", 0)]
    # Values that happen to be alike stay apart.
    assert len(grid[5]) == 4
    assert sum(one.columns * one.rows for row in grid for one in row) == sum(len(row) for row in rows)


def test_a_reason_keeps_its_tone():
    assert reason("never", 2, "inconclusive") == [Cell(("never",), "inconclusive", reason=True)] * 2
