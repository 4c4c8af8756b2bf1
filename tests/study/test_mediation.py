"""Partial rank correlations against regressions written out, and verdicts on data whose cause is known."""

import itertools

import numpy as np
import pandas as pd
import pytest
from scipy.stats import rankdata, spearmanr

from ungrok.analyze import ANALYSES
from ungrok.study.claims import Doses
from ungrok.study.loading import validate
from ungrok.study.mediation import (
    changes,
    headline,
    mediation,
    outcomes,
    partial_rank_correlation,
    pooled,
    pseudo_values,
    simultaneous,
)
from ungrok.study.results import MECHANISM

RECIPE = validate(
    {
        "name": "by-hand", "seeds": list(range(10)), "problem": {"kind": "digits"}, "model": {"kind": "mlp"},
        "stages": ["pre_grok", "grokked", "final"], "arms": {"other": {}}, "forget": [{"kind": "class"}],
        "unlearn": [{"kind": "gradient_ascent"}, {"kind": "finetune"}],
        "claims": {"targets": ["oracle", 0.1]}, "analyze": [{"kind": "weight_norm"}],
    }
)  # fmt: skip
DOSES = {"gradient_ascent": Doses(100.0, 10.0), "finetune": Doses(100.0, 10.0)}


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
    for count, correlation in zip(counts, partial_rank_correlation(x, y, z, counts.astype(float)), strict=True):
        a, b, c = (np.repeat(v, count) for v in (x, y, z))
        assert correlation == pytest.approx(np.corrcoef(residuals(a, c), residuals(b, c))[0, 1])


def test_a_covariate_that_does_not_vary_changes_nothing_and_one_that_explains_all_leaves_nothing():
    random = np.random.default_rng(1)
    x, y = random.normal(size=(2, 30))
    assert partial_rank_correlation(x, y, np.ones(30)) == pytest.approx(spearmanr(x, y).statistic)
    assert np.isnan(partial_rank_correlation(x, y, np.exp(x)))
    assert np.isnan(partial_rank_correlation(np.ones(30), y))


def made(seed=2, seeds=range(12), copies=1):
    random = np.random.default_rng(seed)
    one = pd.DataFrame({"seed": np.repeat(list(seeds), 3), "change": random.normal(size=3 * len(seeds))})
    one["accuracy"] = random.normal(size=len(one))
    one["damage"] = one["change"] + random.normal(size=len(one))
    return pd.concat([one] * copies)


def test_pseudo_values_are_those_of_leaving_out_a_seed():
    points = made(seeds=[3, 5, 9])
    ranked = points.assign(**{name: rankdata(points[name]) for name in ("change", "damage", "accuracy")})

    def z(rows):
        x, y, a = (rows[name].to_numpy() for name in ("change", "damage", "accuracy"))
        return np.arctanh(np.corrcoef(residuals(x, a), residuals(y, a))[0, 1])

    pseudo = pseudo_values(points, "damage", [3, 5, 7, 9])  # seed 7 is another measure's
    expected = [3 * z(ranked) - 2 * z(ranked[ranked["seed"] != seed]) for seed in (3, 5, 9)]
    np.testing.assert_allclose(pseudo[[0, 1, 3]], expected)
    assert np.isnan(pseudo[2])


def test_whole_seeds_are_left_out_not_points():
    """Ten copies of every point add no information."""
    once, often = (pseudo_values(made(copies=copies), "damage", list(range(12))) for copies in (1, 10))
    np.testing.assert_allclose(often, once, atol=1e-6)


def slow_t(values):
    return values.mean() / (values.std(ddof=1) / np.sqrt(len(values)))


def test_simultaneous_intervals_reach_as_far_as_the_largest_t_of_flipped_seeds():
    random = np.random.default_rng(6)
    pseudo = random.normal([[0.1], [1.0], [0.4]], 0.5, (3, 6))
    pseudo[2, 4] = np.nan
    rows = [row[np.isfinite(row)] for row in pseudo]
    largest = []
    for signs in itertools.product([1, -1], repeat=6):
        flipped = [(row * signs)[np.isfinite(row)] for row in pseudo]
        largest.append(max(abs(slow_t(row)) for row in flipped))
    cut = np.quantile(largest, 0.9, method="higher")
    reach = [cut * row.std(ddof=1) / np.sqrt(len(row)) for row in rows]
    expected = [[np.tanh(row.mean() - r), np.tanh(row.mean() + r)] for row, r in zip(rows, reach, strict=True)]
    np.testing.assert_allclose(simultaneous(pseudo, 0.1), expected)
    assert np.isnan(simultaneous(np.full((2, 6), np.nan), 0.1)).all()


def test_copies_of_a_measure_cost_nothing():
    row = np.random.default_rng(7).normal(0.3, 0.2, (1, 8))
    np.testing.assert_allclose(
        simultaneous(np.repeat(row, 50, axis=0), 0.05), np.repeat(simultaneous(row, 0.05), 50, axis=0)
    )


def test_more_seeds_than_can_be_flipped_in_every_way():
    pseudo = np.random.default_rng(9).normal(0.5, 1, (5, 13))
    np.testing.assert_allclose(simultaneous(pseudo, 0.1), simultaneous(pseudo, 0.1, flips=2**13), atol=0.05)


@pytest.mark.parametrize("shared", [0.0, 0.9])
def test_among_measures_of_noise_none_predicts_in_nineteen_of_twenty_studies(shared):
    """At 8 seeds, whatever the measures have in common: 95 % of 200 studies, less three standard errors."""
    wrong = 0
    for study_seed in range(200):
        random = np.random.default_rng(study_seed)
        accuracy, cost = random.normal(size=(2, 8, 6))
        seeds, own = np.repeat(range(8), 6), np.sqrt(shared) * random.normal(size=(8, 6))
        pseudo = []
        for _ in range(15):
            change = accuracy + own + np.sqrt(1 - shared) * random.normal(size=(8, 6))
            points = {"seed": seeds, "change": change.ravel(), "damage": (accuracy + cost).ravel()}
            pseudo.append(
                pseudo_values(pd.DataFrame(points | {"accuracy": accuracy.ravel()}), "damage", list(range(8)))
            )
        low, high = simultaneous(np.stack(pseudo), 0.05).T
        wrong += bool(((low > 0) | (high < 0)).any())
    assert wrong / 200 < 0.05 + 3 * np.sqrt(0.05 * 0.95 / 200)


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
    costs = outcomes(pd.DataFrame(rows), RECIPE, DOSES)
    assert costs["damage"].tolist() == pytest.approx([1 / 3, 1, 2 / 3])
    assert costs["updates"].tolist() == pytest.approx([1 / 3, 1, 2 / 3])
    assert costs["accuracy"].tolist() == [0.9] * 3


def test_outcomes_are_averaged_over_methods_and_a_diverged_model_is_damaged_most():
    rows = [
        *track(0, "base", "grokked", "gradient_ascent", 0.9, 0.1, 20.0),
        *track(1, "base", "grokked", "gradient_ascent", 0.9, 0.3, 40.0),
        *track(0, "base", "grokked", "finetune", 0.9, 0.3, 20.0),
        *track(1, "base", "grokked", "finetune", 0.9, float("nan"), None),
        *track(2, "base", "grokked", "finetune", 0.9, 0.2, None),
    ]
    costs = outcomes(pd.DataFrame(rows), RECIPE, DOSES)
    assert costs["damage"].tolist() == pytest.approx([(1 / 2 + 2 / 3) / 2, (1 + 1) / 2, 1 / 3])


def test_what_is_unknown_is_left_out():
    """UA at the target from the start: there is nothing to reach, and no cost."""
    rows = [
        *track(0, "base", "grokked", "gradient_ascent", 0.9, 0.1, 20.0),
        *track(1, "base", "grokked", "gradient_ascent", 0.9, 0.3, 0.0),
    ]
    costs = outcomes(pd.DataFrame(rows), RECIPE, DOSES)["updates"]
    assert costs[0] == 1
    assert np.isnan(costs[1])


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
    return changes(pd.DataFrame(rows), pd.DataFrame(mechanism, columns=MECHANISM), RECIPE, DOSES)


def test_changes_are_from_the_first_stage_of_the_base_arm_of_the_same_seed():
    points = study(lambda hidden, accuracy, noise: 7 + accuracy)
    assert len(points) == 10 * 5
    assert not ((points["arm"] == "base") & (points["stage"] == "pre_grok")).any()
    np.testing.assert_allclose(points["change"], points["accuracy"] / 0.02, atol=1e-9)


def test_losses_before_unlearning_stand_among_the_measures():
    rows, mechanism = [], []
    for seed, stage, loss in ((0, "pre_grok", 0.5), (0, "grokked", 0.2), (1, "pre_grok", 0.25), (1, "grokked", 0.5)):
        made = track(seed, "base", stage, "gradient_ascent", 0.8, 0.2, 50.0)
        rows += [row | {"forget_loss": loss + row["dose"], "retain_loss": loss / 2 + row["dose"]} for row in made]
        mechanism.append(value(seed, "base", stage, 1.0))
    table = changes(pd.DataFrame(rows), pd.DataFrame(mechanism, columns=MECHANISM), RECIPE, DOSES)
    own = table[table["measure"] == "loss"].set_index(["on", "seed"])["change"]
    expected = {("forget", 0): -0.3, ("forget", 1): 0.25, ("retain", 0): -0.15, ("retain", 1): 0.125}
    assert own.to_dict() == pytest.approx(expected)


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
    answers = mediation(pd.concat([points, *noise]), 0.05)
    assert answers[answers["predicts"] == "yes"]["measure"].tolist() == ["m", "m"]


def test_studies_are_left_out_one_at_a_time():
    cause, noise = study(lambda hidden, *_: hidden), study(lambda hidden, accuracy, noise: noise)
    answers = pooled({"one": cause, "two": noise, "three": cause}, 0.05)
    assert answers["recipes"].tolist() == [3, 3]
    assert answers["seeds"].tolist() == [30, 30]
    assert [w["two"] for w in answers["without"]] == ["yes", "yes"]
    alone = pooled({"one": cause, "two": noise.assign(measure="other")}, 0.05)
    assert alone["without"].tolist() == [None] * 4
    assert np.isnan(alone["recipes_agree"]).all()


def test_headline_leaves_out_layers_nulls_and_what_stands_beside():
    table = pd.DataFrame(
        [
            value(0, "base", "final", 1.0),
            value(0, "base", "final", 1.0, layer="2"),
            value(0, "base", "final", 1.0, null="permuted"),
            value(0, "base", "final", 1.0, analysis="curvature", measure="hessian_smallest_residual"),
            value(0, "base", "final", 1.0, analysis="aligned", measure="per_sample_cosine_q05"),
            value(0, "base", "final", 1.0, analysis="learning_coefficient", measure="llc_r_hat"),
            value(0, "base", "final", 1.0, analysis="aligned", measure="normalized_gradient_cosine"),
            value(0, "base", "final", 1.0, analysis="aligned", measure="modules_rho"),
            value(0, "base", "final", 1.0, analysis="aligned", measure="modules_r2"),
            value(0, "base", "final", 1.0, analysis="theirs", measure="llc_r_hat"),
            value(0, "base", "final", 1.0, measure="nc1", layer="penultimate"),
        ]
    )
    kinds = [{"kind": "curvature"}, {"kind": "gradient_alignment", "name": "aligned"}, {"kind": "learning_coefficient"}]
    analyses = [ANALYSES.parse(kind) for kind in kinds]
    assert headline(table, analyses)["measure"].tolist() == ["m", "modules_r2", "llc_r_hat", "nc1"]


def test_arms_agree_where_the_sign_stays_without_each():
    """Most points are of the base arm and rise together; those of the other arm fall: without base the sign turns."""
    rows = [
        {"seed": seed, "arm": arm, "change": seed + 10.0 * k, "damage": sign * (seed + 10.0 * k), "accuracy": 0.0}
        for seed in range(8)
        for arm, sign, points in (("base", 1, 5), ("other", -1, 1))
        for k in range(points)
    ]
    points = pd.DataFrame(rows).assign(forget="class", analysis="a", measure="m", on="", layer="model", updates=np.nan)
    answers = mediation(points, 0.05).set_index("outcome")["arms_agree"]
    assert answers["damage"] == 0.5


def test_arms_agree_where_leaving_one_out_keeps_the_sign():
    """In each of 8 seeds one arm has points along a rising line that outweigh the falling ones of two others."""
    rows = []
    for seed in range(8):
        for arm, slope, xs in (("steep", 1.0, (-40.0, 40.0)), ("one", -1.0, (-2.0, 2.0)), ("two", -1.0, (-1.0, 1.0))):
            rows += [{"seed": seed, "arm": arm, "change": x, "damage": slope * x, "updates": slope * x} for x in xs]
    keys = {"forget": "class", "analysis": "a", "measure": "m", "on": "", "layer": "model"}
    points = pd.DataFrame(rows).assign(accuracy=0.5, **keys)
    answers = mediation(points, 0.05)
    signs = [np.sign(spearmanr(rest["change"], rest["damage"]).statistic)
             for rest in (points, *(points[points["arm"] != arm] for arm in ("steep", "one", "two")))]  # fmt: skip
    assert signs == [1, -1, 1, 1]
    assert answers["arms_agree"].tolist() == pytest.approx([2 / 3, 2 / 3])
