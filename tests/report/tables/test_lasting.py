"""The table of forgetting that lasts, against numbers worked out by hand; see ``lasting_rows`` for what is tried."""

from __future__ import annotations

import pytest

from ungrok.report.tables.lasting import lasting_table


def test_a_row_holds_what_lasts_and_its_price(attacked_study, plain):
    """Before grokking the third place, at 100 updates, lasts; it is 35 points short of the oracle's bystander accuracy, and 5 after the repair."""
    view = attacked_study(["prune"])
    (table,) = lasting_table(view)
    assert [plain(row) for row in table.rows] == [
        ["gradient ascent", "before grokking", "one class", "8 of 8", "0.90", "8 of 8", "100", "35.0", "5.0", "40.0", "0.0"],
        ["gradient ascent", "after grokking", "one class", "8 of 8", "0.90", "0 of 8", *["–"] * 5],
    ]  # fmt: skip
    assert table.groups[3] == ("bystander accuracy beyond the oracle", 2)
    assert "UA ≤ 0.1 both before and after a repair: 50 updates" in table.how


@pytest.mark.parametrize("changes", [{}, {"claims": {"targets": [0.1]}}], ids=["not asked", "nothing compared"])
def test_no_table_without_rows(study, attacked_study, changes):
    view = attacked_study(["prune"], **changes) if changes else study()
    assert list(lasting_table(view)) == []
