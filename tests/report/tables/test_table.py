"""Tables as data."""

from __future__ import annotations

from ungrok.report.tables.table import Table


def test_groups_begin_where_the_spans_before_them_end():
    table = Table("t", "how", list("abcdef"), [], groups=[("", 2), ("one", 3), ("two", 1)])
    assert table.starts == {2, 5}
    assert Table("t", "how", ["a"], []).starts == set()
