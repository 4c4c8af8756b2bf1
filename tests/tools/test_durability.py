"""Planted truths of durability and lasting, as benchmarks/durability.py counts them over more studies."""

from __future__ import annotations

import math
from pathlib import Path

import numpy as np
import pytest

SOURCE = Path(__file__).parents[2] / "benchmarks" / "durability.py"
STUDIES = 12
ALLOWED = 0.05 + 2 * math.sqrt(0.05 * 0.95 / STUDIES)


@pytest.fixture(scope="module")
def bench(script):
    return script


def test_swapped_sides_are_given_a_word_no_more_often_than_allowed(bench):
    assert bench.wrong(STUDIES, 8, bench.paced((4.0, 20.0)), swap=True, everything=True) <= ALLOWED


def test_over_all_swaps_of_one_study_words_are_exactly_as_rare_as_promised(bench):
    """The sides differ fivefold in updates to be relearned: one of 32 swaps may say so, that which is the study itself."""
    assert bench.leaked(6, bench.paced((4.0, 20.0))) <= 1 / 32


def test_the_family_holds_the_new_rows_of_every_method(bench):
    verdicts = bench.judged(bench.study(np.random.default_rng(0), 8, bench.hides), 8)
    for method in ("m0", "m3"):
        readings = {(v.claim.kind, v.reading) for v in verdicts if v.method == method}
        assert {("efficiency", "lasting"), ("collateral", "lasting"), ("durability", "relearning"), ("durability", "attacks")} <= readings  # fmt: skip
    assert any(v.effect.cut_at == bench.BUDGET for v in verdicts if v.reading == "lasting")


def test_the_oracle_as_an_unlearner_has_forgotten_everywhere_and_is_given_no_word(bench):
    assert bench.standing(4, 10, bench.same) == {"forgotten": 1.0, "hidden": 0.0, "undecided": 0.0}
    assert bench.wrong(4, 10, bench.same, swap=False, everything=False) == 0.0


def test_another_oracle_as_an_unlearner_is_never_hidden_though_oracles_of_one_side_vary_more(bench):
    said = bench.standing(4, 10, bench.another)
    assert said["hidden"] == 0.0
    assert said["forgotten"] > 0.3  # every attack must lie within its own floor
    assert bench.wrong(4, 10, bench.another, swap=False, everything=False) == 0.0


def test_what_is_only_hidden_is_hidden_on_both_sides_and_neither_stands_more(bench):
    """Everything is back at once on either side; what differs is what attacks get from the oracles."""
    assert bench.standing(4, 10, bench.hides)["hidden"] == 1.0
    assert bench.wrong(4, 10, bench.hides, swap=False, everything=False) == 0.0


def test_twice_as_many_updates_to_be_relearned_are_found_with_ten_seeds(bench):
    assert bench.found(6, 10, 2.0) >= 0.8
