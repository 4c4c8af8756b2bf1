"""Sides swapped at random: what was planted goes away, and a judge that looks past the swap is caught."""

import sys

import numpy as np
import pandas as pd
import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.calibrate import Calibration, calibrate, swapped
from ungrok.study.claims import Doses, judge
from ungrok.study.claims.base import Evidence
from ungrok.study.claims.judge import paths_of
from ungrok.study.inference import Differences
from ungrok.study.place import Place
from ungrok.study.rates import rated
from ungrok.study.search import Choice

SEEDS = list(range(8))
DOSES = {"gradient_ascent": Doses(100.0, 50.0)}
LEFT, RIGHT = (Place("base", stage, "class", "gradient_ascent") for stage in ("pre_grok", "grokked"))


@pytest.fixture
def recipe(tiny):
    return tiny(f"seeds={SEEDS}", "unlearn=[{kind: gradient_ascent}]", "claims.targets=[0.5, 0.1]")


def path(seed, stage, hit, lost, method="gradient_ascent"):
    """Return the rows of a path that starts at UA 1 and is at 0.3 half way to ``hit`` and at 0 there."""
    same = {"seed": seed, "arm": "base", "stage": stage, "step": 1, "forget": "class", "method": method}
    return [
        same | {
            "dose": dose, "updates": int(dose), "UA": ua, "RA": 1 - lost * share, "TA": 0.9 - lost * share,
            "oracle_TA": 0.9, "oracle_gap": ua / 3, "reached_0.1": ua <= 0.1, "reached_0.5": ua <= 0.5,
            "rewound": False, "diverged": False,
        }
        for dose, ua, share in ((0.0, 1.0, 0.0), (hit // 2, 0.3, 0.5), (hit, 0.0, 1.0))
    ]  # fmt: skip


def rows(before, after, seed=0):
    """Return a study whose sides need so many updates on average."""
    draw, table = np.random.default_rng(seed), []
    for stage, mean in (("pre_grok", before), ("grokked", after)):
        for unit in SEEDS:
            table += path(unit, stage, float(round(mean * np.exp(draw.normal(0, 0.1)))), draw.uniform(0, 0.3))
    return pd.DataFrame(table)


def test_a_planted_effect_is_found_as_it_is_and_hardly_ever_after_swapping(recipe):
    table = rows(80, 40)
    words = {v.claim.kind: v.word for v in judge(table, recipe, DOSES) if v.headline and v.metric == "updates"}
    assert words == {"efficiency": "supported"}
    outcome = calibrate([paths_of(table)], recipe, DOSES, draws=1000)
    assert outcome.draws == 2**7  # every swap once: opposite ones say the same
    # The study as it is is one of them, and its word is counted; of all of them at most alpha have one.
    assert 1 / 128 <= outcome.words / 128 <= 0.05
    assert outcome.claims["efficiency"] >= 1
    assert set(outcome.claims) == {"efficiency", "collateral", "oracle_gap", "stability"}


@pytest.mark.parametrize(("alpha", "words"), [(None, True), (1 / 128, True), (0.9 / 128, False)])
def test_words_are_those_at_the_level_of_the_look(recipe, alpha, words):
    # No p of eight seeds is smaller than 1/128, which the study as it is has.
    outcome = calibrate([paths_of(rows(80, 40))], recipe, DOSES, draws=128, alpha=alpha)
    assert (outcome.words > 0, outcome.alpha) == (words, 0.05 if alpha is None else alpha)


def test_a_judge_that_looks_past_the_swap_is_caught(recipe, monkeypatch):
    # The larger value of each pair is taken for the earlier side's, as a choice might that knows which is which.
    leak = lambda finding: finding.sides and Differences(np.abs(finding.sides.differences))  # noqa: E731
    monkeypatch.setattr(sys.modules["ungrok.study.claims.judge"], "_row", leak)
    outcome = calibrate([paths_of(rows(60, 60))], recipe, DOSES, draws=40)
    assert outcome.words == outcome.draws == 40
    assert outcome.interval[0] > 0.05


GRID = (0.0025, 0.005, 0.01, 0.02, 0.04)
"""Rates of a search; those at its ends are slow, so that the best lies inside."""


@pytest.fixture
def searched(tiny):
    return tiny(
        f"seeds={SEEDS}", "unlearn=[{kind: gradient_ascent, lr: 0.01}]", "claims.targets=[0.1]",
        "search={settings: {gradient_ascent: lr}}", "claims.headline={metrics: [own_rate]}",
    )  # fmt: skip


def rated_rows(seed):
    """Return a study of which all rates of both sides need as many updates but for chance, much of it common to all seeds of a rate."""
    draw, tables = np.random.default_rng(seed), []
    for rate in GRID:
        name = "gradient_ascent" if rate == 0.01 else rated("gradient_ascent", rate)
        slow = 2 if rate in (GRID[0], GRID[-1]) else 1
        for stage in ("pre_grok", "grokked"):
            tables += [
                path(unit, stage, float(round(slow * 60 * np.exp(draw.normal(0, 0.2)))), 0.0, name) for unit in SEEDS
            ]
    return pd.DataFrame([row | {"validation_accuracy": 0.9} for table in tables for row in table])


def own_rate_words(recipe, studies):
    """Return, per study, the share of swaps that give a word on updates at each side's own rate."""
    outcomes = [calibrate([paths_of(rated_rows(study))], recipe, DOSES, draws=64) for study in range(studies)]
    assert all(tuple(outcome.claims) == ("efficiency",) for outcome in outcomes)
    return [outcome.words / outcome.draws for outcome in outcomes]


def test_rates_chosen_from_a_seeds_own_paths_leak_nothing(searched):
    table = rated_rows(0)
    outcome = calibrate([paths_of(table)], searched, DOSES, draws=1000)
    assert outcome.draws == 128
    assert outcome.words <= 0.05 * 128


def test_rates_chosen_by_all_other_seeds_leak(searched, monkeypatch):
    """For each side the rate at which the other seeds need the fewest updates, which the seed's own paths do not lower."""

    def by_others(self, target):
        def choice(seed, side):
            def updates(unit, rate):
                return self.rates[rate][unit][side].at(target)["dose"]

            rate = min(GRID, key=lambda rate: sum(updates(unit, rate) for unit in self.pairs if unit != seed))
            return Choice(rate, updates(seed, rate), 0.0)

        return {seed: (choice(seed, 0), choice(seed, 1)) for seed in self.pairs}

    monkeypatch.setattr(Evidence, "own_rates", by_others)
    assert np.mean(own_rate_words(searched, 4)) > 0.1


def test_sides_of_a_seed_are_swapped_in_all_methods_and_rates_and_of_no_other_seed(recipe):
    table = rows(80, 40)
    rated = table.assign(method="gradient_ascent lr=0.5")
    paths = paths_of(pd.concat([table, rated]))
    out = swapped(paths, recipe, {3})
    assert set(out) == set(paths)
    for (place, seed), track in out.items():
        other = "grokked" if place.stage == "pre_grok" else "pre_grok"
        source = Place(place.arm, other, place.forget, place.method) if seed == 3 else place
        assert track is paths[source, seed]


def test_a_side_that_is_missing_is_missing_on_the_other(recipe):
    paths = dict(paths_of(rows(80, 40)))
    del paths[LEFT, 2]
    out = swapped(paths, recipe, {2})
    assert (LEFT, 2) in out
    assert (RIGHT, 2) not in out


def test_no_difference_is_counted_apart_from_directions(recipe):
    # Both sides alike in every seed: no interval has a width, and times were never cut.
    table = pd.DataFrame([row for stage in ("pre_grok", "grokked") for s in SEEDS for row in path(s, stage, 60.0, 0.1)])
    outcome = calibrate([paths_of(table)], recipe, DOSES, draws=5)
    assert (outcome.words, outcome.no_difference, outcome.claims["efficiency"]) == (0, 5, 0)


def test_shares_and_their_interval():
    outcome = Calibration(100, 5, 2, {"efficiency": 4, "collateral": 1}, 0.05)
    made = outcome.to_dict()
    # Clopper and Pearson's interval of 5 in 100, as tables have it.
    assert made.pop("interval") == pytest.approx([0.0164, 0.1128], abs=1e-4)
    assert made == {
        "draws": 100, "alpha": 0.05, "any_word": 0.05, "efficiency": 0.04, "collateral": 0.01, "no_difference": 0.02
    }  # fmt: skip


@pytest.mark.parametrize(
    ("overrides", "message"),
    [
        (["seeds=[0,1,2,3,4]"], "seeds: words need at least 6, and 5 seeds cannot give a wrong one"),
        (["claims.compare=[]"], "claims.compare: is empty"),
    ],
)
def test_a_study_that_gives_no_words_cannot_be_tried(tiny, overrides, message):
    recipe = tiny(f"seeds={SEEDS}", *overrides)
    with pytest.raises(RecipeError, match=message):
        calibrate([paths_of(rows(80, 40))], recipe, DOSES)
