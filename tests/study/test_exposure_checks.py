"""Whether the groups of a randomized exposure are what they should be, and effects adjusted for the loss where unlearning starts."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pandas as pd
import pytest
from scipy import stats
from tests.study.claims.test_beyond_oracle import OWN as EXPOSED

from ungrok.study.claims import Doses
from ungrok.study.exposure_checks import adjusted, check_sentences, checks, exposed_comparisons
from ungrok.study.inference import Differences, family
from ungrok.study.loading import load
from ungrok.study.results import Results

TINY = Path(__file__).with_name("tiny.yaml")
SEEDS = list(range(12))
OWN = (f"seeds={SEEDS}", *EXPOSED)
DOSES = {"gradient_ascent": Doses(100.0, 50.0)}


def table(seeds=SEEDS, **late):
    """Return the table of when examples were learned; ``late`` says by how much the late group differs."""
    rows = []
    for seed in seeds:
        for group in ("late", "early"):
            own = {"persistent_step": 100.0 + seed, "base_loss": 2.0 + seed / 10, "least_shown": 75, "most_shown": 75}
            if group == "late":
                own |= {name: change(own[name], seed) for name, change in late.items()}
            rows.append(
                {
                    "arm": "base",
                    "seed": seed,
                    "forget": f"{group}-6",
                    "draw": 0,
                    "learned": 1.0,
                    "first_shown": 0,
                    **own,
                }
            )
    return pd.DataFrame(rows)


def paths(hits, losses, oracle=(0.2, 0.2), left=(0.5, 0.5)):
    """Return the rows of paths; arguments hold the late and the early side, hits and losses one value per seed."""
    rows = []
    for side, forget in enumerate(("late-6", "early-6")):
        for seed in SEEDS:
            for dose in sorted({0.0, 50.0, float(hits[side][seed]), 100.0}):
                done = dose >= hits[side][seed]
                ua = 1.0 if not dose else left[side] if dose == 50.0 else 0.0 if done else 1.0
                rows.append(
                    {
                        "seed": seed, "arm": "base", "stage": "final", "forget": forget, "method": "gradient_ascent", "dose": dose,
                        "updates": int(dose), "UA": ua, "oracle_UA": oracle[side], "forget_loss": losses[side][seed],
                        "reached_0.1": done, "reached_oracle": done, "rewound": False, "diverged": False,
                    }
                )  # fmt: skip
    return pd.DataFrame(rows).astype({"reached_0.1": "boolean", "reached_oracle": "boolean"})


def results(rows, learned):
    empty = pd.DataFrame()
    return Results(rows, empty, empty, empty, empty, empty, learned=learned)


def made(learned=None, overrides=(), **kwargs):
    recipe = load(str(TINY), (*OWN, *overrides))
    given = {"hits": ([60] * 12, [30] * 12), "losses": ([0.01] * 12, [0.01] * 12)} | kwargs
    own = table(persistent_step=lambda value, seed: value + 50) if learned is None else learned
    return recipe, results(paths(**given), own)


def by_what(recipe, tables):
    return {check.what: check for check in checks(recipe, tables)}


def test_groups_that_differ_only_in_when_they_were_learned_pass():
    recipe, tables = made(learned=table(persistent_step=lambda value, seed: value + 50 + seed))
    every = by_what(recipe, tables)
    words = {what: check.word for what, check in every.items()}
    assert words == {
        "shown": "holds",
        "persistent_step": "holds",
        "base_loss": "holds",
        "oracle_score": "holds",
        "final_loss": "shown",
    }
    step = every["persistent_step"]
    own = np.array([50.0 + seed for seed in SEEDS]).reshape(6, 2).mean(axis=1)
    expected = family([Differences(own)], 6)[0]
    assert (step.estimate.effect, step.estimate.low, step.estimate.n) == (
        pytest.approx(own.mean()),
        pytest.approx(expected.low),
        6,
    )
    assert (step.left, step.right) == (pytest.approx(161.0), pytest.approx(105.5))
    assert check_sentences(recipe, tables) == ["4 of 4 checks of the randomized exposure hold."]


def test_a_late_group_that_was_not_learned_later_fails():
    learned = table(persistent_step=lambda value, seed: value - 20)
    assert by_what(*made(learned=learned))["persistent_step"].word == "fails"
    mixed = table(persistent_step=lambda value, seed: value + (20 if seed % 4 < 2 else -20))
    recipe, tables = made(learned=mixed)
    assert by_what(recipe, tables)["persistent_step"].word == "open"
    assert check_sentences(recipe, tables) == [
        "3 of 4 checks of the randomized exposure hold; what is open: step from which learned."
    ]


def test_a_difference_before_training_is_a_log_ratio_against_its_margin():
    later = {"persistent_step": lambda value, seed: value + 50}
    double = by_what(*made(learned=table(**later, base_loss=lambda value, seed: 2 * value)))["base_loss"]
    assert (double.estimate.effect, double.word) == (pytest.approx(math.log(2)), "fails")
    slightly = table(**later, base_loss=lambda value, seed: value * (1.05 + 0.01 * (seed % 2)))
    assert by_what(*made(learned=slightly))["base_loss"].word == "holds"
    swapped = table(**later, base_loss=lambda value, seed: value * (4.0 if seed % 2 else 0.25))
    assert by_what(*made(learned=swapped))["base_loss"].estimate.effect == pytest.approx(0.0)


def test_the_oracles_of_both_groups_must_know_as_much():
    assert by_what(*made(oracle=(0.9, 0.5)))["oracle_score"].word == "fails"
    wide = by_what(*made(oracle=(0.9, 0.5), overrides=("claims.margins.oracle_score=0.5",)))["oracle_score"]
    assert (wide.word, wide.estimate.effect, wide.margin) == ("holds", pytest.approx(0.4), 0.5)


def test_examples_that_were_shown_unequally_often_fail():
    later = {"persistent_step": lambda value, seed: value + 50}
    for most, word in ((76, "holds"), (77, "fails")):
        learned = table(**later, most_shown=lambda value, seed, most=most: most)
        assert by_what(*made(learned=learned))["shown"].word == word


def test_effects_that_follow_the_loss_vanish_at_equal_loss():
    """Updates are those of the loss alone, (early / late loss)^0.5 times as many: nothing is left at equal loss."""
    draw = np.random.default_rng(1)
    f = draw.normal(-1.0, 0.5, 12)
    losses = (0.01 * np.exp(f), np.full(12, 0.01))
    hits = (40 * np.exp(-0.3 * f), np.full(12, 40.0))
    recipe, tables = made(losses=losses, hits=hits)
    row = next(one for one in adjusted(recipe, tables, DOSES) if one.metric == "updates" and one.target == 0.1)
    assert row.n == 6
    assert row.effect == pytest.approx(-0.3 * f.mean())
    assert row.loss == pytest.approx(f.mean())
    assert (row.slope, row.intercept) == (pytest.approx(-0.3), pytest.approx(0.0, abs=1e-9))


def test_the_interval_at_equal_loss_is_students():
    draw = np.random.default_rng(2)
    f = draw.normal(-1.0, 0.5, 12)
    d = 0.4 - 0.3 * f + draw.normal(0, 0.1, 12)
    recipe, tables = made(losses=(0.01 * np.exp(f), np.full(12, 0.01)), hits=(30 * np.exp(d), np.full(12, 30.0)))
    row = next(one for one in adjusted(recipe, tables, DOSES) if one.metric == "updates")
    x, y = (each.reshape(6, 2).mean(axis=1) for each in (f, np.minimum(d, math.log(100 / 30))))
    design = np.stack([np.ones(6), x], axis=1)
    (a, b), rest, *_ = np.linalg.lstsq(design, y, rcond=None)
    error = math.sqrt(rest[0] / 4 * np.linalg.inv(design.T @ design)[0, 0])
    half = stats.t.ppf(0.975, 4) * error
    assert (row.intercept, row.slope) == (pytest.approx(a), pytest.approx(b))
    assert (row.low, row.high) == (pytest.approx(a - half), pytest.approx(a + half))


def test_what_is_left_beyond_the_oracle_is_adjusted_too():
    f = np.linspace(-1.5, -0.5, 12)
    recipe, tables = made(losses=(0.01 * np.exp(f), np.full(12, 0.01)), left=(0.7, 0.4))
    row = next(one for one in adjusted(recipe, tables, DOSES) if one.metric == "UA")
    assert (row.target, row.effect) == (None, pytest.approx(0.3))
    assert (row.slope, row.intercept) == (pytest.approx(0.0, abs=1e-9), pytest.approx(0.3))


def test_units_with_one_loss_fix_no_line():
    row = next(iter(adjusted(*made(), DOSES)))
    assert (row.n, math.isnan(row.slope), math.isnan(row.intercept)) == (6, True, True)
    assert row.effect == pytest.approx(0.0)


def test_only_both_groups_of_one_model_are_checked():
    pairs = "claims.compare=[[{stage: final, forget: late-6}, {stage: final, forget: late-6, arm: slow}], [{stage: final, forget: late-6}, {stage: final, forget: early-6}]]"
    recipe = load(str(TINY), (*OWN, "arms={slow: {trajectory: {steps: 200}}}", pairs))
    assert [one.forgets for one in exposed_comparisons(recipe)] == [("late-6", "early-6")]
    assert checks(load(str(TINY)), results(pd.DataFrame(), pd.DataFrame())) == []
