"""What unlearning costs by hand, and answers on data whose cause is known, or where there is none."""

import itertools
import math

import numpy as np
import pandas as pd
import pytest
from scipy.stats import spearmanr

from ungrok.analyze import ANALYSES
from ungrok.study.claims import Doses
from ungrok.study.loading import validate
from ungrok.study.mediation import (
    changes,
    headline,
    mediation,
    outcomes,
    pooled,
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


def of_oracle(rows, accuracy):
    return [row | {"oracle_TA": accuracy} for row in rows]


def test_damage_is_beyond_what_the_oracle_lost_too():
    """Falls of 0.5, 0.4 and 0.3, of which retraining loses 0.4, 0.1 and 0.1."""
    rows = [row for seed, (fall, oracle) in enumerate([(0.5, 0.5), (0.4, 0.8), (0.3, 0.8)])
            for row in of_oracle(track(seed, "base", "grokked", "gradient_ascent", 0.9, fall, 20.0), oracle)]  # fmt: skip
    assert outcomes(pd.DataFrame(rows), RECIPE, DOSES)["damage"].tolist() == pytest.approx([1 / 3, 1, 2 / 3])


def test_damage_is_from_the_start_on_forget_splits_where_an_oracle_is_missing():
    paths = [(0, 0.5, 0.5), (1, 0.4, None), (2, 0.3, 0.8)]
    one = [row for seed, fall, oracle in paths
           for row in of_oracle(track(seed, "base", "grokked", "gradient_ascent", 0.9, fall, 20.0), oracle)]  # fmt: skip
    other = [row | {"forget": "other", "oracle_TA": row["oracle_TA"] or 0.8} for row in one]
    damage = outcomes(pd.DataFrame(one + other), RECIPE, DOSES).set_index(["forget", "seed"])["damage"]
    assert damage["class"].tolist() == pytest.approx([1, 2 / 3, 1 / 3])
    assert damage["other"].tolist() == pytest.approx([1 / 3, 1, 2 / 3])


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
    assert cause["answer"].tolist() == ["yes", "yes"]
    assert (cause["partial"] > 0.7).all()
    assert cause["arms_agree"].tolist() == [1, 1]
    assert (cause["permutation_p"] < 0.005).all()
    assert cause["smallest_p"].tolist() == [1 / math.factorial(6)] * 2
    damage = copy[copy["outcome"] == "damage"].iloc[0]
    assert damage["rank_correlation"] > 0.4
    assert damage["answer"] == "no"
    assert damage["low"] < 0 < damage["high"]
    assert (damage["points"], damage["seeds"]) == (50, 10)


def test_where_places_are_few_nothing_is_more_than_associated():
    points = study(lambda hidden, *_: hidden)
    few = mediation(points[(points["arm"] == "other") & (points["stage"] != "final")], 0.05)
    damage = few[few["outcome"] == "damage"].iloc[0]
    assert damage["low"] > 0
    assert (damage["answer"], damage["permutation_p"]) == ("associated", pytest.approx(1 / 6))
    assert few["smallest_p"].tolist() == pytest.approx([1 / 6] * 2)


def by_place(random, effect, relation=0.0, seeds=10, measures=3):
    """Points of six places, as changes from a seventh, whose measures and costs differ between places by as much as ``effect``."""
    values = random.normal(size=(measures + 2, seeds, 7)) + effect * random.normal(size=(measures + 2, 1, 7))
    values[2] += relation * values[1]
    accuracy, cost, *own = (values - values[..., :1])[..., 1:]
    index = itertools.product(range(measures), range(seeds), ("base", "one", "two"), ("early", "late"))
    points = pd.DataFrame(index, columns=["measure", "seed", "arm", "stage"])
    columns = {"change": np.ravel(own), "accuracy": np.tile(accuracy.ravel(), measures)}
    columns |= {"damage": np.tile(cost.ravel(), measures), "updates": np.nan}
    return points.assign(**columns, forget="class", analysis="a", on="", layer="model")


@pytest.mark.parametrize("effect", [1.0, 2.0])
def test_places_that_differ_do_not_make_a_measure_predict(effect):
    """At most 5 % of 40 studies, and two standard errors; more if it were enough that seeds agree."""
    studies = 40
    answers = [mediation(by_place(np.random.default_rng(seed), effect), 0.05)["answer"] for seed in range(studies)]
    most = (0.05 + 2 * np.sqrt(0.05 * 0.95 / studies)) * studies
    assert sum(answer.isin(["yes", "associated"]).any() for answer in answers) > most
    assert sum((answer == "yes").any() for answer in answers) <= most


def test_a_relation_over_places_and_seeds_is_seen():
    answers = [mediation(by_place(np.random.default_rng(seed), 1.0, relation=2.0), 0.05) for seed in range(10)]
    assert np.mean([answer.loc[answer["outcome"] == "damage", "answer"].iloc[0] == "yes" for answer in answers]) > 0.6


def test_few_seeds_are_no_answer():
    assert mediation(study(lambda hidden, *_: hidden, seeds=4), 0.05)["answer"].tolist() == ["unknown"] * 2


def test_many_measures_of_noise_do_not_predict():
    """Each alone would say yes in one case of twenty."""
    random, points = np.random.default_rng(8), study(lambda hidden, *_: hidden)
    noise = [points.assign(measure=f"noise-{i}", change=random.normal(size=len(points))) for i in range(40)]
    answers = mediation(pd.concat([points, *noise]), 0.05)
    assert answers[answers["answer"] == "yes"]["measure"].tolist() == ["m", "m"]


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
    points["stage"] = points.groupby(["seed", "arm"]).cumcount().astype(str)
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
    points["stage"] = points.groupby(["seed", "arm"]).cumcount().astype(str)
    answers = mediation(points, 0.05)
    signs = [np.sign(spearmanr(rest["change"], rest["damage"]).statistic)
             for rest in (points, *(points[points["arm"] != arm] for arm in ("steep", "one", "two")))]  # fmt: skip
    assert signs == [1, -1, 1, 1]
    assert answers["arms_agree"].tolist() == pytest.approx([2 / 3, 2 / 3])


def test_swapped_pairs_of_seeds_are_one_point():
    """Examples alone move measure and cost together, with opposite signs in the two seeds of a pair: nothing is left in their mean."""
    exposure = {"kind": "staggered", "within": "class"}
    own = RECIPE.to_dict() | {
        "seeds": list(range(16)),
        "trajectory": {"steps": 100, "batch_size": 40, "exposure": exposure},
    }
    random, rows, mechanism = np.random.default_rng(0), [], []
    examples = np.repeat(random.normal(size=(8, 6)), 2, axis=0) * np.tile([1, -1], 8)[:, None]
    for seed, (place, (arm, stage)) in itertools.product(
        range(16), enumerate(itertools.product(("base", "other"), ("pre_grok", "grokked", "final")))
    ):
        noise, accuracy, shift = random.normal(size=3)
        hidden = examples[seed, place]
        fall, hit = 0.2 + 0.02 * hidden + 0.002 * noise, 50.0 + hidden
        rows += track(seed, arm, stage, "gradient_ascent", 0.8 + 0.002 * accuracy, fall, hit)
        mechanism.append(value(seed, arm, stage, hidden + 0.1 * shift))
    table = pd.DataFrame(rows), pd.DataFrame(mechanism, columns=MECHANISM)
    paired, single = (mediation(changes(*table, recipe, DOSES), 0.05) for recipe in (validate(own), RECIPE))
    by_outcome = [answers.set_index("outcome").loc["damage"] for answers in (paired, single)]
    assert [row["seeds"] for row in by_outcome] == [8, 16]
    assert [row["answer"] for row in by_outcome] == ["no", "yes"]
