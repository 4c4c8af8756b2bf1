"""The table of forgetting that lasts: how many paths get there, after how many updates, and at what price."""

from __future__ import annotations

from collections.abc import Iterator

from ungrok.report.format import MISSING, fixed, level, missing, number
from ungrok.report.tables.table import Row, Table
from ungrok.report.view import View
from ungrok.study.claims import Lasts
from ungrok.study.names import metric_name
from ungrok.study.recipe_stress import lasting_target


def lasting_table(view: View) -> Iterator[Table]:
    """Yield one table: per method and side, how many paths last, and what that costs before and after the repair."""
    block, every = view.recipe.lasting, view.lasts
    if not every or block is None:
        return
    accuracy = metric_name(every[0].accuracy)
    lost = f"{accuracy} beyond the oracle"
    yield Table(
        "Forgetting that lasts",
        f"A path lasts where it has a place with {level(lasting_target(view.recipe.claims))} both before and after a repair: {block.updates} updates on retained data alone, at the "
        "rate that brings most back. Updates: median over the paths that had something to forget. Back: mean UA after the repair where the target is first reached. "
        "Price: means in percentage points at the first place that lasts, before and after the repair.",
        [
            "method",
            "stage",
            "forgetting",
            "reached",
            "back",
            "lasting",
            "updates",
            "before",
            "after",
            "before",
            "after",
        ],
        [_row(view, one) for one in every],
        keys=3,
        groups=[("", 3), ("target", 2), ("lasts", 2), (lost, 2), ("RA lost", 2)],
    )


def _row(view: View, one: Lasts) -> Row:
    prices = (one.price, one.price_after, one.lost, one.lost_after)
    return [
        view.names.method(one.method),
        view.names.side(one.side),
        view.names.forget(one.forget),
        f"{one.reached} of {one.seeds}",
        fixed(one.back, 2),
        f"{one.lasted} of {one.seeds}",
        MISSING if one.updates is None else number(one.updates),
        *(MISSING if missing(price) else fixed(100 * price, 1) for price in prices),
    ]
