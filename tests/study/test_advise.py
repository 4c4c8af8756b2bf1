"""Prices and choices in closed form, on costs made by hand."""

from __future__ import annotations

from dataclasses import replace
from functools import cache

import numpy as np
import pytest
from tests.study.conftest import TINY

from ungrok.core.errors import RecipeError
from ungrok.study.advise import Terms, advise, price, total
from ungrok.study.deletion_costs import Measured, Policy, Setting
from ungrok.study.loading import load
from ungrok.study.names import Names
from ungrok.study.plan_sequences import RETRAINED

EARLY, LATE = (Policy("base", stage, "scrub") for stage in ("pre_grok", "grokked"))


def measured(training, *requests, seeds=6, failed=(), damage=0.0, accuracy=0.9, spread=(), sizeless=False):
    """Return costs that are the same in every seed, but for ``spread``, which the first request costs more in each."""
    costs = np.tile(np.array(requests, dtype=float), (seeds, 1))
    costs[:, 0] += np.resize(spread or [0.0], seeds)
    fulfilled = np.array([[seed not in failed for _ in requests] for seed in range(seeds)])
    units = ("passes", "seconds")
    return Measured(
        tuple(range(seeds)), dict.fromkeys(units, np.full(seeds, float(training))), dict.fromkeys(units, costs), fulfilled,
        {"RA": damage, "TA": 0.0}, accuracy, sizeless=sizeless,
    )  # fmt: skip


def retraining(training, **given):
    return measured(training, training, sizeless=True, **given)


@cache
def names():
    return Names(load(str(TINY)))


def setting(policies, *, run="run", training="one", share=0.01):
    """Return a setting of policies, to which retraining from every stage is added."""
    anew = {
        Policy(policy.arm, policy.stage, RETRAINED): retraining(
            float(one.training["passes"][0]), seeds=len(one.seeds), accuracy=one.accuracy
        )
        for policy, one in policies.items()
    }
    return Setting(run, "class", training, share, names(), policies | anew)


@pytest.mark.parametrize(("requests", "cost"), [(1, 105), (2, 112), (3, 121), (5, 121 + 2 * 8), (20, 121 + 17 * 8)])
def test_requests_cost_what_they_did_in_sequence_and_beyond_it_the_mean_of_those_after_the_first(requests, cost):
    assert total(measured(100, 5, 7, 9), "passes", Terms(requests)).tolist() == [cost] * 6


def test_a_single_request_is_taken_as_many_times():
    assert total(measured(100, 5), "seconds", Terms(20)).tolist() == [200] * 6


def test_retraining_costs_the_training_again_for_every_request_or_for_those_gathered():
    assert total(retraining(100), "passes", Terms(20)).tolist() == [2100] * 6
    assert total(retraining(100), "passes", Terms(20, together=8)).tolist() == [400] * 6
    assert total(measured(100, 5), "passes", Terms(20, together=8)).tolist() == [200] * 6


def test_what_a_method_does_not_fulfill_is_retrained():
    assert total(measured(100, 5, failed=[2]), "passes", Terms(3)).tolist() == [115, 115, 415, 115, 115, 115]


def test_the_later_stage_is_chosen_once_its_cheaper_requests_have_paid_for_its_training():
    both = setting({EARLY: measured(100, 30), LATE: measured(300, 10)})
    few, many = advise(both, Terms(5)), advise(both, Terms(20))
    assert (few.chosen.policy, few.chosen.total("passes")) == (EARLY, 250)
    assert (many.chosen.policy, many.chosen.total("passes"), many.chosen.extra["passes"]) == (LATE, 500, 200)
    rivalry = many.other_stage
    assert rivalry.rival.policy == EARLY
    assert (rivalry.difference.effect, rivalry.difference.low, rivalry.difference.high) == (200, 200, 200)
    assert (rivalry.share, rivalry.word) == (0.4, "matters")
    # 100 + 30 K = 300 + 10 K at K = 10
    assert many.changes == [(1, EARLY), (11, LATE)]


def word(early, late, **terms):
    return advise(setting({EARLY: early, LATE: late}), Terms(1, **terms)).other_stage.word


def test_it_does_not_matter_where_the_whole_interval_lies_within_the_margin():
    both = setting({EARLY: measured(100, 10), LATE: measured(112, 10)})
    assert advise(both, Terms(2)).other_stage.word == "does not matter"
    assert advise(both, Terms(2)).other_stage.share == pytest.approx(0.1)
    assert advise(both, Terms(2, margin=0.09)).other_stage.word == "matters"
    # Of mean 0 and 5, with intervals that reach farther than 10 % of 120 do.
    wide = [-60, 60, -60, 60, -60, 60]
    assert word(measured(100, 20), measured(100, 20, spread=wide)) == "open"
    assert word(measured(100, 20), measured(100, 25, spread=wide)) == "open"
    assert word(measured(100, 20), measured(100, 25, spread=wide), margin=2) == "does not matter"


def test_a_difference_that_the_seeds_do_not_show_is_open():
    noisy = [0, 0, 0, 0, -90, 270]
    both = setting({EARLY: measured(100, 20), LATE: measured(100, 20, spread=noisy)})
    assert advise(both, Terms(1)).other_stage.share == pytest.approx(30 / 120)
    assert advise(both, Terms(1)).other_stage.word == "open"
    # Five seeds have no interval, whatever they say.
    for training in (100, 101, 200):
        assert word(measured(100, 20, seeds=5), measured(training, 20, seeds=5)) == "open"


def test_where_the_margin_lies_within_the_interval_only_the_sign_is_known():
    assert word(measured(100, 10), measured(100, 15, spread=[0, 1, 2, 3, 4, 20])) == "cheaper"
    assert word(measured(100, 10), measured(100, 25, spread=[0, 1, 2, 3, 4, 20])) == "matters"


def unknown(one, unit, stage="grokked"):
    """Return a setting in which the cost of training to a stage is not known in a unit."""
    lost = {unit: np.full(6, np.nan)}
    policies = {
        policy: replace(own, training={**own.training, **lost}) if policy.stage == stage else own
        for policy, own in one.policies.items()
    }
    return replace(one, policies=policies)


def test_what_is_not_known_ranks_nowhere():
    one = unknown(setting({EARLY: measured(100, 30), LATE: measured(10, 1)}), "seconds")
    by_seconds = price(one, Terms(2, by="seconds"))
    assert [each.policy.stage for each in by_seconds] == ["pre_grok", "pre_grok", "grokked", "grokked"]
    assert [each.failures for each in by_seconds][2:] == [("cost",), ("cost",)]
    assert advise(one, Terms(2, by="seconds")).chosen.policy == EARLY
    assert [each.extra["seconds"] for each in by_seconds][:2] == [0, 0]
    assert advise(one, Terms(2)).chosen.policy == LATE
    with pytest.raises(RecipeError, match=r"by: what run took in seconds is not known; allowed: passes"):
        advise(unknown(setting({LATE: measured(100, 1)}), "seconds"), Terms(2, by="seconds"))
    nameless = setting({EARLY: measured(100, 30, accuracy=float("nan")), LATE: measured(300, 1)})
    assert (advise(nameless, Terms(2)).chosen.policy, advise(nameless, Terms(2)).floor) == (LATE, 0.9 - 0.02)
    with pytest.raises(RecipeError, match=r"accuracy: that of the models of run on validation data is not known"):
        advise(setting({EARLY: measured(100, 1, accuracy=float("nan"))}), Terms(1))


def test_what_fails_is_priced_and_marked():
    one = setting(
        {
            EARLY: measured(100, 1, accuracy=0.5),
            LATE: measured(300, 1, damage=0.03),
            Policy("base", "grokked", "fisher"): measured(300, 1, failed=[0]),
            Policy("base", "grokked", "ssd"): measured(300, 1, damage=float("nan")),
        }
    )
    failures = {each.policy.method + "@" + each.policy.stage: each.failures for each in price(one, Terms(2))}
    assert failures == {
        "scrub@pre_grok": ("accuracy",),
        "retrain from scratch@pre_grok": ("accuracy",),
        "scrub@grokked": ("damage",),
        "fisher@grokked": ("fulfilled",),
        "ssd@grokked": ("damage",),
        "retrain from scratch@grokked": (),
    }
    advice = advise(one, Terms(2))
    assert advice.chosen.policy == Policy("base", "grokked", RETRAINED)
    assert (advice.floor, advice.other_stage, advice.other_method) == (0.9 - 0.02, None, None)
    assert advice.less_accurate.policy == EARLY
    lenient = advise(one, Terms(2, damage=0.03, accuracy=0.5, fulfilled=0.8))
    assert [each.failures for each in lenient.priced].count(()) == 5
    assert lenient.less_accurate is None


def test_it_is_said_what_a_price_rests_on():
    one = setting({EARLY: measured(100, 1, 1, 1), LATE: measured(100, 1)})
    for requests, bases in ((3, ["in sequence", "single request"]), (4, ["extrapolated", "single request"])):
        named = {each.policy: each.basis for each in price(one, Terms(requests))}
        assert [named[EARLY], named[LATE]] == bases
        assert named[Policy("base", "grokked", RETRAINED)] == "retraining"


def test_requests_must_leave_something_of_the_training_set():
    tenth = setting({EARLY: measured(100, 1)}, share=0.1)
    assert advise(tenth, Terms(9)).changes == [(1, EARLY)]
    with pytest.raises(
        RecipeError,
        match=r"requests: 10 requests for 10\.0% of the training set each leave nothing .* allowed: at most 9",
    ):
        advise(tenth, Terms(10))
    assert advise(tenth, Terms(20, size=0.01)).chosen.total("passes") == 120


def test_some_stage_must_be_accurate_enough():
    with pytest.raises(RecipeError, match=r"accuracy: no stage of run has models of 0\.95 .* allowed: up to 0\.900"):
        advise(setting({EARLY: measured(100, 1)}), Terms(1, accuracy=0.95))


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({"requests": 0}, "requests: 0 is out of range; allowed: from 1 on"),
        ({"fulfilled": 1.5}, "fulfilled: 1.5 is out of range; allowed: from 0 to 1"),
        ({"size": 1.0}, "size: 1.0 is no share of a training set"),
        ({"by": "days"}, "by: 'days' is not one of passes, seconds"),
        ({"damage": float("nan")}, "damage: nan is out of range"),
    ],
)
def test_terms_that_nothing_can_meet_are_refused(given, message):
    with pytest.raises(RecipeError, match=message):
        Terms(**{"requests": 1} | given)
