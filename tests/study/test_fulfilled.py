"""Where a path fulfills a request, and what is damaged."""

from __future__ import annotations

import math

import pandas as pd
import pytest

from ungrok.methods import UNLEARNERS
from ungrok.study.fulfilled import damage, fulfilled_at
from ungrok.study.track import Track


def path(*levels):
    """Return a path with these UA; the oracle's is 0.15."""
    rows = [{"dose": float(dose), "UA": ua, "oracle_UA": 0.15} for dose, ua in enumerate(levels)]
    return Track(pd.DataFrame(rows))


ASCENT, REWIND = (UNLEARNERS.get(kind)() for kind in ("gradient_ascent", "rewind_to_delete"))


@pytest.mark.parametrize(
    ("method", "levels", "lasts", "expected"),
    [
        (ASCENT, (1, 0.5, 0.2, 0.1, 0), None, (2, True)),
        (ASCENT, (1, 0.5, 0.21), None, (2, False)),
        (ASCENT, (1, float("nan"), 0.3), None, (2, False)),
        (ASCENT, (1, 0.5, 0.2, 0.1, 0), {2: False, 3: True, 4: True}, (3, True)),
        (ASCENT, (1, 0.5, 0.2, 0.1, 0), {2: False, 4: False}, (4, False)),
        (ASCENT, (1, 0.5, 0.2, 0.1, 0), {}, (4, False)),
        (REWIND, (1, 0.1, 0.3), None, (2, False)),
        (REWIND, (1, 0.3, 0.1), None, (2, True)),
        (REWIND, (1, 0.3, 0.1), {1: True, 2: False}, (2, False)),
        (REWIND, (1, 0.3, 0.1), {2: True}, (2, True)),
    ],
)
def test_where_a_path_fulfills_a_request(method, levels, lasts, expected):
    tried = None if lasts is None else [{"dose": float(dose), "lasts": stays} for dose, stays in lasts.items()]
    row, fulfilled = fulfilled_at(path(*levels), method, 0.05, tried)
    assert (row["dose"], fulfilled) == expected


def test_damage_is_that_of_seeds_that_fulfilled_the_request_and_of_bystanders_where_they_are_known():
    losses = [{"RA": share, "TA": 1.0, "bystander_accuracy": 2 * share} for share in (0.1, 0.3, 0.9)]
    assert damage([(one, kept) for one, kept in zip(losses, (True, True, False), strict=True)]) == pytest.approx(
        {"RA": 0.2, "bystander_accuracy": 0.4}
    )
    assert damage([(losses[0], False), (losses[1], False)]) == pytest.approx({"RA": 0.2, "bystander_accuracy": 0.4})
    without = [{**one, "bystander_accuracy": math.nan} for one in losses]
    assert damage([(one, True) for one in without]) == pytest.approx({"RA": 1.3 / 3, "TA": 1.0})
