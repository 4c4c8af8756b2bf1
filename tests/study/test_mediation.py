"""Partial rank correlations against regressions written out, and verdicts on data whose cause is known."""

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from ungrok.study.mediation import (
    changes,
    headline,
    mediation,
    outcomes,
    partial_rank_correlation,
    pooled,
    resampled,
    simultaneous,
)
from ungrok.study.recipe import validate
from ungrok.study.results import MECHANISM

RECIPE = validate(
    {
        "name": "by-hand", "seeds": list(range(10)), "problem": {"kind": "digits"}, "model": {"kind": "mlp"},
        "stages": ["pre_grok", "grokked", "final"], "arms": {"other": {}}, "forget": [{"kind": "class"}],
        "unlearn": [{"kind": "gradient_ascent"}, {"kind": "finetune"}],
        "claims": {"targets": ["oracle", 0.1]}, "analyze": [{"kind": "weight_norm"}],
    }
)  # fmt: skip
BUDGETS = {"gradient_ascent": (100.0, 10.0), "finetune": (100.0, 10.0)}


def residuals(y, z):
    design = np.stack([np.ones_like(z), z], axis=1)
    return y - design @ np.linalg.lstsq(design, y, rcond=None)[0]


def test_partial_is_the_correlation_of_residual_ranks():
    random = np.random.default_rng(0)
    x, y, z = random.normal(size=(3, 40))
    y = y + x + np.round(z)
    rx, ry, rz = map(rankdata, (x, y, z))
    expected = np.corrcoef(residuals(rx, rz), residuals(ry, rz))[0, 1]
    assert partial_rank_correlation(x, y, z) == pytest.approx(expected)
    assert partial_rank_correlation(x, y) == pytest.approx(spearmanr(x, y).statistic)


def test_weights_count_points_by_their_ranks_among_all():
    random = np.random.default_rng(0)
    x, y, z = (rankdata(v) for v in random.normal(size=(3, 12)))
    counts = random.integers(0, 3, (5, 12))
    for count, found in zip(counts, partial_rank_correlation(x, y, z, counts.astype(float)), strict=True):
        a, b, c = (np.repeat(v, count) for v in (x, y, z))
        assert found == pytest.approx(np.corrcoef(residuals(a, c), residuals(b, c))[0, 1])


def test_a_covariate_that_does_not_vary_changes_nothing_and_one_that_explains_all_leaves_nothing():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 30))
    assert partial_rank_correlation(x, y, np.ones(30)) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(partial_rank_correlation(x, y, np.exp(x)))
    assert np.isnan(partial_rank_correlation(np.ones(30), y))


def test_seeds_are_resampled_not_points():
    """Ten copies of every point add no information: the draws must not move together."""
    random = np.random.default_rng(2)
    one = pd.DataFrame({"seed": range(12), "change": random.normal(size=12), "accuracy": random.normal(size=12)})
    one["damage"] = one["change"] + random.normal(size=12)
    seeds = sorted(set(one["seed"]))
    wide, copied = (resampled(points, "damage", seeds, 500) for points in (one, pd.concat([one] * 10)))
    np.testing.assert_allclose(copied, wide, atol=1e-9)
    assert np.nanstd(wide) > 0.1


def test_a_draw_counts_every_seed_as_often_as_it_was_drawn():
    random = np.random.default_rng(5)
    points = pd.DataFrame(random.normal(size=(12, 3)), columns=["change", "damage", "accuracy"])
    points["seed"] = [3, 5, 9] * 4
    ranked = points[["change", "damage", "accuracy"]].apply(rankdata)
    drawn = np.random.default_rng(0).multinomial(4, [0.25] * 4, 20)  # seed 7 is another measure's
    found = resampled(points, "damage", [3, 5, 7, 9], 20)
    for count, one in zip(drawn, found, strict=True):
        rows = np.repeat(np.arange(12), count[[[3, 5, 7, 9].index(s) for s in points["seed"]]])
        if len(rows) > 4:
            x, y, z = ranked.iloc[rows].to_numpy().T
            assert one == pytest.approx(np.corrcoef(residuals(x, z), residuals(y, z))[0, 1])


def test_simultaneous_intervals_are_those_of_the_largest_deviation():
    random = np.random.default_rng(6)
    estimates = np.array([0.1, -0.5, 0.8, np.nan])
    draws = np.tanh(np.arctanh(estimates)[:, None] + [[0.1], [0.3], [0.2], [1]] * random.normal(size=(4, 400)))
    z, resamples = np.arctanh(estimates), np.arctanh(draws)
    largest = [max(abs(resamples[m, b] - z[m]) / resamples[m].std() for m in range(3)) for b in range(400)]
    cut = np.quantile(largest, 0.9)
    expected = [[np.tanh(z[m] - cut * resamples[m].std()), np.tanh(z[m] + cut * resamples[m].std())] for m in range(3)]
    found = simultaneous(estimates, draws, 0.1)
    np.testing.assert_allclose(found[:3], expected, atol=1e-12)
    assert np.isnan(found[3]).all()
    inside = (draws[:3] >= found[:3, :1]) & (draws[:3] <= found[:3, 1:])
    assert inside.all(axis=0).mean() == pytest.approx(0.9, abs=0.005)


def test_copies_of_a_measure_cost_nothing():
    draws = np.random.default_rng(7).normal(0, 0.2, (1, 300))
    once, often = simultaneous(np.zeros(1), draws, 0.05), simultaneous(np.zeros(50), np.repeat(draws, 50, axis=0), 0.05)
    np.testing.assert_allclose(often, np.repeat(once, 50, axis=0))


def track(seed, arm, stage, method, start, fall, hit):
    """A path whose TA falls by ``fall`` and whose UA reaches 0.1 at dose ``hit``, or never."""
    rows = []
    for dose in (0.0, 10.0, *([hit] if hit else []), 100.0):
        done = hit is not None and dose >= hit
        rows.append(
            {
                "seed": seed, "arm": arm, "stage": stage, "step": 5, "forget": "class", "method": method, "dose": dose,
                "updates": int(dose), "UA": 0.0 if done else 1.0, "TA": start - (fall if dose >= 10 else 0),
                "reached_0.1": done, "reached_oracle": False, "rewound": False,
                "diverged": bool(np.isnan(fall)) and dose >= 10,
            }
        )  # fmt: skip
    return rows


def value(seed, arm, stage, number, **more):
    row = dict.fromkeys(MECHANISM) | {
        "seed": seed, "arm": arm, "stage": stage, "step": 5, "forget": "class", "method": "", "dose": 0.0,
        "analysis": "a", "measure": "m", "on": "", "layer": "model", "null": "", "value": number,
    }  # fmt: skip
    return row | more


def test_outcomes_are_ranks_within_a_method_and_never_is_the_most():
    rows = [r for seed, (fall, hit) in enumerate([(0.1, 20.0), (0.3, None), (0.2, 50.0)])
            for r in track(seed, "base", "grokked", "gradient_ascent", 0.9, fall, hit)]  # fmt: skip
    found = outcomes(pd.DataFrame(rows), RECIPE, BUDGETS)
    assert found["damage"].tolist() == pytest.approx([1 / 3, 1, 2 / 3])
    assert found["updates"].tolist() == pytest.approx([1 / 3, 1, 2 / 3])
    assert found["accuracy"].tolist() == [0.9] * 3


def test_outcomes_are_averaged_over_methods_and_a_diverged_model_is_damaged_most():
    rows = [
        *track(0, "base", "grokked", "gradient_ascent", 0.9, 0.1, 20.0),
        *track(1, "base", "grokked", "gradient_ascent", 0.9, 0.3, 40.0),
        *track(0, "base", "grokked", "finetune", 0.9, 0.3, 20.0),
        *track(1, "base", "grokked", "finetune", 0.9, float("nan"), None),
        *track(2, "base", "grokked", "finetune", 0.9, 0.2, None),
    ]
    found = outcomes(pd.DataFrame(rows), RECIPE, BUDGETS)
    assert found["damage"].tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, (1 + 1) / 2, 1 / 3])


def test_what_is_unknown_is_left_out():
    """UA at the target from the start: there is nothing to reach, and no cost."""
    rows = [
        *track(0, "base", "grokked", "gradient_ascent", 0.9, 0.1, 20.0),
        *track(1, "base", "grokked", "gradient_ascent", 0.9, 0.3, 0.0),
    ]
    found = outcomes(pd.DataFrame(rows), RECIPE, BUDGETS)["updates"]
    assert found[0] == 1
    assert np.isnan(found[1])


def study(cause, seeds=10):
    """Places whose damage is caused by ``hidden`` alone; the measure shows ``cause(hidden, accuracy, noise)``."""
    random, rows, mechanism = np.random.default_rng(3), [], []
    for seed in range(seeds):
        for arm in ("base", "other"):
            for stage in ("pre_grok", "grokked", "final"):
                hidden, accuracy, noise = random.normal(size=3)
                fall = 0.2 + 0.02 * hidden + 0.02 * accuracy
                rows += track(seed, arm, stage, "gradient_ascent", 0.8 + 0.02 * accuracy, fall, 50.0 + hidden)
                mechanism.append(value(seed, arm, stage, cause(hidden, accuracy, noise)))
    return changes(pd.DataFrame(rows), pd.DataFrame(mechanism, columns=MECHANISM), RECIPE, BUDGETS)


def test_changes_are_from_the_first_stage_of_the_base_arm_of_the_same_seed():
    points = study(lambda hidden, accuracy, noise: 7 + accuracy)
    assert len(points) == 10 * 5
    assert not ((points["arm"] == "base") & (points["stage"] == "pre_grok")).any()
    np.testing.assert_allclose(points["change"], points["accuracy"] / 0.02, atol=1e-9)


def test_a_cause_predicts_and_a_copy_of_test_accuracy_does_not():
    cause = mediation(study(lambda hidden, accuracy, noise: hidden + 0.3 * noise), 0.05)
    copy = mediation(study(lambda hidden, accuracy, noise: accuracy + 0.3 * noise), 0.05)
    assert cause["outcome"].tolist() == ["damage", "updates"]
    assert cause["predicts"].tolist() == ["yes", "yes"]
    assert (cause["partial"] > 0.7).all()
    assert cause["arms_agree"].tolist() == [1, 1]
    damage = copy[copy["outcome"] == "damage"].iloc[0]
    assert damage["rank_correlation"] > 0.4
    assert damage["predicts"] == "no"
    assert damage["low"] < 0 < damage["high"]
    assert (damage["points"], damage["seeds"]) == (50, 10)


def test_few_seeds_are_no_answer():
    assert mediation(study(lambda hidden, *_: hidden, seeds=4), 0.05)["predicts"].tolist() == ["unknown"] * 2


def test_many_measures_of_noise_do_not_predict():
    """Each alone would say yes in one case of twenty."""
    random, points = np.random.default_rng(8), study(lambda hidden, *_: hidden)
    noise = [points.assign(measure=f"noise-{i}", change=random.normal(size=len(points))) for i in range(40)]
    found = mediation(pd.concat([points, *noise]), 0.05)
    assert found[found["predicts"] == "yes"]["measure"].tolist() == ["m", "m"]


def test_studies_are_left_out_one_at_a_time():
    cause, noise = study(lambda hidden, *_: hidden), study(lambda hidden, accuracy, noise: noise)
    found = pooled({"one": cause, "two": noise, "three": cause}, 0.05)
    assert found["recipes"].tolist() == [3, 3]
    assert found["seeds"].tolist() == [30, 30]
    assert [w["two"] for w in found["without"]] == ["yes", "yes"]
    alone = pooled({"one": cause, "two": noise.assign(measure="other")}, 0.05)
    assert alone["without"].tolist() == [None] * 4
    assert np.isnan(alone["recipes_agree"]).all()


def test_headline_leaves_out_layers_nulls_and_what_stands_beside():
    table = pd.DataFrame(
        [
            value(0, "base", "final", 1.0),
            value(0, "base", "final", 1.0, layer="2"),
            value(0, "base", "final", 1.0, null="permuted"),
            value(0, "base", "final", 1.0, measure="hessian_smallest_residual"),
            value(0, "base", "final", 1.0, measure="per_sample_cosine_q05"),
            value(0, "base", "final", 1.0, measure="llc_r_hat"),
            value(0, "base", "final", 1.0, measure="normalized_gradient_cosine"),
            value(0, "base", "final", 1.0, measure="modules_rho"),
            value(0, "base", "final", 1.0, measure="modules_r2"),
            value(0, "base", "final", 1.0, measure="nc1", layer="penultimate"),
        ]
    )
    assert headline(table)["measure"].tolist() == ["m", "modules_r2", "nc1"]
