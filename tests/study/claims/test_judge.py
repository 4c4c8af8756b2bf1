"""How findings become verdicts: pairing, the headline family, and what leaves a verdict open."""

from __future__ import annotations

import math

import numpy as np
import pandas as pd
import pytest

from ungrok.recipes import shipped
from ungrok.study import inference
from ungrok.study.claims import Doses, judge, judge_paths, paths_of
from ungrok.study.claims.headline import METRICS, NEEDS, resolved
from ungrok.study.claims.judge import all_paths_of
from ungrok.study.inference import flips
from ungrok.study.loading import load

DOSES = {"gradient_ascent": Doses(100.0, 50.0)}


def frame(*paths):
    rows = pd.DataFrame([row for path in paths for row in path])
    return rows.astype({"reached_0.1": "boolean", "reached_oracle": "boolean"})


def test_a_stage_given_as_a_number_is_a_step(hand):
    changed = hand.recipe("stages=[pre_grok, 100]", "claims.compare=[[pre_grok, 100]]")
    paths = [hand.path(s, stage, hit) for stage, hit in (("pre_grok", 60), ("step-100", 30)) for s in hand.seeds]
    assert hand.pick(hand.verdicts(changed, *paths), "efficiency", "updates")["n_seeds"] == 8


def test_five_seeds_cannot_decide(hand):
    small = hand.recipe("seeds=[0, 1, 2, 3, 4]")
    verdict = hand.pick(
        hand.verdicts(small, *hand.pairs([20] * 8, [40 + s for s in hand.seeds])), "efficiency", "updates"
    )
    assert (verdict["verdict"], verdict["ci_low"], verdict["ci_high"]) == ("exploratory", None, None)
    assert verdict["note"].startswith("under six seeds: nothing can be decided with 5")


def test_six_seeds_of_which_one_lacks_a_stage_cannot_decide(hand):
    recipe = hand.recipe("seeds=[0, 1, 2, 3, 4, 5]")
    paths = [hand.path(s, stage, hit) for s in range(6) for stage, hit in (("pre_grok", 60), ("grokked", 30))]
    assert hand.pick(hand.verdicts(recipe, *paths), "efficiency", "updates")["verdict"] == "supported"
    fewer = hand.pick(hand.verdicts(recipe, *paths[:-1]), "efficiency", "updates")
    assert (fewer["verdict"], fewer["n_seeds"]) == ("exploratory", 5)


def test_words_stand_in_the_headline_only(hand):
    recipe = hand.recipe("claims.targets=[0.1, oracle]")
    verdicts = hand.verdicts(recipe, *hand.pairs([40 + s for s in hand.seeds], [20] * 8))
    assert {v["verdict"] for v in verdicts.values() if not v["headline"]} == {"exploratory"}
    assert hand.pick(verdicts, "efficiency", "updates")["verdict"] == "supported"
    at_oracle = hand.pick(verdicts, "efficiency", "updates", "UA ≤ oracle")
    assert (at_oracle["verdict"], at_oracle["headline"]) == ("exploratory", False)
    assert at_oracle["ci_low"] > 0


def test_only_the_forget_splits_of_the_family_get_words(hand):
    """Two splits with the same paths: the one that the family judges is tested as if the other were not there."""
    splits = "forget=[{kind: class}, {kind: random, size: 5}]"
    paths = hand.pairs([40 + s for s in hand.seeds], [20] * 8)
    other = [[row | {"forget": "random-5"} for row in path] for path in paths]
    some = judge(frame(*paths, *other), hand.recipe(splits, "claims.headline.forget=[class]"), DOSES)
    alone = judge(frame(*paths), hand.recipe(), DOSES)
    assert {v.comparison.forget for v in some} == {"class", "random-5"}
    assert {v.comparison.forget for v in some if v.headline} == {"class"}
    assert {v.word for v in some if not v.headline} == {"exploratory"}
    own, expected = ([(v.effect, v.p_value) for v in verdicts if v.headline] for verdicts in (some, alone))
    assert own == expected


def test_every_row_of_a_family_counts_in_its_p_values(hand):
    """Three methods: the largest statistic of all under each flip of whole seeds, worked out the slow way."""
    kinds = ("gradient_ascent", "finetune", "neggrad_plus")
    listed = ", ".join(f"{{kind: {kind}}}" for kind in kinds)
    recipe = hand.tiny(
        f"seeds={hand.seeds}", f"unlearn=[{listed}]", "claims.targets=[0.1]", "claims.headline={metrics: [same_rate]}"
    )  # fmt: skip
    draw = np.random.default_rng(0)
    times = {kind: draw.integers(20, 90, (2, 8)) for kind in kinds}
    paths = [path for kind in kinds for path in hand.pairs(*times[kind].tolist(), method=kind)]
    verdicts = hand.verdicts(recipe, *paths)
    d = np.array([np.log(times[kind][0] / times[kind][1]) for kind in kinds])
    largest, own = [], np.abs(d.sum(axis=1)) / np.sqrt((d**2).sum(axis=1))
    for signs in flips(8):
        largest.append((np.abs(d @ signs) / np.sqrt((d**2).sum(axis=1))).max())
    for kind, statistic in zip(kinds, own, strict=True):
        expected = np.mean(np.array(largest) >= statistic - 1e-9)
        assert hand.pick(verdicts, "efficiency", "updates", method=kind)["p_value"] == pytest.approx(expected)


def test_a_row_without_an_estimate_does_not_change_the_others(hand):
    two = hand.tiny(
        f"seeds={hand.seeds}", "unlearn=[{kind: gradient_ascent}, {kind: finetune}]", "claims.targets=[0.1]"
    )
    alone = hand.verdicts(hand.recipe("claims.targets=[0.1]"), *hand.pairs([40 + s for s in hand.seeds], [20] * 8))
    paths = hand.pairs([40 + s for s in hand.seeds], [20] * 8) + hand.pairs([None] * 8, [None] * 8, method="finetune")
    verdicts = hand.verdicts(two, *paths)
    for name in ("p_value", "ci_low", "ci_high", "verdict"):
        assert hand.pick(verdicts, "efficiency", "updates")[name] == hand.pick(alone, "efficiency", "updates")[name], (
            name
        )
    lost = hand.pick(verdicts, "efficiency", "updates", method="finetune")
    assert (lost["p_value"], lost["verdict"]) == (None, "inconclusive")


def test_no_seed_with_both_stages_is_said(hand):
    verdicts = hand.verdicts(hand.recipe(), *[hand.path(s, "pre_grok", 30) for s in hand.seeds])
    assert {(v["verdict"], v["note"]) for v in verdicts.values()} == {("exploratory", "no seed has both stages")}
    assert {verdict["n_seeds"] for verdict in verdicts.values()} == {0}


def test_seeds_that_lack_a_stage_are_counted(hand):
    paths = [hand.path(s, "pre_grok", 40 + s) for s in hand.seeds]
    paths += [hand.path(s, "grokked", 20) for s in hand.seeds[:6]]
    verdict = hand.pick(hand.verdicts(hand.recipe(), *paths), "efficiency", "updates")
    assert (verdict["n_seeds"], verdict["verdict"]) == (6, "supported")
    assert "2 of 8 seeds lack a stage" in verdict["note"]


def test_the_shipped_recipes_can_reach_a_word():
    names = [name for name in shipped() if not name.startswith("paper/")]  # those have as many draws as the paper
    assert len(names) >= 10
    for name in names:
        recipe = load(name)
        header = shipped()[name].read_text().partition("name:")[0]
        units = recipe.audit.shadows if recipe.audit else len(recipe.seeds)  # an audit is judged over shadow models
        assert 1 / len(flips(units)) < recipe.claims.alpha or "exploratory" in header, name


def test_a_method_that_starts_from_fresh_weights_reaches_targets_for_no_reason(hand):
    """Retraining has forgotten everything at its first update, from whatever stage it was started."""
    paths = [
        hand.path(s, stage, 10 + s, ta=ta, method="retrain")
        for s in hand.seeds
        for stage, ta in (("pre_grok", 0.8), ("grokked", 0.1))
    ]
    verdicts = hand.verdicts(hand.recipe("unlearn=[{kind: retrain}]"), *paths)
    for claim, metric in (("efficiency", "updates"), ("collateral", "TA"), ("oracle_gap", "gap")):
        v = hand.pick(verdicts, claim, metric, method="retrain")
        assert (v["effect"], v["verdict"], v["headline"]) == (None, "exploratory", False)
        assert v["note"].startswith("starts from fresh weights")
    assert hand.pick(verdicts, "oracle_gap", "gap", at="rewind", method="retrain")["effect"] is not None


def test_a_single_seed_is_read_and_decides_nothing(hand):
    alone = [hand.path(0, "pre_grok", 40), hand.path(0, "grokked", 20)]
    verdicts = hand.verdicts(hand.recipe("seeds=[0]"), *alone)
    assert hand.pick(verdicts, "efficiency", "updates")["effect"] == pytest.approx(math.log(2))
    assert {verdict["verdict"] for verdict in verdicts.values()} == {"exploratory"}


def test_a_family_that_was_fixed_after_the_results_gives_no_word(hand):
    rows = frame(*hand.pairs([40 + s for s in hand.seeds], [20] * 8))
    verdicts = judge(rows, hand.recipe(), DOSES, exploratory=True)
    assert {verdict.word for verdict in verdicts} == {"exploratory"}
    assert any(verdict.noted("looked_otherwise") for verdict in verdicts)


def test_a_smaller_level_widens_the_intervals_of_the_headline_alone(hand):
    rows = frame(*hand.pairs([40 + 3 * s for s in hand.seeds], [20 + (s % 3) for s in hand.seeds]))
    wide, narrow = (judge(rows, hand.recipe(), DOSES, alpha) for alpha in (0.02, 0.2))
    for one, other in zip(wide, narrow, strict=True):
        if one.effect.value is not None and one.reading == "same_rate":
            assert (one.effect.interval[0] < other.effect.interval[0]) == one.headline


def test_replicates_are_averaged_within_a_seed(hand):
    """Two draws, of which one lacks the later path of seed 0: that seed has the other draw's value alone."""
    first = frame(*hand.pairs([40 + s for s in hand.seeds], [20] * 8))
    second = frame(*hand.pairs([80] * 8, [20 + s for s in hand.seeds])[:8], *[hand.path(s, "grokked", 20 + s) for s in hand.seeds[1:]])  # fmt: skip
    verdicts = judge_paths([paths_of(first), paths_of(second)], hand.recipe(), DOSES)
    (times,) = [v for v in verdicts if v.headline and v.reading == "same_rate"]
    one = np.log([(40 + s) / 20 for s in hand.seeds])
    other = np.log([80 / (20 + s) for s in hand.seeds])
    expected = [one[0], *((one[1:] + other[1:]) / 2)]
    assert times.effect.value == pytest.approx(np.mean(expected))


def test_the_headline_is_the_first_comparison_at_the_first_number(hand):
    recipe = hand.recipe("claims.targets=[oracle, 0.5, 0.1]")
    headline = resolved(recipe)
    assert (headline.compare, headline.target, tuple(headline.metrics)) == (
        recipe.claims.compare[0],
        0.5,
        tuple(m for m in METRICS if m not in NEEDS),
    )
    assert resolved(hand.recipe("claims.compare=[]")) is None


def test_paths_of_every_draw_are_given_apart(hand):
    rows = frame(*(hand.path(0, "grokked", 10.0 + draw, draw=draw) for draw in (1, 0)))
    every = all_paths_of(rows)
    assert [[track.at(0.1)["dose"] for track in paths.values()] for paths in every] == [[10], [11]]
    assert paths_of(rows).keys() == every[0].keys()


def test_several_comparisons_are_one_family(hand):
    """Their rows stand in one test, so each has the p-value that it has among the rows of both."""
    family, flat = "metrics: [same_rate]", "[{arm: sam, stage: grokked}, grokked]"
    sam = (
        "arms={sam: {trajectory: {sam: {rho: 0.05}}}}",
        f"claims.compare=[[pre_grok, grokked], {flat}]",
        "claims.targets=[0.1]",
    )
    recipe = hand.recipe(*sam, f"claims.headline={{{family}, also: [{flat}]}}")
    hits = {
        ("base", "pre_grok"): lambda s: 60 + s,
        ("base", "grokked"): lambda s: 30 + (s % 3),
        ("sam", "grokked"): lambda s: 30 + 5 * (s % 2),
    }
    rows = [
        row | {"arm": arm}
        for (arm, stage), hit in hits.items()
        for s in hand.seeds
        for row in hand.path(s, stage, hit(s))
    ]
    table = pd.DataFrame(rows).astype({"reached_0.1": "boolean", "reached_oracle": "boolean"})
    judged = [v for v in judge(table, recipe, {"gradient_ascent": Doses(100.0, 50.0)}) if v.headline]
    assert [v.comparison.label for v in judged] == ["pre_grok → grokked", "sam/grokked → grokked"]
    d = [
        [np.log((60 + s) / (30 + s % 3)) for s in hand.seeds],
        [np.log((30 + 5 * (s % 2)) / (30 + s % 3)) for s in hand.seeds],
    ]
    expected = inference.family([inference.Differences(each) for each in d], 8, 0.05)
    assert [v.effect.value for v in judged] == pytest.approx([np.mean(each) for each in d])
    assert [v.effect.interval for v in judged] == [pytest.approx((one.low, one.high)) for one in expected]
    assert judged[0].word == "supported"
