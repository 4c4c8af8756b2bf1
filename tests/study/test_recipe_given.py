"""The block ``given`` of a recipe."""

from __future__ import annotations

import json

import pytest

from ungrok.core.errors import RecipeError
from ungrok.study.claims.headline import resolved
from ungrok.study.recipe_given import given_of

RUN = {"data": "1" * 64, "checkpoints": "2" * 64}
GIVEN = {
    "problem": {"kind": "given"},
    "noise_seeds": 0,
    "forget": [{"kind": "given"}],
    "given": [RUN, RUN | {"oracle": "3" * 64}],
}


def overrides(**changes):
    return [f"{key}={json.dumps(value)}" for key, value in (GIVEN | changes).items()]


def test_every_seed_has_its_own(tiny):
    recipe = tiny(*overrides())
    assert [given_of(recipe, seed).oracle for seed in recipe.seeds] == [None, "3" * 64]
    assert given_of(tiny(), 0) is None


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"given": [RUN]}, "given: 1 entries for 2 seeds; allowed: one for each"),
        ({"given": [RUN, RUN | {"data": "x"}]}, "given.1.data"),
        ({"noise_seeds": 1}, "noise_seeds: 1 needs trainings that a sweep does not make; leave it out"),
        ({"forget_draws": 2, "forget": [{"kind": "class"}]}, "forget_draws: 2 needs trainings"),
        (
            {"stress": {"attacks": [{"kind": "relearn"}]}},
            "stress: needs an oracle for every seed, and 1 of 2 have none",
        ),
        ({"unlearn": [{"kind": "retrain"}]}, "unlearn.0: 'retrain' trains as the model was trained"),
    ],
)
def test_what_a_sweep_cannot_do_is_refused(tiny, changes, words):
    with pytest.raises(RecipeError, match=words):
        tiny(*overrides(**changes))


def test_without_any_oracle_nothing_beside_one_is_judged(tiny):
    without, beside = (
        resolved(tiny(*overrides(given=[run, run]))).metrics for run in (RUN, RUN | {"oracle": "3" * 64})
    )
    assert set(beside) - set(without) == {"damage", "oracle_gap"}
    named = {"compare": [["pre_grok", "grokked"]], "headline": {"metrics": ["damage"]}}
    with pytest.raises(RecipeError, match=r"headline.metrics: damage needs an oracle, and none was given"):
        resolved(tiny(*overrides(given=[RUN, RUN], claims=named)))
