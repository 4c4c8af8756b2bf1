"""How findings become verdicts: pairing, families, and what leaves a verdict open."""

from __future__ import annotations

from ungrok.recipes import shipped
from ungrok.study.loading import load


def test_a_stage_given_as_a_number_is_a_step(hand):
    changed = hand.recipe("stages=[pre_grok, 100]", "claims.compare=[[pre_grok, 100]]")
    paths = [hand.path(s, stage, hit) for stage, hit in (("pre_grok", 60), ("step-100", 30)) for s in hand.seeds]
    assert hand.pick(hand.verdicts(changed, *paths), "efficiency", "updates")["n_seeds"] == 8


def test_five_seeds_cannot_decide(hand):
    small = hand.recipe("seeds=[0, 1, 2, 3, 4]")
    verdict = hand.pick(
        hand.verdicts(small, *hand.pairs([20] * 8, [40 + s for s in hand.seeds])), "efficiency", "updates"
    )
    assert (verdict["verdict"], verdict["ci_low"], verdict["ci_high"]) == ("inconclusive", None, None)
    assert "1/16" in verdict["note"]


def test_holm_counts_the_methods_of_one_family(hand):
    two = hand.tiny(
        f"seeds={hand.seeds}", "unlearn=[{kind: gradient_ascent}, {kind: finetune}]", "claims.targets=[0.1]"
    )
    paths = hand.pairs([40 + s for s in hand.seeds], [20] * 8)
    paths += hand.pairs([40 + s for s in hand.seeds], [41 + s - 2 * (s % 2) for s in hand.seeds], method="finetune")
    verdict = hand.verdicts(two, *paths)
    assert hand.pick(verdict, "efficiency", "updates")["p_value"] == 2 * 2 / 2**8
    assert hand.pick(verdict, "efficiency", "updates", method="finetune")["p_value"] > 0.05


def test_a_method_without_an_estimate_stays_in_its_family(hand):
    two = hand.tiny(
        f"seeds={hand.seeds}", "unlearn=[{kind: gradient_ascent}, {kind: finetune}]", "claims.targets=[0.1]"
    )
    paths = hand.pairs([40 + s for s in hand.seeds], [20] * 8) + hand.pairs([None] * 8, [None] * 8, method="finetune")
    verdict = hand.verdicts(two, *paths)
    assert hand.pick(verdict, "efficiency", "updates")["p_value"] == 2 * 2 / 2**8
    assert hand.pick(verdict, "efficiency", "updates", method="finetune")["p_value"] is None


def test_no_seed_with_both_stages_is_said(hand):
    verdicts = hand.verdicts(hand.recipe(), *[hand.path(s, "pre_grok", 30) for s in hand.seeds])
    assert {(v["verdict"], v["note"]) for v in verdicts.values()} == {("inconclusive", "no seed has both stages")}


def test_the_shipped_recipes_can_reach_a_verdict():
    names = [name for name in shipped() if not name.startswith("paper/")]  # those have as many draws as the paper
    assert len(names) >= 10
    for name in names:
        recipe = load(name)
        methods = len(recipe.unlearn)
        header = shipped()[name].read_text().partition("name:")[0]
        # Where a training takes days there are as many seeds as in the paper, and the header says what that means.
        assert methods * 2 / 2 ** len(recipe.seeds) < recipe.claims.alpha or "no p-value below" in header, name


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
        assert (v["effect"], v["verdict"]) == (None, "inconclusive")
        assert v["note"].startswith("starts from fresh weights")
    assert hand.pick(verdicts, "oracle_gap", "gap", at="rewind", method="retrain")["effect"] is not None


def test_a_single_seed_is_judged(hand):
    """It has one pair, whatever is read of it."""
    alone = [hand.path(0, "pre_grok", 40), hand.path(0, "grokked", 20)]
    for paths in (alone, [[{**row, "updates": None} for row in path] for path in alone]):
        found = hand.verdicts(hand.recipe("seeds=[0]"), *paths)
        assert {verdict["n_seeds"] for (claim, *_), verdict in found.items() if claim != "paper"} == {1}
        assert {verdict["verdict"] for verdict in found.values()} == {"inconclusive"}


def test_where_no_seed_has_both_sides_the_number_of_seeds_is_0(hand):
    found = hand.verdicts(hand.recipe(), *[hand.path(s, "pre_grok", 30) for s in hand.seeds])
    assert {verdict["n_seeds"] for verdict in found.values()} == {0}
