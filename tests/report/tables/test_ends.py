"""The table of path ends against numbers worked out by hand: value k of a row is (k + seed)/100."""

from __future__ import annotations

from ungrok.evaluate.membership import READING
from ungrok.report.tables.ends import AUCS, COLUMNS, DISTANCES, GROUPS, SHARES, ends


def plain(row):
    return [cell if isinstance(cell, str) else " ".join(cell.lines) for cell in row]


def test_medians_over_seeds_stand_beside_the_oracle_s(study):
    (table,) = ends(study())
    assert table.title == "At the end of each path, against the oracle, forgetting one class"
    assert READING in table.how
    oracle, _, start, _, early, late = map(plain, table.rows)
    # Eight seeds, 0 to 7: the median adds 0.035.
    assert early[:9] == ["gradient ascent", "before grokking", "8 of 8", *(f"{k / 100 + 0.035:.3f}" for k in range(6))]
    assert late[:2] == ["gradient ascent", "after grokking"]
    assert oracle[:9] == ["oracle", "before grokking", "–", *(f"{k / 100 + 0.035:.3f}" for k in range(6, 12))]
    assert set(oracle[9:]) == {"–"}
    assert start[:4] == ["none", "before grokking", "–", "0.900"]
    assert set(start[4:]) == {"–"}
    first, last = len(AUCS) * 2, len(AUCS) * 2 + len(DISTANCES) + len(SHARES)
    assert early[9:] == [f"{k / 100 + 0.035:.3f}" for k in range(first, last)]


def test_columns_and_groups_fit(study):
    (table,) = ends(study())
    assert sum(span for _, span in GROUPS) == len(COLUMNS)
    assert {len(row) for row in table.rows} == {len(COLUMNS)}


def test_seeds_without_a_number_are_counted(study):
    (table,) = ends(study(lambda cell: None if cell.seed < 3 else 20.0))
    rows = [plain(row) for row in table.rows]
    assert rows[4][2:4] == ["5 of 8", "0.050"]
    (table,) = ends(study(lambda cell: None))
    assert plain(table.rows[4])[2] == "0 of 8"
    assert set(plain(table.rows[4])[3:]) == {"–"}


def test_a_number_that_a_finite_path_lacks_is_counted(study):
    """An oracle that was missing in two seeds leaves six distances."""
    view = study()
    audits = view.results.audits
    audits.loc[audits["seed"] < 2, "js_divergence_forget"] = None
    (table,) = ends(view)
    cells = [plain(row) for row in table.rows[4:]]
    assert [(row[2], row[COLUMNS.index("forget")]) for row in cells] == [("8 of 8", "0.165 (6 of 8)")] * 2


def test_stages_without_paths_have_no_rows(study):
    (table,) = ends(study(options={"absent": lambda cell: cell.stage == "grokked"}))
    assert [plain(row)[:2] for row in table.rows] == [
        ["oracle", "before grokking"],
        ["none", "before grokking"],
        ["gradient ascent", "before grokking"],
    ]
    assert list(ends(study(options={"absent": lambda cell: True}))) == []
