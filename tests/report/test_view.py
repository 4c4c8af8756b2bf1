"""What tables and figures read of a study."""

from __future__ import annotations

import math

import pytest

from ungrok.report.view import Reach
from ungrok.study.place import Place

PRE = Place("base", "pre_grok", "class", "gradient_ascent")


def reach(times, censored=0, nothing=0, undefined=0):
    return Reach(dict(enumerate(times)), censored, nothing, undefined, 100.0)


@pytest.mark.parametrize(
    ("one", "median", "spread"),
    [
        (reach([10.0, 30.0]), "20", "[10, 30]"),
        (reach([10.0, 30.0], censored=1), "30", "[10, > 100]"),
        (reach([10.0, 30.0], censored=2), "> 30", "[10, > 100]"),
        (reach([10.0], censored=2), "> 100", "[10, > 100]"),
        (reach([10.0]), "10", ""),
        (reach([], nothing=3), "–", ""),
    ],
)
def test_medians_and_ranges_respect_censoring(one, median, spread):
    assert (one.median(), one.range().replace("\N{NO-BREAK SPACE}", " ")) == (median, spread)


def test_paths_are_counted_by_what_became_of_them():
    one = reach([10.0], censored=2, nothing=3, undefined=4)
    assert (one.at_risk, one.n) == (3, 10)
    survival = one.survival()
    assert (list(survival.time), list(survival.reached)) == ([10, 100, 100], [True, False, False])
    assert reach([], nothing=1).survival() is None


def test_a_place_has_its_paths_by_seed(study):
    view = study(lambda cell: None if cell.seed == 2 else 10.0 + cell.seed)
    assert list(view.tracks(PRE)) == list(range(8))
    assert view.reach(PRE).times == {seed: 10.0 + seed for seed in range(8) if seed != 2}
    assert (view.reach(PRE).censored, view.reach(PRE).end) == (1, 100.0)
    assert view.tracks(Place("base", "final", "class", "gradient_ascent")) == {}
    assert math.isnan(view.reach(Place("base", "final", "class", "nothing")).end)


def test_the_first_number_is_the_primary_target(study):
    claims = {"compare": [["pre_grok", "grokked"]]}
    assert study(claims=claims | {"targets": ["oracle", 0.3, 0.1]}).primary == 0.3
    assert study(claims=claims | {"targets": ["oracle"]}).primary == "oracle"


def test_methods_without_a_path_are_left_out(study):
    view = study(
        unlearn=[{"kind": "fisher"}, {"kind": "scrub"}], options={"absent": lambda cell: cell.method == "scrub"}
    )
    assert view.methods == ["fisher"]
    assert (view.one_shot("fisher"), view.one_shot("scrub")) == (True, False)


def test_a_series_is_labeled_by_its_names(study):
    view = study(arms={"slow": {"trajectory": {"batch_size": 32}}})
    assert (view.label("slow", "pre_grok"), view.label("base", "pre_grok")) == (
        "slow, before grokking",
        "before grokking",
    )
