"""Tables of transitions, against numbers worked out by hand."""

from __future__ import annotations

import math

from ungrok.report.tables import transitions


def test_transitions_give_the_interval_that_the_grid_leaves_open(study, plain):
    table = transitions.transitions(study(options={"absent": lambda cell: cell.stage == "grokked" and cell.seed == 1}))
    assert plain(table.rows[0]) == [
        "base", "0", "grokked", "(10, 50]", "(200, 400]", "8.00×", "141 (0.90)", "100", "400", "0.940",
    ]  # fmt: skip
    assert plain(table.rows[1])[2:6] == ["memorized only", "(10, 50]", "–", "–"]
    assert plain(table.rows[1])[8] == "–"


def test_grok_rates_have_wilson_intervals(study, plain):
    view = study(options={"absent": lambda cell: cell.stage == "grokked" and cell.seed < 3})
    all_data, oracles = map(plain, transitions.grok_rates(view).rows)
    k, n, z = 5, 8, 1.959964
    middle = (k + z**2 / 2) / (n + z**2)
    half = z / (n + z**2) * math.sqrt(k * (n - k) / n + z**2 / 4)
    assert all_data[2:] == ["5 of 8", "0.62", f"[{middle - half:.2f}, {middle + half:.2f}]", "3 memorized only"]
    assert oracles[1:3] == ["oracles, without one class", "7 of 8"]
