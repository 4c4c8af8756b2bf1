"""Frontiers over all rates, against values worked out by hand."""

from __future__ import annotations

import numpy as np
import pandas as pd
import pytest

from ungrok.report.frontiers import LEVELS, band, every_rate, frontier, judged_by, least_damage
from ungrok.study.track import Track


def track(ua, accuracy, oracle=0.9):
    rows = {"UA": ua, "TA": accuracy, "oracle_TA": oracle}
    return Track(pd.DataFrame(rows).assign(dose=range(len(ua)), updates=range(len(ua))))


def test_the_least_damage_is_that_of_all_places_at_or_below_a_level():
    """A path that comes back up in UA still has been below; a gentler rate that gets less far counts as far as it gets."""
    rough = track([1.0, 0.4, 0.6, 0.0], [0.9, 0.5, 0.8, 0.3])
    gentle = track([1.0, 0.5], [0.9, 0.85])
    least = least_damage([rough, gentle], "TA", np.array([1.0, 0.6, 0.5, 0.4, 0.0]))
    assert least == pytest.approx([0.0, 0.05, 0.05, 0.4, 0.6])
    assert np.isnan(least_damage([gentle], "TA", np.array([0.4]))).all()


def test_places_without_finite_numbers_do_not_count():
    broken = track([1.0, 0.0, 0.0], [0.9, 0.7, np.nan])
    assert least_damage([broken], "TA", np.array([0.0])) == pytest.approx([0.2])


def test_a_difference_that_all_seeds_share_has_a_band_without_width():
    """Of eight seeds every flip but the identity is rejected for any other effect."""
    differences = np.full((8, 3), 0.25)
    differences[:5, 2] = np.nan
    middle, low, high = band(differences, 0.05)
    assert np.array_equal(np.isnan(middle), [False, False, True])
    for values in (middle, low, high):
        assert values[:2] == pytest.approx([0.25, 0.25])


def test_bystanders_are_judged_by_where_the_oracle_has_them():
    with_bystanders = Track(track([1.0], [0.9]).rows.assign(bystander_accuracy=0.8, oracle_bystander_accuracy=0.7))
    assert judged_by([with_bystanders]) == "bystander_accuracy"
    assert judged_by([with_bystanders, track([1.0], [0.9])]) == "TA"
    assert judged_by([track([1.0], [0.9], oracle=None)]) is None
    assert judged_by([]) is None


def test_all_rates_of_a_search_are_one_method(searched):
    view = searched({0.5: 2.0, 2.0: 0.5})
    assert every_rate(view, "gradient_ascent") == {
        0.001: "gradient_ascent", 0.0005: "gradient_ascent lr=0.0005", 0.002: "gradient_ascent lr=0.002",
    }  # fmt: skip
    assert view.methods == ["gradient_ascent"]


def test_both_sides_are_compared_level_by_level(study):
    """Bystander accuracy falls from 0.9 to 0.8 with UA, the oracle's is 0.85: 0.05 is lost beyond it at every level below 1."""
    view = study()
    one = frontier(view, view.comparisons[0], "gradient_ascent")
    assert one.left.shape == one.right.shape == (8, len(LEVELS))
    assert one.left[:, 0] == pytest.approx([-0.05] * 8)
    assert one.right[:, 1:] == pytest.approx(np.full((8, len(LEVELS) - 1), 0.05))
    assert one.difference == pytest.approx(np.zeros(len(LEVELS)))
    assert (
        frontier(
            study(options={"absent": lambda cell: cell.stage == "grokked"}), view.comparisons[0], "gradient_ascent"
        )
        is None
    )


def test_a_band_over_swapped_pairs_is_that_of_their_means(study):
    """Damage lies above the oracle's by an amount of the seed's own, of which half is lost in the mean of a pair."""
    forget = [{"kind": "exposed", "group": group, "size": 20} for group in ("late", "early")]
    pair = [[{"stage": "final", "forget": "late-20"}, {"stage": "final", "forget": "early-20"}]]
    training = {"steps": 1000, "batch_size": 40, "exposure": {"within": "class"}}
    view = study(
        lambda cell: 30.0, seeds=list(range(12)), trajectory=training, forget=forget, stages=["final"],
        claims={"compare": pair, "targets": [0.1]},
    )  # fmt: skip
    rows = view.results.rows
    late = (rows["forget"] == "late-20") & (rows["UA"] == 0)
    rows.loc[late, "bystander_accuracy"] -= 0.02 + 0.01 * (rows.loc[late, "seed"] % 2)
    own = frontier(view, view.comparisons[0], "gradient_ascent")
    assert own.difference[-1] == pytest.approx(0.025)
    assert (own.low[-1], own.high[-1]) == pytest.approx((0.025, 0.025))
