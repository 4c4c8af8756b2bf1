"""Claims over settings: counted, laid apart, and without each study in turn."""

from __future__ import annotations

import math

import pytest

from ungrok.report.across import Setting, Tally, questions

FAMILIES = {"gradient_ascent": "ascent", "scrub": "ascent", "finetune": "retain"}


@pytest.fixture
def setting(filed):
    """Return a function that makes a setting of rows, given as words with effects."""

    def make(*rows, recipe="digits"):
        verdicts = [filed(verdict=word, effect=effect, ci_low=None, ci_high=None) for word, effect in rows]
        return Setting(recipe, "class", "ascent", tuple(verdicts))

    return make


@pytest.mark.parametrize(
    ("words", "word"),
    [
        (["supported", "supported"], "supported"),
        (["supported", "inconclusive"], "inconclusive"),
        (["supported", "refuted", "inconclusive"], "mixed"),
        (["exploratory"], "exploratory"),
    ],
)
def test_a_setting_has_the_word_of_all_its_methods(setting, words, word):
    assert setting(*((each, 1.0) for each in words)).word == word


def test_the_effect_of_a_setting_is_the_median_of_its_methods(setting):
    assert setting(("supported", 1.0), ("supported", 5.0), ("supported", 2.0)).effect == 2.0
    assert setting(("inconclusive", None), ("supported", 1.0)).effect == 1.0
    assert setting(("inconclusive", None)).effect is None


def test_effects_over_settings_come_with_their_spread(setting):
    few = [setting((word, effect)) for word, effect in (("supported", 1.0), ("refuted", -2.0), ("inconclusive", 4.0))]
    tally = Tally((*few, setting(("exploratory", 100.0)), setting(("inconclusive", None))))
    sd = math.sqrt(((1 - 1) ** 2 + (-2 - 1) ** 2 + (4 - 1) ** 2) / 2)
    assert tally.spread == {"settings": 3, "median": 1.0, "least": -2.0, "largest": 4.0, "sd": pytest.approx(sd)}
    assert tally.counts == {"supported": 1, "refuted": 1, "mixed": 0, "inconclusive": 2, "exploratory": 1}
    assert Tally((few[0],)).spread["sd"] is None
    assert Tally(()).spread["median"] is None


def test_the_extent_counts_the_settings_that_were_judged(setting):
    yes, no, open_ = setting(("supported", 1.0)), setting(("refuted", -1.0)), setting(("exploratory", 1.0))
    assert Tally((yes, open_)).extent("supported") == "all"
    assert Tally((yes, no)).extent("supported") == "some"
    assert Tally((no,)).extent("supported") == "none"
    assert Tally((open_,)).extent("supported") == ""


def test_settings_are_recipes_splits_and_families(evidence, filed):
    rows = [filed(method=method, forget=split) for split in ("class", "half") for method in FAMILIES]
    rows += [filed(method="scrub", reading="own_rate"), filed(claim="collateral", reading="", unit="accuracy")]
    rows.append(filed(headline=False, verdict="exploratory", method="scrub"))
    same, own, damage = questions([evidence("digits", *rows, families=FAMILIES)])
    assert [(one.recipe, one.forget, one.family, len(one.rows)) for one in same.settings] == [
        ("digits", "class", "ascent", 2), ("digits", "class", "retain", 1),
        ("digits", "half", "ascent", 2), ("digits", "half", "retain", 1),
    ]  # fmt: skip
    assert (same.claim, same.reading, same.unit) == ("efficiency", "same_rate", "log ratio of updates")
    assert [(one.claim, one.reading, len(one.settings)) for one in (own, damage)] == [
        ("efficiency", "own_rate", 1), ("collateral", "", 1),
    ]  # fmt: skip


def test_readings_and_claims_stand_in_the_order_of_reports(evidence, filed):
    rows = [filed(claim="collateral", reading=""), filed(reading="distance"), filed(reading="own_rate"), filed()]
    asked = [(one.claim, one.reading) for one in questions([evidence("digits", *rows)])]
    assert asked == [
        ("efficiency", "same_rate"), ("efficiency", "own_rate"), ("efficiency", "distance"), ("collateral", ""),
    ]  # fmt: skip


def test_restricted_and_whole_ratios_are_of_one_unit_and_other_units_are_not(evidence, filed):
    cut = filed(unit="log ratio of updates, restricted to 300", forget="half")
    asked = questions([evidence("digits", filed(), cut, filed(unit="log ratio of strength", method="fisher"))])
    assert [(one.unit, len(one.settings)) for one in asked] == [
        ("log ratio of updates", 2), ("log ratio of strength", 1),
    ]  # fmt: skip


def test_without_each_recipe_in_turn(evidence, filed):
    words = {"a": "supported", "b": "supported", "c": "refuted"}
    every = [evidence(name, filed(verdict=word, effect=1.0)) for name, word in words.items()]
    (asked,) = questions(every)
    assert {name: tally.extent("supported") for name, tally in asked.without.items()} == {
        "a": "some", "b": "some", "c": "all"
    }  # fmt: skip
    assert asked.whole.extent("supported") == "some"
    assert asked.decided_by == ["c"]
    (alone,) = questions(every[:1])
    assert (alone.without, alone.decided_by) == ({}, [])


def test_as_plain_json_it_says_where_it_holds_and_how_far_effects_lie_apart(evidence, filed):
    every = [evidence("a", filed(effect=1.0, ci_low=0.5, ci_high=2.0, verdict="supported")), evidence("b", filed())]
    (asked,) = questions(every)
    made = asked.to_dict()
    assert (made["supported_in"], made["refuted_in"]) == ("some", "some")
    assert made["effect"] == {"settings": 2, "median": pytest.approx(-0.35), "least": -1.7, "largest": 1.0,
                              "sd": pytest.approx(2.7 / math.sqrt(2))}  # fmt: skip
    assert made["without"]["b"]["supported_in"] == "all"
    assert made["decided_by"] == ["a", "b"]
    assert made["settings"][0]["rows"] == [row.to_dict() for row in every[0].verdicts]


def test_other_comparisons_of_a_family_are_left_out(evidence, filed):
    rows = [filed(), filed(comparison="sam/final → final", verdict="supported", effect=1.0)]
    (asked,) = questions([evidence("svhn-resnet", *rows)])
    assert asked.whole.counts["refuted"] == 1
    assert [len(setting.rows) for setting in asked.settings] == [1]
